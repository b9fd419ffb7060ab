/** Both producers and the admin on a real broker. */
import { createHash } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import { KafkaAdmin } from './admin.ts'
import { type Kafka, makeKafka } from './client.ts'
import { FencedProducer, type OutputMessage } from './fenced-producer.ts'
import { admin, freshTopic, kafka, readAll, readToEnd, testConsumer, valuesOf } from './kafka.fixtures.ts'
import { partitionOfKey } from './partitioner.ts'
import { BatchingProducer } from './producer.ts'

afterAll(() => admin.close())

async function visible(topic: string): Promise<string[]> {
  const reader = testConsumer([topic])
  await reader.consumer.start()
  const records = await readToEnd(reader, topic)
  await reader.consumer.stop()
  return valuesOf(records)
}

/** Bytes that no codec makes smaller, the same each time: a chain of hashes. */
function incompressible(bytes: number): Buffer {
  const parts = Array.from({ length: Math.ceil(bytes / 64) }, (_, n) =>
    createHash('sha512').update(String(n)).digest(),
  )
  return Buffer.concat(parts)
}

describe('the fenced producer', () => {
  const messages = (...values: string[]) => values.map((value) => ({ key: 'k', value: Buffer.from(value) }))

  function publisher(topic: string) {
    const position = { groupId: `${topic}-publisher`, topic, partition: 0 }
    const producer = new FencedProducer({ kafka, transactionalId: `${topic}-publisher` })
    const publish = (offset: bigint, ...values: string[]) =>
      producer.publish({
        messagesByTopic: new Map([[topic, messages(...values)]]),
        position: { ...position, offset },
      })
    return { producer, publish, read: () => producer.readPosition(position) }
  }

  it('a second one fences the first, and goes on from the position of what was published', async () => {
    const topic = await freshTopic('fenced')
    const first = publisher(topic)
    await first.producer.fence()
    expect(await first.read()).toBeUndefined()
    await first.publish(1n, 'a')
    await first.publish(3n, 'b', 'c')

    const second = publisher(topic)
    await second.producer.fence()
    expect(await second.read()).toBe(3n)
    await expect(first.publish(4n, 'zombie')).rejects.toMatchObject({
      code: 'publisher_fenced',
      retriable: false,
    })
    await expect(first.publish(4n, 'zombie')).rejects.toMatchObject({ code: 'publisher_spent' })
    await second.publish(4n, 'd')
    expect(await second.read()).toBe(4n)
    expect(await visible(topic)).toEqual(['a', 'b', 'c', 'd'])
    await Promise.all([first.producer.close(), second.producer.close()])
  })

  it('outputs and position: both or none, over several topics', async () => {
    const topic = await freshTopic('atomic')
    const small = await freshTopic('atomic_small', 1, { 'max.message.bytes': '2000' })
    const position = { groupId: `${topic}-publisher`, topic, partition: 0 }
    const { producer } = publisher(topic)
    await producer.fence()
    const large = [{ key: null, value: incompressible(9_000) }]
    await producer.publish({
      messagesByTopic: new Map([
        [topic, messages('good')],
        [small, messages('good too')],
      ]),
      position: { ...position, offset: 1n },
    })
    const failing = producer.publish({
      messagesByTopic: new Map<string, OutputMessage[]>([
        [topic, messages('bad')],
        [small, large],
      ]),
      position: { ...position, offset: 2n },
    })
    await expect(failing).rejects.toMatchObject({ code: 'publish_too_large', retriable: false })

    const next = publisher(topic)
    await next.producer.fence()
    expect(await next.read()).toBe(1n)
    await next.publish(2n, 'after')
    expect(await visible(topic)).toEqual(['good', 'after'])
    expect(await visible(small)).toEqual(['good too'])
    await next.producer.close()
  })

  it('more than the broker takes in one record batch goes out in several, in order', async () => {
    const topic = await freshTopic('round', 1, { 'max.message.bytes': '4194304' })
    const { producer } = publisher(topic)
    await producer.fence()
    const many = Array.from({ length: 400 }, (_, index) => ({
      key: String(index),
      value: incompressible(16_384),
    }))
    const position = { groupId: `${topic}-publisher`, topic, partition: 0, offset: 1n }
    await producer.publish({ messagesByTopic: new Map([[topic, many]]), position })
    await producer.close()
    const reader = testConsumer([topic])
    await reader.consumer.start()
    const read = await readAll(reader, { count: many.length })
    await reader.consumer.stop()
    expect(read.map(({ key }) => key!.toString())).toEqual(many.map(({ key }) => key))
  })

  it('a transaction of only a position, and tombstones', async () => {
    const topic = await freshTopic('position_only')
    const { producer, publish, read } = publisher(topic)
    await producer.fence()
    await publish(7n)
    expect(await read()).toBe(7n)
    const position = { groupId: `${topic}-publisher`, topic, partition: 0, offset: 8n }
    await producer.publish({ messagesByTopic: new Map([[topic, [{ key: 'k', value: null }]]]), position })
    expect(await visible(topic)).toEqual(['null'])
    await producer.close()
  })

  it('a broker that is away is retriable', async () => {
    const away = makeKafka(
      { brokers: ['127.0.0.1:1'], ssl: false, sslCa: undefined, login: undefined },
      { clientId: 'away' },
    )
    const producer = new FencedProducer({ kafka: away, transactionalId: 'x', callTimeoutMs: 500 })
    await expect(producer.fence()).rejects.toMatchObject({ code: 'kafka_unreachable', retriable: true })
  })
})

