/** The client's defects on a real broker, each shown without its cure and gone with it. */

import type { Transaction } from 'kafkajs'
import { afterAll, describe, expect, it } from 'vitest'
import { javaConsole } from '#infra/local/java-console.ts'
import {
  admin,
  brokers,
  freshTopic,
  kafka,
  readAll,
  readToEnd,
  readUncured,
  testConsumer,
  until,
  valuesOf,
} from './kafka.fixtures.ts'
import { kafkajs } from './kafkajs-cures.ts'

afterAll(() => admin.close())

/** Transactional producers that share a partition. */
async function producers(topic: string, count: number) {
  return await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const producer = kafka.producer({
        transactionalId: `${topic}-${index}`,
        maxInFlightRequests: 1,
        idempotent: true,
        createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      })
      await producer.connect()
      return producer
    }),
  )
}

describe('aborted transactions', () => {
  /** The one that begins first ends last: the broker's list is in order of the end. */
  async function interleave(topic: string): Promise<string[]> {
    const committed: string[] = []
    const group = await producers(topic, 3)
    const send = (transaction: Transaction, value: string) =>
      transaction.send({
        topic,
        messages: [
          { key: 'k', value },
          { key: Buffer.from([0, 0, 0, 0]), value: `${value}'` },
        ],
      })
    for (let round = 0; round < 6; round++) {
      const [first, second, third] = await Promise.all(group.map((producer) => producer.transaction()))
      await send(first!, `aborted ${round} first`)
      await send(second!, `aborted ${round} second`)
      await send(third!, `committed ${round}`)
      committed.push(`committed ${round}`, `committed ${round}'`)
      await send(first!, `aborted ${round} first again`)
      await second!.abort()
      await first!.abort()
      await third!.commit()
    }
    await Promise.all(group.map((producer) => producer.disconnect()))
    return committed
  }

  it('reach a read_committed reader of the client as published, and not of the cured one', async () => {
    const topic = await freshTopic('aborted')
    const committed = await interleave(topic)
    const uncured = await readUncured({ topic, count: Number.POSITIVE_INFINITY, timeoutMs: 3_000 })
    expect(uncured.values.filter((value) => value.startsWith('aborted')).length).toBeGreaterThan(0)

    const reader = testConsumer([topic])
    await reader.consumer.start()
    const records = await readToEnd(reader, topic)
    await reader.consumer.stop()
    expect(valuesOf(records)).toEqual(committed)
    const [range] = await admin.ranges(topic)
    expect(reader.positions.get(`${topic}:0`)).toBe(range!.end)

    const java = await javaConsole({ brokers, topic })
    expect(java.map(({ value }) => String(value))).toEqual(committed)
  })

  it('a fetch that holds nothing else advances the position all the same', async () => {
    const topic = await freshTopic('only_aborted')
    const [producer] = await producers(topic, 1)
    const transaction = await producer!.transaction()
    await transaction.send({ topic, messages: [{ value: 'aborted' }] })
    await transaction.abort()
    await producer!.disconnect()
    const reader = testConsumer([topic])
    await reader.consumer.start()
    const [chunk] = await reader.consumer.take({ recordsMax: 10, bytesMax: 1000, waitMs: 10_000 })
    await reader.consumer.stop()
    expect(chunk).toMatchObject({ records: [], fetchedOffset: 0n, nextOffset: 2n })
  })
})

describe('a topic that was deleted, made anew and filled between two fetches', () => {
  const send = async (topic: string, values: readonly string[]) => {
    const [producer] = await producers(topic, 1)
    const transaction = await producer!.transaction()
    await transaction.send({ topic, messages: values.map((value) => ({ value })) })
    await transaction.commit()
    await producer!.disconnect()
  }
  const old = Array.from({ length: 4 }, (_, n) => `old ${n}`)
  const makeAnew = async (topic: string) => {
    const [before] = (await admin.topicIds([topic]))!.values()
    await admin.deleteTopics([topic])
    await until(() =>
      admin.ensureTopics([{ name: topic, partitions: 1, replication: 1, config: {} }]).then(
        () => true,
        () => false,
      ),
    )
    await send(
      topic,
      Array.from({ length: 20 }, (_, n) => `new ${n}`),
    )
    const [after] = (await admin.topicIds([topic]))!.values()
    expect(after).toMatch(/^[0-9a-f]{32}$/)
    expect(after).not.toBe(before)
  }

  it('is read on there by the client as published', async () => {
    const topic = await freshTopic('anew_by_name')
    await send(topic, old)
    const consumer = kafka.consumer({ groupId: `${topic}-by-name`, maxWaitTimeInMs: 50 })
    const values: string[] = []
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => {
        values.push(String(message.value))
        if (values.length === old.length) consumer.pause([{ topic }])
      },
    })
    await until(() => values.length === old.length)
    await makeAnew(topic)
    consumer.resume([{ topic }])
    await until(() => values.length > old.length)
    await consumer.disconnect()
    expect(values[old.length]).toMatch(/^new [1-9]/)
  })

  it('is an incident, and nothing of it is read, until it is read by its new id', async () => {
    const topic = await freshTopic('anew_by_id')
    await send(topic, old)
    // So small that reading pauses until something is taken.
    const reader = testConsumer([topic], { bytesPerPartitionMax: 1 })
    await reader.consumer.start()
    await until(() => reader.consumer.lag().some(({ lag }) => lag > 0n))
    await makeAnew(topic)
    const records = await readAll(reader, { count: 5, enough: () => reader.incidents.length > 0 })
    expect(valuesOf(records)).toEqual(old)
    expect(reader.incidents).toMatchObject([{ code: 'topic_id_unknown', topic, partition: 0 }])
    expect(reader.consumer.status().reading).toEqual([])

    reader.positions.set(`${topic}:0`, 0n)
    await reader.consumer.readAgain(topic, 0, async () => 0n)
    expect(valuesOf(await readAll(reader, { count: 2, recordsMax: 2 }))).toEqual(['new 0', 'new 1'])
    await reader.consumer.stop()
  })
})

