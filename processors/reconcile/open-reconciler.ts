/** The reconciler of a ledger over its real services. */
import { transactionValue } from '#connectors/ingest/wire.ts'
import { parsePair } from '#connectors/reconciliation/pair-file.ts'
import type { StatementValue } from '#domain/statements/record.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import type { IncidentError } from '#platform/errors.ts'
import type { KafkaAdmin } from '#platform/kafka/admin.ts'
import type { Kafka } from '#platform/kafka/client.ts'
import { FencedProducer } from '#platform/kafka/fenced-producer.ts'
import { BatchingProducer } from '#platform/kafka/producer.ts'
import type { RangeReader } from '#platform/kafka/range-reader.ts'
import { tailOf } from '#platform/kafka/topic-tail.ts'
import type { Logger } from '#platform/observability/logger.ts'
import { type EnginePool, makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { Lease } from '#platform/postgres/lease.ts'
import { readLedgerPostings } from '#platform/postgres/reconciliation/ledger-postings.ts'
import type { BatchStore } from '#platform/postgres/batch-store.ts'
import { type ResultValue, ResultsStore } from '#platform/postgres/reconciliation/results.ts'
import { ReconciliationStore } from '#platform/postgres/reconciliation/store.ts'
import { readWriteOffDecisions } from '#platform/postgres/reconciliation/write-off-decisions.ts'
import { type Contracts, encoderOf, schemaOf } from '#platform/schema-registry/contracts.ts'
import type { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { TOPICS } from '#schemas/topics.ts'
import { InputTopic } from './input-topic.ts'
import { commandOfJson } from './command-json.ts'
import type { CommandValue, PairRunnerOptions } from './pair-runner.ts'
import { Reconciler } from './reconciler.ts'
import { ResultsPublisher } from './results-publisher.ts'
import { WriteOffs } from './write-offs.ts'

const LEASE_MS = 10_000
/** One writes, one reads, one for the lease. */
const CONNECTIONS_MAX = 3

export interface OpenReconcilerOptions {
  readonly configuration: Configuration
  readonly kafka: Kafka
  readonly contracts: Contracts
  readonly onClose: (closer: () => Promise<void>) => void
  readonly admin: KafkaAdmin
  readonly ranges: RangeReader
  readonly pool: EnginePool
  readonly registry: SchemaRegistry
  readonly holder: string
  readonly logger: Logger
  readonly store: Pick<BatchStore, 'readHead'>
  readonly onCommit: PairRunnerOptions['onCommit']
  readonly onFigures: PairRunnerOptions['onFigures']
  readonly onPublished: (sequence: bigint) => void
  /** A failure that publishing goes on after. */
  readonly onFailure: (code: string) => void
  readonly onIncident: (incident: IncidentError) => void
}

export interface OpenedReconciler {
  readonly ready: boolean
  run(): Promise<void>
  stop(): Promise<void>
}

/** Opens it, and beside it what publishes its results; both begin with `run`. */
export function openReconciler(options: OpenReconcilerOptions): OpenedReconciler {
  const parts = [reconcilerOf(options), resultsPublisherOf(options)]
  return {
    get ready() {
      return parts.every(({ ready }) => ready)
    },
    run: async () => {
      await Promise.all(parts.map((part) => part.run()))
    },
    stop: async () => {
      await Promise.all(parts.map((part) => part.stop()))
    },
  }
}

function reconcilerOf(options: OpenReconcilerOptions): Reconciler {
  const { configuration, admin, ranges, registry, logger } = options
  // Of its own, so that a portion is written while the next one is read.
  const pool = makeEnginePool(configuration.postgres, {
    applicationName: 'tallystream reconciler',
    connectionsMax: CONNECTIONS_MAX,
    pipeline: true,
  })
  options.onClose(() => pool.end())
  const { topicPrefix, clusterId } = configuration.ledger
  const inputOf = <T>(
    topic: 'statements' | 'reconciliationCommands',
    parseJson?: (text: string) => T | null,
  ) =>
    new InputTopic<T>({
      admin,
      ranges,
      decoder: new AvroDecoder<T>(registry, schemaOf(TOPICS[topic])),
      topic: TOPICS[topic].name,
      topicPrefix,
      ...(parseJson === undefined ? {} : { parseJson }),
    })
  const statements = inputOf<StatementValue>('statements')
  const commands = inputOf<CommandValue>('reconciliationCommands', commandOfJson)
  return new Reconciler({
    store: new ReconciliationStore(pool, clusterId),
    readPostings: (range, accounts) => readLedgerPostings(pool, range, accounts),
    writeOffs: writeOffsOf(options),
    readStatements: (from, recordsMax) => statements.read(0, from, recordsMax),
    readCommands: (from, recordsMax) => commands.read(0, from, recordsMax),
    parseSettings: parsePair,
    topics: { statements: TOPICS.statements.name, commands: TOPICS.reconciliationCommands.name },
    lease: new Lease(pool, { name: 'reconciler', holder: options.holder, lifetimeMs: LEASE_MS }),
    leaseRenewMs: LEASE_MS / 4,
    logger,
    warn: (fields, message) => logger.warn(fields, message),
    onCommit: options.onCommit,
    onFigures: options.onFigures,
    onIncident: options.onIncident,
  })
}

/** Through a producer of its own, keyed by the account that is debited, as the gateway does. */
function writeOffsOf({ configuration, kafka, contracts, pool, onClose }: OpenReconcilerOptions): WriteOffs {
  const producer = new BatchingProducer({ kafka, lingerMs: 0 })
  onClose(() => producer.close())
  const encoder = encoderOf<unknown>(contracts.transactions)
  const topic = `${configuration.ledger.topicPrefix}${TOPICS.transactions.name}`
  return new WriteOffs({
    publish: async (commands) => {
      await producer.sendAll(
        commands.map((command) => ({
          topic,
          key: command.postings[0]!.debit,
          value: encoder.encode(transactionValue(command)),
        })),
      )
    },
    readPostings: (range, accounts) => readLedgerPostings(pool, range, accounts),
    readDecisions: (keys, upTo) => readWriteOffDecisions(pool, keys, upTo),
  })
}

function resultsPublisherOf(options: OpenReconcilerOptions): ResultsPublisher {
  const { configuration, kafka, contracts, pool, logger, holder } = options
  const { name, topicPrefix } = configuration.ledger
  const topic = `${topicPrefix}${TOPICS.reconciliationResults.name}`
  const encoder = encoderOf<ResultValue>(contracts.reconciliationResults)
  const decoder = new AvroDecoder<ResultValue>(options.registry, contracts.reconciliationResults.schema)
  const tail = { admin: options.admin, reader: options.ranges }
  return new ResultsPublisher({
    ledger: name,
    topic,
    store: new ResultsStore(pool),
    readTimeline: async () => (await options.store.readHead()).timeline,
    makeProducer: () => new FencedProducer({ kafka, transactionalId: `tallystream.reconciler.${name}` }),
    readLast: async () => {
      const [last] = await tailOf(tail, { topic, partition: 0 }, () => false)
      if (last?.value === null || last === undefined) return undefined
      await decoder.prepare([writerIdOf(last.value) ?? contracts.reconciliationResults.id])
      return decoder.decode(last.value)
    },
    encode: (value) => encoder.encode(value),
    lease: new Lease(pool, { name: 'reconciliation-results', holder, lifetimeMs: LEASE_MS }),
    leaseRenewMs: LEASE_MS / 4,
    logger,
    onPublished: options.onPublished,
    onFailure: options.onFailure,
    onIncident: options.onIncident,
  })
}
