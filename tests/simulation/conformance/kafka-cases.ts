/** What is tried on the simulated and on the real broker, by the same client calls and the engine's own adapters. */
import type { KafkaAdmin } from '#platform/kafka/admin.ts'
import type { Kafka } from '#platform/kafka/client.ts'
import { protocolTypeOf } from '#platform/kafka/client-errors.ts'
import { FencedProducer } from '#platform/kafka/fenced-producer.ts'
import { readAll, type TestConsumer, testConsumer, until } from '#platform/kafka/kafka.fixtures.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { Transcript } from './transcript.ts'

export interface KafkaBench {
  readonly kafka: Kafka
  readonly admin: KafkaAdmin
  readonly transcript: Transcript
  /** Makes a topic; the same name on both sides. */
  topic(label: string, partitions?: number): Promise<string>
  /** Retention: what is below is gone. */
  deleteBelow(topic: string, offset: bigint): Promise<void>
  /** The topic is deleted and made anew. */
  recreate(topic: string): Promise<void>
}

export interface KafkaCase {
  readonly name: string
  run(bench: KafkaBench): Promise<void>
}

const TRANSACTIONAL = {
  idempotent: true,
  maxInFlightRequests: 1,
  transactionTimeout: 60_000,
  retry: { initialRetryTime: 5, multiplier: 1.5, factor: 0.2, maxRetryTime: 500, retries: 30 },
}

const messages = (...values: string[]) =>
  values.map((value) => ({ key: Buffer.from(`k${value}`), value: Buffer.from(value), partition: 0 }))

const batchOf = (topic: string, ...values: string[]) => ({
  acks: -1,
  topicMessages: [{ topic, messages: messages(...values) }],
})

const writePlain = async ({ kafka, transcript }: KafkaBench, topic: string, ...values: string[]) => {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const [answer] = await producer.sendBatch(batchOf(topic, ...values))
  transcript.note('producer', 'first offset', answer!.baseOffset)
  await producer.disconnect()
}

const transactional = async ({ kafka }: KafkaBench, transactionalId: string) => {
  const producer = kafka.producer({ ...TRANSACTIONAL, transactionalId })
  await producer.connect()
  return producer
}

const shown = (records: readonly IngestRecord[]) =>
  records.map(({ offset, key, value }) => `${offset} ${String(key)}=${String(value)}`)

const untilEnd = async ({ admin, transcript }: KafkaBench, topic: string, end: bigint) => {
  await until(async () => (await admin.ranges(topic))[0]!.end >= end)
  transcript.note('admin', 'ranges', await admin.ranges(topic))
}

/** A consumer of its own group that begins where it is told. */
const reader = async (
  { kafka }: KafkaBench,
  topic: string,
  from = 0n,
  name = 'reader',
): Promise<TestConsumer> => {
  const positions = new Map([[`${topic}:0`, from]])
  const made = testConsumer([topic], { kafka, positions, groupId: `${topic}-${name}` })
  await made.consumer.start()
  return made
}

const note = async (bench: KafkaBench, reading: TestConsumer, topic: string, count: number) => {
  bench.transcript.note('reader', 'records', shown(await readAll(reading, { count })))
  bench.transcript.note('reader', 'behind the last', reading.positions.get(`${topic}:0`))
}

const errorOf = async (work: () => Promise<unknown>): Promise<unknown> => {
  try {
    await work()
    return 'done'
  } catch (error) {
    return protocolTypeOf(error) ?? (error as { code?: string }).code ?? String(error)
  }
}

const stateOf = ({ incidents }: TestConsumer) =>
  incidents.map(({ code, partition }) => `${code} ${partition}`)

const publisherOf = ({ kafka }: KafkaBench, topic: string) =>
  new FencedProducer({ kafka, transactionalId: `${topic}-publisher` })

const positionOf = (topic: string) => ({ groupId: `${topic}-positions`, topic, partition: 0 })

const batch = (topic: string, offset: bigint, ...values: string[]) => ({
  messagesByTopic: new Map([[topic, messages(...values)]]),
  position: { ...positionOf(topic), offset },
})