describe('the batching producer', () => {
  it('returns the position of every record, by the key hash of the Java client, in order', async () => {
    const topic = await freshTopic('positions', 3)
    const producer = new BatchingProducer({ kafka, batchRecordsMax: 100 })
    const records = Array.from({ length: 1_000 }, (_, index) => ({
      topic,
      key: index % 3 === 0 ? null : `key ${index % 7}`,
      value: Buffer.from(String(index)),
    }))
    const positions = await producer.sendAll(records)
    records.forEach(({ key }, index) => {
      if (key !== null) expect(positions[index]!.partition).toBe(partitionOfKey(key, 3))
    })
    await producer.close()

    const reader = testConsumer([topic])
    await reader.consumer.start()
    const read = await readAll(reader, { count: 1_000 })
    await reader.consumer.stop()
    for (const { partition, offset, value } of read) {
      expect(positions[Number(value)]).toEqual({ topic, partition, offset })
    }
    expect(read).toHaveLength(1_000)
  })

  it('fails only the batch with a record that is too large', async () => {
    const topic = await freshTopic('large', 1, { 'max.message.bytes': '2000' })
    const producer = new BatchingProducer({ kafka, compression: 'none' })
    const send = (bytes: number) => producer.send({ topic, key: null, value: Buffer.alloc(bytes) })
    await send(10)
    await expect(send(5_000)).rejects.toMatchObject({ code: 'record_too_large' })
    expect(await send(10)).toEqual({ topic, partition: 0, offset: 1n })
    await producer.close()
  })

  it('makes senders wait for room, and says so when there is none in time', async () => {
    const away = makeKafka(
      { brokers: ['127.0.0.1:1'], ssl: false, sslCa: undefined, login: undefined },
      { clientId: 'away' },
    )
    const producer = new BatchingProducer({
      kafka: away,
      queueRecordsMax: 10,
      batchRecordsMax: 10,
      roomTimeoutMs: 200,
      sendTimeoutMs: 1_000,
    })
    const record = { topic: 'x', key: null, value: Buffer.alloc(1) }
    const outcome = (sending: Promise<unknown>) =>
      sending.then(
        () => 'sent',
        (error: { code: string }) => error.code,
      )
    const first = outcome(producer.sendAll(Array.from({ length: 20 }, () => record)))
    const second = outcome(producer.send(record))
    expect(await second).toBe('producer_overloaded')
    expect(await first).toBe('kafka_unreachable')
    await producer.close()
    expect(await outcome(producer.send(record))).toBe('producer_closed')
  })
})

