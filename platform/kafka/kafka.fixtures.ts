/** What the integration tests of this folder share: a client, topics of their own, a simple consumer, and waiting. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { inject } from 'vitest'
import { KafkaAdmin } from './admin.ts'
import { type Kafka, makeKafka } from './client.ts'
import { IngestConsumer } from './ingest-consumer.ts'
import {
  type IngestConsumerOptions,
  type IngestIncident,
  partitionKey,
  type TopicPartition,
} from './ingest-consumer-options.ts'
import type { IngestRecord } from './ingest-record.ts'
import type { IngestChunk } from './partition-inbox.ts'

export const brokers = inject('stackEndpoints').kafkaBrokers!
export const kafka: Kafka = makeKafka(
  { brokers: brokers.split(','), ssl: false, sslCa: undefined, login: undefined },
  { clientId: 'kafka-tests' },
)
export const admin = new KafkaAdmin(kafka)

/** Makes a topic that no other test uses. */
export async function freshTopic(
  label: string,
  partitions = 1,
  config: Record<string, string> = {},
): Promise<string> {
  const name = `t_${label}_${randomBytes(4).toString('hex')}`
  await admin.ensureTopics([{ name, partitions, replication: 1, config }])
  return name
}

export interface TestConsumer {
  consumer: IngestConsumer
  events: string[]
  incidents: IngestIncident[]
  /** Where the next claim of a partition begins; advanced by readAll, as Postgres would be. */
  positions: Map<string, bigint>
}

/** A consumer whose positions live in a map, which several may share. */
export function testConsumer(
  topics: string[],
  options: Partial<IngestConsumerOptions> & { positions?: Map<string, bigint>; name?: string } = {},
): TestConsumer {
  const { positions = new Map<string, bigint>(), name = '', ...rest } = options
  const events: string[] = []
  const incidents: IngestIncident[] = []
  const consumer = new IngestConsumer({
    kafka,
    groupId: `${topics[0]}-group`,
    topics,
    async claim(assignment: TopicPartition[]) {
      events.push(`claim ${name}${assignment.map(({ partition }) => partition).join(',')}`)
      return new Map(
        assignment.map(({ topic, partition }) => {
          const key = partitionKey(topic, partition)
          return [key, positions.get(key) ?? 0n]
        }),
      )
    },
    async release() {
      events.push(`release ${name}`.trim())
    },
    onIncident: (incident) => void incidents.push(incident),
    ...rest,
  })
  return { consumer, events, incidents, positions }
}

/** Limit on reading anything in a test: generous, since a join on a busy machine takes seconds. */
const READ_TIMEOUT_MS = 30_000

/**
 * Takes until `count` records came or `enough` says so; advances the positions and proves that chunks meet.
 * @throws Error after 30 s
 */
export async function readAll(
  { consumer, positions }: TestConsumer,
  options: { count: number; recordsMax?: number; enough?: () => boolean },
): Promise<IngestRecord[]> {
  const records: IngestRecord[] = []
  const deadline = Date.now() + READ_TIMEOUT_MS
  while (records.length < options.count && options.enough?.() !== true) {
    if (Date.now() > deadline) {
      throw new Error(`read ${records.length} of ${options.count} records in ${READ_TIMEOUT_MS} ms`)
    }
    const chunks = await consumer.take({
      recordsMax: options.recordsMax ?? 1_000,
      bytesMax: 4_000_000,
      waitMs: 200,
    })
    for (const chunk of chunks) {
      advance(positions, chunk)
      records.push(...chunk.records)
    }
  }
  return records
}

/** Takes all that a topic holds now: up to the end offset of each partition, not until it goes quiet. */
export async function readToEnd(reader: TestConsumer, topic: string): Promise<IngestRecord[]> {
  const ranges = await admin.ranges(topic)
  const isAtEnd = () =>
    ranges.every(
      ({ partition, start, end }) => (reader.positions.get(partitionKey(topic, partition)) ?? start) >= end,
    )
  return await readAll(reader, { count: Number.POSITIVE_INFINITY, enough: isAtEnd })
}

function advance(positions: Map<string, bigint>, chunk: IngestChunk): void {
  const key = partitionKey(chunk.topic, chunk.partition)
  const before = positions.get(key) ?? 0n
  if (chunk.fetchedOffset !== before)
    throw new Error(`gap in ${key}: at ${before}, got ${chunk.fetchedOffset}`)
  positions.set(key, chunk.nextOffset)
}

export const valuesOf = (records: IngestRecord[]): string[] => records.map(({ value }) => String(value))

/** Waits until a condition holds. @throws Error after `timeoutMs` */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export interface UncuredResult {
  values: string[]
  /** What the group has committed for partition 0 at the end; -1 for nothing. */
  committed: string
}

/**
 * Reads a topic's partition 0 with the client as published, in a process of its own, where no cure is loaded: so that a test
 * can show what the cure cures.
 */
export async function readUncured(options: {
  topic: string
  count: number
  seekTo?: bigint
  timeoutMs?: number
}): Promise<UncuredResult> {
  const program = `
    const { Kafka, logLevel } = require('kafkajs')
    const { brokers, topic, count, seekTo, timeoutMs } = JSON.parse(process.argv[1])
    const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50 } })
    const groupId = topic + '-uncured'
    const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100 })
    const values = []
    const done = new Promise((resolve) => setTimeout(resolve, timeoutMs))
    const finish = async () => {
      const admin = kafka.admin()
      await admin.connect()
      const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [topic] })
      console.log(JSON.stringify({ values, committed: partitions[0].offset }))
      process.exit(0)
    }
    const main = async () => {
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachMessage: async ({ message }) => {
          values.push(String(message.value))
          if (values.length >= count) setTimeout(finish, 300)
        },
      })
      if (seekTo !== undefined) consumer.seek({ topic, partition: 0, offset: seekTo })
      await done
      await finish()
    }
    main()
  `
  const argument = JSON.stringify({
    brokers: brokers.split(','),
    topic: options.topic,
    count: options.count,
    seekTo: options.seekTo === undefined ? undefined : String(options.seekTo),
    timeoutMs: options.timeoutMs ?? 8_000,
  })
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program, argument], {
    timeout: 40_000,
  })
  return JSON.parse(stdout) as UncuredResult
}
