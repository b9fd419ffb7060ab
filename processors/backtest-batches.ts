/**
 * Where a back-test gets the ledger's decisions from: Postgres, and for batches that are not there any more the archive, or, where
 * none is configured, the topic `transactions.processed`, if that still begins with the first decision.
 */
import type { Configuration } from '#platform/config/configuration.ts'
import { readFrames } from '#domain/ledger/batch-record.ts'
import { OperatingError } from '#platform/errors.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { TOPICS } from '#schemas/topics.ts'
import { type OutputRecord, TopicCursor } from './audit/outputs/topic-cursor.ts'
import { tableBatches } from './audit/table-batches.ts'

export type BacktestSettings = Pick<Configuration, 'archive' | 'kafka' | 'ledger' | 'schemaRegistry'>

/** What a batch decided about transactions: encoded values of `transactions.processed`, in their order. */
interface BatchDecisions {
  readonly sequence: bigint
  readonly values: readonly Buffer[]
}

const gone = (expected: bigint, where: string): OperatingError =>
  new OperatingError('batches_gone', `expected batch ${expected}, which is not kept ${where}`)

const processedOf = (payload: Buffer): Buffer[] =>
  [...readFrames(payload)].filter(({ topic }) => topic === TOPICS.processed.name).map(({ value }) => value)

/**
 * What every batch up to `through` decided, in sequence.
 * @throws OperatingError `batches_gone` where a part of the history is kept nowhere; those of the archive and of Kafka
 */
export async function* allDecisions(
  settings: BacktestSettings,
  pool: ReadPool,
  through: bigint,
): AsyncGenerator<BatchDecisions> {
  const [row] = await pool.query<{ first: bigint | null }>({
    text: 'select min(sequence) as first from batches',
  })
  const first = row?.first ?? through + 1n
  if (first > 1n) {
    const last = first - 1n < through ? first - 1n : through
    yield* settings.archive.url === undefined ? published(settings, last) : archived(settings, last)
  }
  let expected = first
  const tables = tableBatches(pool)
  for await (const headers of tables.headers(first - 1n, through)) {
    for (const { sequence } of headers) {
      const payload = sequence === expected ? await tables.payload(sequence) : null
      if (payload === null) throw gone(expected, 'in Postgres')
      yield { sequence, values: processedOf(payload) }
      expected += 1n
    }
  }
  if (expected <= through) throw gone(expected, 'in Postgres')
}

async function* archived(
  { archive: storageSettings, ledger }: BacktestSettings,
  through: bigint,
): AsyncGenerator<BatchDecisions> {
  // Loaded where it is needed: an S3 client takes tens of megabytes.
  const { openStorage } = await import('#platform/object-storage/open-storage.ts')
  const { Archive } = await import('./archive/archive.ts')
  const storage = openStorage(storageSettings)
  try {
    const archive = new Archive(storage, ledger.name)
    await archive.refresh()
    let expected = 1n
    for await (const { sequence, payload } of archive.batches(1n)) {
      if (sequence !== expected || expected > through) break
      yield { sequence, values: processedOf(payload) }
      expected += 1n
    }
    if (expected <= through) throw gone(expected, 'in Postgres any more, nor in the archive')
  } finally {
    await storage.close()
  }
}

/** From the topic, whose partitions are put together again by sequence and index. */
async function* published(
  { kafka: kafkaSettings, ledger, schemaRegistry }: BacktestSettings,
  through: bigint,
): AsyncGenerator<BatchDecisions> {
  const topic = `${ledger.topicPrefix}${TOPICS.processed.name}`
  const kafka = makeKafka(kafkaSettings, { clientId: 'tallystream-backtest' })
  const admin = new KafkaAdmin(kafka)
  const reader = new RangeReader(kafka)
  try {
    const partitions = await admin.ranges(topic)
    // What retention took can't be told from what was never there.
    if (partitions.some(({ start }) => start > 0n))
      throw gone(1n, `in Postgres any more, nor in ${topic}; no archive is configured (ARCHIVE_URL)`)
    const registry = new SchemaRegistry(schemaRegistry)
    const decoder = new AvroDecoder<{ sequence: bigint; index: number }>(registry, schemaOf(TOPICS.processed))
    const cursor = new TopicCursor({
      partitions,
      read: (partition, from, next) => reader.read(topic, partition, from, next),
      sequenceOf: (value) => decoder.decode(value).sequence,
      prepare: (values) => decoder.prepare(values.flatMap((value) => writerIdOf(value) ?? [])),
    })
    const indexOf = ({ value }: OutputRecord): number => decoder.decode(value).index
    for (let expected = 1n; expected <= through; ) {
      const sequence = leastOf(await cursor.firsts()) ?? through + 1n
      // Repaired outputs stand behind their turn.
      if (sequence < expected)
        throw gone(sequence, `in Postgres any more, and stands out of its turn in ${topic}`)
      // Those that decided about no transaction: labels and time count by them.
      for (; expected < sequence && expected <= through; expected += 1n)
        yield { sequence: expected, values: [] }
      if (sequence > through) return
      const records = (await cursor.upTo(sequence)).toSorted((a, b) => indexOf(a) - indexOf(b))
      yield { sequence, values: records.map(({ value }) => value) }
      expected = sequence + 1n
    }
  } finally {
    await reader.close()
    await admin.close()
  }
}

const leastOf = (records: readonly OutputRecord[]): bigint | undefined =>
  records
    .map(({ sequence }) => sequence)
    .reduce<bigint | undefined>(
      (least, each) => (least === undefined || each < least ? each : least),
      undefined,
    )
