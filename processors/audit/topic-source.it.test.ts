/** Reading stretches of topics on a real broker: exactly what was asked for, without a group, and never less. */
import { afterAll, expect, inject, it } from 'vitest'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { topicSource } from './topic-source.ts'

const kafka = makeKafka(
  {
    brokers: inject('stackEndpoints').kafkaBrokers!.split(','),
    ssl: false,
    sslCa: undefined,
    login: undefined,
  },
  { clientId: 'topic-source-tests' },
)
const admin = new KafkaAdmin(kafka)
const source = topicSource({ kafka, clusterId: 'here', topicPrefix: 'range-tests.' })
const topic = 'range-tests.records'
/** Topics don't ask for them. */
const batches = { first: 1n, last: 1n }

afterAll(async () => {
  await source.close()
  await admin.deleteTopics([topic])
  await admin.close()
})

const offsetsOf = async (from: bigint, next: bigint): Promise<number[]> => {
  const offsets: number[] = []
  for await (const chunk of source.read({
    cluster: 'here',
    topic: 'records',
    partition: 0,
    from,
    next,
    batches,
  })) {
    offsets.push(...chunk.map(({ offset }) => Number(offset)))
  }
  return offsets
}

it('gives the committed records of a stretch and no others, and says where some are gone', async () => {
  await admin.deleteTopics([topic])
  await admin.ensureTopics([{ name: topic, partitions: 1, replication: 1, config: {} }])
  const producer = kafka.producer({ transactionalId: topic, maxInFlightRequests: 1, idempotent: true })
  await producer.connect()
  for (const end of ['commit', 'abort', 'commit'] as const) {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: ['a', 'b', 'c'].map((value) => ({ value })) })
    await transaction[end]()
  }
  await producer.disconnect()
  // 0–2 committed, 3 marker, 4–6 aborted, 7 marker, 8–10 committed, 11 marker.
  expect(await offsetsOf(0n, 12n)).toEqual([0, 1, 2, 8, 9, 10])
  expect(await offsetsOf(1n, 9n)).toEqual([1, 2, 8])
  expect(await offsetsOf(3n, 8n)).toEqual([])
  expect(await offsetsOf(5n, 5n)).toEqual([])

  await admin.deleteRecords(topic, new Map([[0, 2n]]))
  await expect(offsetsOf(1n, 3n)).rejects.toMatchObject({ code: 'records_gone' })
  expect(await offsetsOf(2n, 3n)).toEqual([2])
  const elsewhere = { cluster: 'elsewhere', topic: 'records', partition: 0, from: 2n, next: 3n, batches }
  await expect(source.read(elsewhere)[Symbol.asyncIterator]().next()).rejects.toMatchObject({
    code: 'records_gone',
  })
})