export const KAFKA_CASES: readonly KafkaCase[] = [
  {
    name: 'records get their places and are read from there',
    run: async (bench) => {
      const topic = await bench.topic('plain')
      await writePlain(bench, topic, 'a', 'b')
      await writePlain(bench, topic, 'c')
      await untilEnd(bench, topic, 3n)
      const all = await reader(bench, topic)
      await note(bench, all, topic, 3)
      await all.consumer.stop()
      const later = await reader(bench, topic, 2n, 'later')
      await note(bench, later, topic, 1)
      await later.consumer.stop()
    },
  },
  {
    name: 'what was rolled back is never read; the ends of transactions take offsets',
    run: async (bench) => {
      const topic = await bench.topic('aborted')
      const producer = await transactional(bench, `${topic}-a`)
      for (const [values, end] of [
        [['a', 'b'], 'commit'],
        [['c', 'd'], 'abort'],
        [['e'], 'commit'],
        [[], 'commit'],
        [['f'], 'abort'],
      ] as const) {
        const transaction = await producer.transaction()
        if (values.length > 0) await transaction.sendBatch(batchOf(topic, ...values))
        await errorOf(() => transaction[end]())
        if (values.length === 0) await transaction.abort().catch(() => undefined)
      }
      await untilEnd(bench, topic, 10n)
      await writePlain(bench, topic, 'g')
      const reading = await reader(bench, topic)
      await note(bench, reading, topic, 4)
      await reading.consumer.stop()
      await producer.disconnect()
    },
  },
  {
    name: 'behind an open transaction nothing is read; two of them are kept apart',
    run: async (bench) => {
      const topic = await bench.topic('open')
      const [one, two] = [await transactional(bench, `${topic}-1`), await transactional(bench, `${topic}-2`)]
      const first = await one.transaction()
      await first.sendBatch(batchOf(topic, 'a'))
      const second = await two.transaction()
      await second.sendBatch(batchOf(topic, 'b'))
      await first.sendBatch(batchOf(topic, 'c'))
      await writePlain(bench, topic, 'd')
      const reading = await reader(bench, topic)
      await until(() => reading.consumer.status().reading.length === 1)
      const early = await reading.consumer.take({ recordsMax: 10, bytesMax: 10_000, waitMs: 500 })
      bench.transcript.note('reader', 'while both are open', shown(early.flatMap(({ records }) => records)))
      await second.commit()
      await first.abort()
      await note(bench, reading, topic, 2)
      await reading.consumer.stop()
      await Promise.all([one.disconnect(), two.disconnect()])
    },
  },
  {
    name: 'a newer producer of the same id shuts the older one out and ends what it left open',
    run: async (bench) => {
      const topic = await bench.topic('fenced')
      const [old, newer] = [
        await transactional(bench, `${topic}-x`),
        await transactional(bench, `${topic}-x`),
      ]
      const left = await old.transaction()
      await left.sendBatch(batchOf(topic, 'left open'))
      const taking = await newer.transaction()
      await taking.abort()
      bench.transcript.note('old', 'sends', await errorOf(() => left.sendBatch(batchOf(topic, 'too late'))))
      bench.transcript.note('old', 'commits', await errorOf(() => left.commit()))
      const next = await newer.transaction()
      await next.sendBatch(batchOf(topic, 'of the newer one'))
      await next.commit()
      await untilEnd(bench, topic, 4n)
      const reading = await reader(bench, topic)
      await note(bench, reading, topic, 1)
      await reading.consumer.stop()
      await Promise.all([old.disconnect(), newer.disconnect()])
    },
  },
  {
    name: 'a commit of which the end is delayed is over before the next owner reads the position',
    run: async (bench) => {
      const topic = await bench.topic('position')
      const { transcript, admin } = bench
      const first = publisherOf(bench, topic)
      await first.fence()
      transcript.note('first', 'position', await first.readPosition(positionOf(topic)))
      await first.publish(batch(topic, 5n, 'a'))
      const second = publisherOf(bench, topic)
      await second.fence()
      transcript.note('second', 'position', await second.readPosition(positionOf(topic)))
      transcript.note('first', 'publishes', await errorOf(() => first.publish(batch(topic, 6n, 'late'))))
      transcript.note('first', 'again', await errorOf(() => first.publish(batch(topic, 6n, 'late'))))
      await second.publish(batch(topic, 7n, 'b', 'c'))
      const third = publisherOf(bench, topic)
      await third.fence()
      transcript.note('third', 'position', await third.readPosition(positionOf(topic)))
      transcript.note('admin', 'position', await admin.committedOffset(positionOf(topic)))
      await until(async () => (await admin.ranges(topic))[0]!.end >= 5n)
      const reading = await reader(bench, topic)
      await note(bench, reading, topic, 3)
      await reading.consumer.stop()
      await Promise.all([first.close(), second.close(), third.close()])
    },
  },
  {
    name: 'a position that is rolled back stays where it was',
    run: async (bench) => {
      const topic = await bench.topic('rolled')
      const { transcript, admin } = bench
      const producer = await transactional(bench, `${topic}-a`)
      const { groupId } = positionOf(topic)
      for (const [offset, end] of [
        ['3', 'commit'],
        ['9', 'abort'],
        ['4', 'commit'],
      ] as const) {
        const transaction = await producer.transaction()
        await transaction.sendBatch(batchOf(topic, offset))
        const topics = [{ topic, partitions: [{ partition: 0, offset }] }]
        await transaction.sendOffsets({ consumerGroupId: groupId, topics })
        await transaction[end]()
        const wanted = offset === '9' ? 3n : BigInt(offset)
        await until(async () => (await admin.committedOffset(positionOf(topic))) === wanted)
        transcript.note('admin', end, await admin.committedOffset(positionOf(topic)))
      }
      await producer.disconnect()
    },
  },
  {
    name: 'a position that retention has passed, or beyond the end, is an incident and no reset',
    run: async (bench) => {
      const topic = await bench.topic('retention')
      await writePlain(bench, topic, 'a', 'b', 'c', 'd', 'e')
      await bench.deleteBelow(topic, 3n)
      bench.transcript.note('admin', 'ranges', await bench.admin.ranges(topic))
      for (const from of [0n, 2n, 6n, 99n]) {
        const stopped = await reader(bench, topic, from, `from${from}`)
        await until(() => stopped.incidents.length > 0)
        bench.transcript.note('reader', `from ${from}`, stateOf(stopped))
        await stopped.consumer.stop()
      }
      const reading = await reader(bench, topic, 3n, 'first kept')
      await note(bench, reading, topic, 2)
      await reading.consumer.stop()
    },
  },
  {
    name: 'a topic made anew begins at nothing',
    run: async (bench) => {
      const topic = await bench.topic('anew')
      await writePlain(bench, topic, 'a', 'b', 'c')
      await bench.recreate(topic)
      bench.transcript.note('admin', 'ranges', await bench.admin.ranges(topic))
      const stopped = await reader(bench, topic, 3n)
      await until(() => stopped.incidents.length > 0)
      bench.transcript.note('reader', 'from 3', stateOf(stopped))
      await stopped.consumer.stop()
      await writePlain(bench, topic, 'new')
      const reading = await reader(bench, topic, 0n, 'new')
      await note(bench, reading, topic, 1)
      await reading.consumer.stop()
    },
  },
  {
    name: 'members share the partitions: each has one owner, who comes and goes with release and claim',
    run: async (bench) => {
      const topic = await bench.topic('shared', 4)
      const { kafka, transcript } = bench
      const member = (name: string) => testConsumer([topic], { kafka, name: `${name}:` })
      const [first, second] = [member('first'), member('second')]
      const owned = () =>
        [first, second]
          .flatMap(({ consumer }) => consumer.status().reading.map(({ partition }) => partition))
          .sort()
      const counts = () => [first, second].map(({ consumer }) => consumer.status().reading.length)
      await first.consumer.start()
      await until(() => owned().length === 4)
      await second.consumer.start()
      await until(() => counts().every((count) => count === 2))
      transcript.note('group', 'owned by both', owned())
      await second.consumer.stop()
      await until(() => counts()[0] === 4)
      transcript.note('group', 'owned by the first', owned())
      await first.consumer.stop()
      const words = ({ events }: TestConsumer) => events.map((event) => event.split(' ')[0])
      transcript.note('group', 'first', words(first))
      transcript.note('group', 'second', words(second))
    },
  },
  {
    name: "what a member commits is the group's; what a former one commits is not",
    run: async (bench) => {
      const topic = await bench.topic('informed')
      const { transcript, admin } = bench
      await writePlain(bench, topic, 'a', 'b')
      const member = await reader(bench, topic)
      await note(bench, member, topic, 2)
      const position = { groupId: `${topic}-reader`, topic, partition: 0 }
      transcript.note('admin', 'before', await admin.committedOffset(position))
      await member.consumer.commitInformational([{ topic, partition: 0, offset: 2n }])
      transcript.note('admin', 'after', await admin.committedOffset(position))
      await member.consumer.stop()
      await member.consumer.commitInformational([{ topic, partition: 0, offset: 1n }])
      transcript.note('admin', 'after its end', await admin.committedOffset(position))
    },
  },
]
