/** What the commands on a ledger's data share: reading from Postgres, publishing a record, and learning what became of it. */
import { parseExactJson } from '#api/exact-json.ts'
import { type IngestGateway, type IngestRecord, makeIngestGateway } from '#api/gateway/ingest-gateway.ts'
import { PositionWaiter } from '#api/gateway/position-waiter.ts'
import { type RecordOutcome, readRecordOutcome } from '#api/gateway/record-outcome.ts'
import { Problem } from '#api/problem.ts'
import type { CommandContext } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { OperatingError, UnreachableError } from '#platform/errors.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { type Kafka, makeKafka } from '#platform/kafka/client.ts'
import { BatchingProducer, type OutgoingRecord } from '#platform/kafka/producer.ts'
import { continueTrace, withTrace } from '#platform/observability/trace.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { type LogPosition, readAppliedOffsets } from '#platform/postgres/queries/read-applied-offsets.ts'
import { type LedgerProgress, requireProgress } from '#platform/postgres/queries/read-progress.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { INGEST_TOPICS, type TopicKey } from '#schemas/topics.ts'

const CLIENT_NAME = 'tallystream-cli'
/** A person waits: long enough for a broker that restarts, short enough to say that none is there. */
const KAFKA_TIMEOUT_MS = 10_000
const CONNECTIONS_MAX = 8
/** A service that refuses says so at once; one on a busy machine gets this long. */
export const CONNECT_TIMEOUT_MS = 10_000

/** Reads one ledger. */
export interface LedgerReader {
  readonly configuration: Configuration
  readonly pool: ReadPool
  readonly registry: SchemaRegistry
  /** How the engine stood when this was opened. */
  readonly progress: LedgerProgress
}

/** A record that was published, and what became of it; null where nobody waited for that. */
export interface Submission {
  readonly position: LogPosition
  /** Names the record in the engine's logs; null where it was published without one. */
  readonly traceId: string | null
  readonly outcome: RecordOutcome | null
}

/** Reads and writes one ledger. */
export interface LedgerWriter extends LedgerReader {
  /**
   * Publishes a record and waits until it is applied.
   *
   * @param waitMs How long to wait; 0 = not at all.
   * @throws OperatingError `card_number_refused` (nothing is published); UnreachableError `engine_unreachable` where it isn't
   *   applied in time; what publishing throws.
   */
  submit(topic: TopicKey, key: string, record: IngestRecord, waitMs: number): Promise<Submission>
  /** Publishes bytes as they are. @param record.topic without the ledger's prefix @returns their place, likewise */
  publishBytes(record: OutgoingRecord): Promise<LogPosition>
  /**
   * Waits until a record that was published since this was opened is applied; what became of it.
   *
   * @throws UnreachableError `engine_unreachable` where it isn't applied in time.
   */
  outcomeOf(position: LogPosition, waitMs: number): Promise<RecordOutcome>
}

/**
 * Opens the configured ledger for reading; the command's end closes it.
 *
 * @throws ConfigurationError where it has no tables; UnreachableError where Postgres doesn't answer.
 */
export async function openReader(context: CommandContext): Promise<LedgerReader> {
  const configuration = loadConfiguration()
  const pool = makePool({
    ...configuration.postgres,
    applicationName: CLIENT_NAME,
    connectionsMax: CONNECTIONS_MAX,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  })
  context.onClose(() => pool.close())
  const progress = await requireProgress(pool, configuration.ledger.name)
  return { configuration, pool, registry: new SchemaRegistry(configuration.schemaRegistry), progress }
}

/**
 * Opens the configured ledger for reading and writing; the command's end closes it.
 *
 * @throws as `openReader`; ConfigurationError where the topics are missing; UnreachableError `kafka_unreachable`
 */
export async function openWriter(context: CommandContext): Promise<LedgerWriter> {
  const reader = await openReader(context)
  const { kafka, ledger } = reader.configuration
  const client = makeKafka(kafka, { clientId: CLIENT_NAME })
  const producer = new BatchingProducer({ kafka: client, lingerMs: 0, sendTimeoutMs: KAFKA_TIMEOUT_MS })
  context.onClose(() => producer.close())
  await producer.connect()
  await requireTopics(client, ledger.topicPrefix)
  const gateway = makeIngestGateway({ sender: producer, topicPrefix: ledger.topicPrefix })
  return {
    ...reader,
    submit: (topic, key, record, waitMs) => submit({ context, reader, gateway }, topic, key, record, waitMs),
    publishBytes: async (record) => {
      const { topic } = record
      const position = await producer.send({ ...record, topic: `${ledger.topicPrefix}${topic}` })
      return { ...position, topic }
    },
    outcomeOf: async (position, waitMs) => {
      await untilApplied({ context, reader }, position, waitMs)
      return readRecordOutcome(reader.pool, reader.registry, position, reader.progress.sequence)
    },
  }
}

/** A record to a topic that isn't there would be tried again until the time is over. @throws ConfigurationError */
export async function requireTopics(kafka: Kafka, topicPrefix: string): Promise<void> {
  const admin = new KafkaAdmin(kafka, { timeoutMs: KAFKA_TIMEOUT_MS })
  try {
    await admin.requireTopics(INGEST_TOPICS.map(({ name }) => `${topicPrefix}${name}`))
  } finally {
    await admin.close()
  }
}

interface Submitter {
  readonly context: CommandContext
  readonly reader: LedgerReader
  readonly gateway: IngestGateway
}

async function submit(
  submitter: Submitter,
  topic: TopicKey,
  key: string,
  record: IngestRecord,
  waitMs: number,
): Promise<Submission> {
  const { reader, gateway } = submitter
  refuseCardNumbers(key, record)
  // What applies the record comes after this.
  const { sequence } = await requireProgress(reader.pool, reader.configuration.ledger.name)
  const trace = continueTrace(undefined)
  const { traceId } = trace
  const position = await withTrace(trace, undefined, () => gateway.publish(topic, key, record))
  if (waitMs === 0) return { position, traceId, outcome: null }
  await untilApplied(submitter, position, waitMs)
  const outcome = await readRecordOutcome(reader.pool, reader.registry, position, sequence)
  return { position, traceId, outcome }
}

/** A real card number must not reach a topic, where it would stay. */
function refuseCardNumbers(key: string, record: IngestRecord): void {
  try {
    const digits = (_name: string, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)
    parseExactJson(JSON.stringify({ key, record }, digits))
  } catch (error) {
    if (error instanceof Problem) throw new OperatingError(error.code, error.message, { cause: error })
    throw error
  }
}

async function untilApplied(
  { context, reader }: Pick<Submitter, 'context' | 'reader'>,
  position: LogPosition,
  waitMs: number,
): Promise<void> {
  const { pool, configuration } = reader
  let failure: unknown
  const waiter = new PositionWaiter({
    readAppliedOffsets: () => readAppliedOffsets(pool, configuration.ledger.clusterId),
    onPollFailed: (error) => {
      failure = error
    },
  })
  const close = () => waiter.close()
  context.signal.addEventListener('abort', close, { once: true })
  const isApplied = await waiter.wait(position, waitMs)
  context.signal.removeEventListener('abort', close)
  context.signal.throwIfAborted()
  if (isApplied) return
  if (failure !== undefined) throw failure
  const place = `${position.topic}:${position.partition} at offset ${position.offset}`
  throw new UnreachableError(
    'engine',
    `published to ${place}, but not applied within ${waitMs / 1000} s; is the engine running (npx tallystream run)?`,
  )
}