describe('the admin', () => {
  it('creates what is missing, and says what differs instead of changing it', async () => {
    const name = await freshTopic('compared', 2, { 'cleanup.policy': 'compact' })
    const table = [
      { name, partitions: 3, replication: 1, config: { 'cleanup.policy': 'delete', 'retention.ms': '5000' } },
      { name: `${name}_new`, partitions: 1, replication: 1, config: { 'retention.ms': '5000' } },
    ]
    const kept = [
      { topic: name, property: 'partitions', expected: '3', actual: '2' },
      { topic: name, property: 'cleanup.policy', expected: 'delete', actual: 'compact' },
      { topic: name, property: 'retention.ms', expected: '5000', actual: '604800000' },
    ]
    const missing = { topic: `${name}_new`, property: 'missing', expected: 'present', actual: undefined }
    expect(await admin.checkTopics(table)).toEqual([missing, ...kept])
    expect(await admin.ensureTopics(table)).toEqual(kept)
    expect(await admin.partitionCounts([name])).toEqual(new Map([[name, 2]]))
  })

  it('reads and moves the ends of a log', async () => {
    const topic = await freshTopic('ranges', 2)
    const producer = new BatchingProducer({ kafka })
    await producer.sendAll(Array.from({ length: 6 }, () => ({ topic, key: null, value: null, partition: 1 })))
    await producer.close()
    await admin.deleteRecords(topic, new Map([[1, 4n]]))
    expect(await admin.ranges(topic)).toEqual([
      { partition: 0, start: 0n, end: 0n },
      { partition: 1, start: 4n, end: 6n },
    ])
    await expect(admin.ranges('no-such-topic')).rejects.toMatchObject({ code: 'topic_unknown' })
  })

  it('asks again where a leader that was just chosen does not know it yet', async () => {
    const topic = await freshTopic('leader', 2)
    let refused = 0
    const refusing = {
      ...kafka.admin(),
      fetchTopicOffsets: async () => {
        refused += 1
        const type = 'NOT_LEADER_FOR_PARTITION'
        throw Object.assign(new Error('This server is not the leader'), { type, retriable: true })
      },
    }
    const asked: Kafka = new Proxy(kafka, {
      get: (client, name) => (name === 'admin' ? () => refusing : Reflect.get(client, name)),
    })
    const patient = new KafkaAdmin(asked)
    const ranges = await patient.ranges(topic)
    await patient.close()
    expect(refused).toBe(1)
    expect(ranges.map(({ start, end }) => [start, end])).toEqual([
      [0n, 0n],
      [0n, 0n],
    ])
  })

  it('reads the ends of several logs together as one by one, of those that are there', async () => {
    const topics = [await freshTopic('together', 2), await freshTopic('together', 3)]
    const producer = new BatchingProducer({ kafka })
    const records = topics.map((topic, place) => ({ topic, key: null, value: null, partition: place }))
    await producer.sendAll([...records, ...records])
    await producer.close()
    const alone = [await admin.ranges(topics[0]!), await admin.ranges(topics[1]!)]
    expect(alone.map((ranges) => ranges.map(({ end }) => end))).toEqual([
      [2n, 0n],
      [0n, 2n, 0n],
    ])
    expect(await Promise.all(topics.map((topic) => admin.ranges(topic)))).toEqual(alone)
    const [one, missing, other] = await Promise.allSettled(
      [topics[0]!, 'no-such-topic', topics[1]!].map((topic) => admin.ranges(topic)),
    )
    expect([one, other]).toEqual(alone.map((value) => ({ status: 'fulfilled', value })))
    expect(missing).toMatchObject({ status: 'rejected', reason: { code: 'topic_unknown' } })
    expect(await Promise.all(topics.map((topic) => admin.ranges(topic)))).toEqual(alone)
  })
})