describe('a position outside of the log', () => {
  async function tenRecords(label: string): Promise<string> {
    const topic = await freshTopic(label)
    const [producer] = await producers(topic, 1)
    const transaction = await producer!.transaction()
    await transaction.send({
      topic,
      messages: Array.from({ length: 10 }, (_, index) => ({ value: `v${index}` })),
    })
    await transaction.commit()
    await producer!.disconnect()
    return topic
  }

  it('is reset and committed by the client as published', async () => {
    const topic = await tenRecords('reset')
    await admin.deleteRecords(topic, new Map([[0, 5n]]))
    const { values, committed } = await readUncured({ topic, count: 5, seekTo: 2n })
    expect(values).toEqual(['v5', 'v6', 'v7', 'v8', 'v9'])
    expect(committed).not.toBe('-1')
  })

  it.each([
    ['below its start', 2n, 'position 2, log from 5 to 11'],
    ['above its end', 40n, 'position 40, log from 5 to 11'],
  ])('%s is an incident before anything is read', async (_name, position, detail) => {
    const topic = await tenRecords('incident')
    await admin.deleteRecords(topic, new Map([[0, 5n]]))
    const positions = new Map([[`${topic}:0`, position]])
    const reader = testConsumer([topic], { positions })
    await reader.consumer.start()
    await until(() => reader.incidents.length > 0)
    expect(reader.incidents).toEqual([{ code: 'position_out_of_range', topic, partition: 0, detail }])
    expect(await reader.consumer.take({ recordsMax: 10, bytesMax: 1000, waitMs: 500 })).toEqual([])

    // Still wrong: the same incident again, and still nothing read.
    await reader.consumer.readAgain(topic, 0, async () => position)
    expect(reader.incidents.map(({ code }) => code)).toEqual([
      'position_out_of_range',
      'position_out_of_range',
    ])
    expect(reader.consumer.status().reading).toEqual([])

    positions.set(`${topic}:0`, 5n)
    await reader.consumer.readAgain(topic, 0, async () => 5n)
    expect(valuesOf(await readAll(reader, { count: 5 }))).toEqual(['v5', 'v6', 'v7', 'v8', 'v9'])
    expect(reader.consumer.status().incidents).toEqual([])
    await reader.consumer.stop()
    const groupId = `${topic}-group`
    expect(await admin.committedOffset({ groupId, topic, partition: 0 })).toBeUndefined()
  })

  it('is an incident of that partition alone when the log is cut while it is read', async () => {
    const topic = await freshTopic('cut', 2)
    const [producer] = await producers(topic, 1)
    const send = async (partition: number, count: number) => {
      const transaction = await producer!.transaction()
      const messages = Array.from({ length: count }, () => ({ value: Buffer.alloc(100_000), partition }))
      await transaction.send({ topic, messages })
      await transaction.commit()
    }
    for (let round = 0; round < 4; round++) await send(0, 8)
    const reader = testConsumer([topic], { bytesPerPartitionMax: 200_000 })
    await reader.consumer.start()
    await until(() => reader.consumer.lag().some(({ partition, lag }) => partition === 0 && lag > 0n))
    const [range] = await admin.ranges(topic)
    await admin.deleteRecords(topic, new Map([[0, range!.end]]))
    const records = await readAll(reader, { count: 100, enough: () => reader.incidents.length > 0 })
    expect(records.length).toBeLessThan(32)
    expect(reader.incidents).toMatchObject([{ code: 'position_out_of_range', topic, partition: 0 }])

    await send(1, 3)
    expect(await readAll(reader, { count: 3 })).toHaveLength(3)
    await reader.consumer.stop()
    await producer!.disconnect()
  })
})
