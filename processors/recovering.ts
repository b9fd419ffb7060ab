/** A recovery put together from a ledger's services: what the command line starts. */
import { hostname } from 'node:os'
import type { Configuration } from '#platform/config/configuration.ts'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { type Kafka, makeKafka } from '#platform/kafka/client.ts'
import { FencedProducer } from '#platform/kafka/fenced-producer.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import { openStorage } from '#platform/object-storage/open-storage.ts'
import type { Logger } from '#platform/observability/logger.ts'
import { ArchiveProgress } from '#platform/postgres/archive-progress.ts'
import { AuditLog, type StoredAuditEntry } from '#platform/postgres/audit-log.ts'
import { type EnginePool, makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { Lease } from '#platform/postgres/lease.ts'
import { LedgerSession } from '#platform/postgres/ledger-store/session.ts'
import { createPartitionsAhead, migrateLedger } from '#platform/postgres/migrate.ts'
import { makePool } from '#platform/postgres/pool.ts'
import { RecoveryStore } from '#platform/postgres/recovery.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { systemClock } from '#platform/time/clock.ts'
import { INGEST_TOPICS, TOPICS } from '#schemas/topics.ts'
import { BatchApplier } from './apply/batch.ts'
import { Archive } from './archive/archive.ts'
import { topicRecords } from './archive/open-archiver.ts'
import { type IngestRecords, joinedSource } from './archive/sources.ts'
import { BatchAssembler } from './audit/replay/assembler.ts'
import { LedgerDigest } from './audit/replay/digest.ts'
import { encodersBy } from './audit/replay/frame-codecs.ts'
import { makeChunkDecoder } from './ingest/chunk-decoder.ts'
import type { IngestTopicName } from './ingest/inputs.ts'
import { publisherGroup } from './publish/position.ts'
import { publisherTransactionalId } from './publish/publisher.ts'
import {
  type BatchTopic,
  type HistoryPlan,
  type LedgerBatchValue,
  recordedHistory,
} from './recover/recorded.ts'
import { countWaiting, type LogRange, lastRecordsOf } from './recover/finishing.ts'
import { RecordedStore } from './recover/recorded-store.ts'
import { type RecordedApplier, type RecoveredHistory, recoverBatches } from './recover/recovery.ts'
import { digestOfTables } from './recover/table-digest.ts'

export interface RecoverOptions {
  readonly configuration: Configuration
  readonly logger: Logger
  readonly onPlan: (plan: { readonly from: bigint; readonly to: bigint }) => void
  readonly onBatch: (sequence: bigint) => void
  readonly signal: AbortSignal
}

export interface RecoverResult {
  /** Batches decided again and committed. */
  readonly batches: number
  /** Decisions about transactions in them. */
  readonly transactions: number
  /** Batches by where they were recorded. */
  readonly from_archive: number
  readonly from_topics: number
  /** Ingest records (but ticks) behind the recovered positions: what processors will decide anew. */
  readonly decided_anew: number
  readonly sequence: bigint
  readonly head_hash: string
  readonly timeline: bigint
  /** The last published batch; the publisher goes on behind it. */
  readonly published: bigint
  /** Entries of the audit log that were put back; null where the log has another past than the archived one. */
  readonly audit_log: number | null
  /** Of all entries and balances, as `audit replay` gives it. */
  readonly digest: string
}

const LEASE = { name: 'recover', lifetimeMs: 60_000, renewMs: 15_000 }
const CACHED_ACCOUNTS_MAX = 200_000
const IDLE_IN_TRANSACTION_MS = 30_000
const CONNECT_TIMEOUT_MS = 5_000
const AUDIT_PAGE = 1_000
const DIGEST_STATEMENT_TIMEOUT_MS = 120_000

/**
 * Recovers the configured ledger: into a schema that holds none, or one that was restored to an earlier moment. May be run again
 * after it was stopped or killed. @throws IncidentError `recover_difference`, `recover_gap`, `recover_other_past`,
 * `recover_incomplete`; OperatingError `engine_running`, `recover_other_ledger`, `records_gone`; ConfigurationError; UnreachableError
 */
export const recover = async (options: RecoverOptions): Promise<RecoverResult> => {
  const recovery = new Recovery(options)
  try {
    return await recovery.run()
  } finally {
    await recovery.close()
  }
}

const later = (one: bigint, other: bigint): bigint => {
  if (one < other) return other
  return one
}

class Recovery {
  private readonly options: RecoverOptions
  private readonly pool: EnginePool
  private readonly store: RecoveryStore
  private readonly kafka: Kafka
  private readonly admin: KafkaAdmin
  private readonly registry: SchemaRegistry
  private readonly records: IngestRecords
  private readonly reader: RangeReader
  private readonly archive: Archive | null
  private readonly lease: Lease
  private leasedAtMs = 0
  private session: { cluster: string; store: RecordedStore } | null = null

  constructor(options: RecoverOptions) {
    this.options = options
    const { configuration, logger } = options
    const { ledger, archive } = configuration
    this.pool = makeEnginePool(configuration.postgres, {
      applicationName: 'tallystream recover',
      connectionsMax: 2,
    })
    this.store = new RecoveryStore(this.pool)
    this.kafka = makeKafka(configuration.kafka, { clientId: 'tallystream-recover', logger })
    this.admin = new KafkaAdmin(this.kafka)
    this.registry = new SchemaRegistry(configuration.schemaRegistry)
    this.reader = new RangeReader(this.kafka)
    this.archive = archive.url === undefined ? null : new Archive(openStorage(archive), ledger.name)
    const topics = topicRecords(this.kafka, ledger.topicPrefix)
    this.records = this.archive === null ? topics : joinedSource(this.archive, topics)
    this.lease = new Lease(this.pool, {
      ...LEASE,
      holder: `${hostname()}:${process.pid}`,
    })
  }

  async run(): Promise<RecoverResult> {
    await this.archive?.refresh()
    const position = await this.fencePublisher()
    const history = recordedHistory(this.archive, await this.batchTopic())
    const plan = await history.plan((await this.store.read())?.sequence ?? 0n)
    // The topic has it too, where the brokers have forgotten the position.
    const published = later(position, plan.published)
    await this.prepare(plan)
    const found = (await this.store.read())!
    this.options.onPlan({ from: found.sequence, to: plan.last })
    await this.openPositions(plan)
    const recovered = await recoverBatches(
      {
        history,
        sequence: found.sequence,
        inputs: (all) => new BatchAssembler(this.records, this.decoder(), all),
        applier: this.applier(),
        setEpochs: (cluster, sources) => this.store.setEpochs(cluster, sources),
        setJumps: (cluster, jumps) => this.store.setJumps(cluster, jumps),
        onMonth: () => createPartitionsAhead(this.pool),
        onBatch: async ({ sequence }) => {
          this.options.onBatch(sequence)
          await this.keepLease()
        },
        signal: this.options.signal,
      },
      plan.ranges,
    )
    if (recovered.last < published) {
      throw new IncidentError(
        'recover_incomplete',
        `batch ${published} was published, but neither the archive nor the topics have batches behind ${recovered.last}; the ledger stays closed`,
      )
    }
    return await this.finish(recovered, 1n + later(found.timeline, plan.timeline), published)
  }

  private async finish(
    recovered: RecoveredHistory,
    timeline: bigint,
    published: bigint,
  ): Promise<RecoverResult> {
    const { clusterId } = this.options.configuration.ledger
    await this.store.setLastRecords(await lastRecordsOf(this.records, recovered.lastRecords))
    await this.store.setTurns(clusterId)
    const positions = await this.store.positions(clusterId)
    const counted = INGEST_TOPICS.map(({ name }) => name).filter((name) => name !== TOPICS.ticks.name)
    const waiting = await countWaiting(
      this.records,
      clusterId,
      await this.logs(counted),
      positions,
      recovered.last + 1n,
    )
    const auditLog = await this.restoreAuditLog()
    const archived = await this.archive?.last()
    if (archived != null) await new ArchiveProgress(this.pool).note(this.archive!.progressOf(archived))
    await this.store.finish({ timeline, published })
    const { sequence, hash } = (await this.store.read())!
    return {
      batches: recovered.batches,
      transactions: recovered.transactions,
      from_archive: recovered.fromArchive,
      from_topics: recovered.fromTopics,
      decided_anew: waiting,
      sequence,
      head_hash: hash.toString('hex'),
      timeline,
      published,
      audit_log: auditLog,
      digest: await this.digest(),
    }
  }

  /** What the archive has of the audit log, where the log here ends before it. @returns how many entries; null where they don't fit */
  private async restoreAuditLog(): Promise<number | null> {
    let restored = 0
    if (this.archive === null) return restored
    const log = new AuditLog(this.pool)
    let page: StoredAuditEntry[] = []
    const restorePage = async (): Promise<boolean> => {
      const count = await log.restore(page)
      restored += count ?? 0
      page = []
      return count !== null
    }
    for await (const entry of this.archive.auditLog()) {
      if (page.push(entry) >= AUDIT_PAGE && !(await restorePage())) return null
    }
    return (await restorePage()) ? restored : null
  }

  private async digest(): Promise<string> {
    const pool = makePool({
      ...this.options.configuration.postgres,
      applicationName: 'tallystream recover',
      connectionsMax: 1,
      statementTimeoutMs: DIGEST_STATEMENT_TIMEOUT_MS,
    })
    try {
      return await digestOfTables(pool, new LedgerDigest())
    } finally {
      await pool.close()
    }
  }

  private async logs(topics: readonly string[]): Promise<LogRange[]> {
    const logs: LogRange[] = []
    for (const name of topics) {
      const ranges = await this.admin.ranges(`${this.options.configuration.ledger.topicPrefix}${name}`)
      for (const { partition, start, end } of ranges) logs.push({ topic: name, partition, start, end })
    }
    return logs
  }

  async close(): Promise<void> {
    await this.session?.store.close()
    await this.records.close()
    await this.reader.close()
    await this.admin.close()
    await this.archive?.storage.close()
    await this.lease.release()
    await this.pool.end()
  }

  /** Ends what a publisher left open, so that the topics are read to their end. @returns the last published batch */
  private async fencePublisher(): Promise<bigint> {
    const { ledger } = this.options.configuration
    const found = await this.store.read()
    if (found !== null) await this.expectStopped()
    const producer = new FencedProducer({
      kafka: this.kafka,
      transactionalId: publisherTransactionalId(ledger.name),
    })
    try {
      await producer.fence()
      return (await producer.readPosition(publisherGroup(ledger.topicPrefix, ledger.name))) ?? 0n
    } finally {
      await producer.close()
    }
  }

  private async expectStopped(): Promise<void> {
    const atWork = await this.store.atWork(LEASE.name)
    if (atWork.length === 0) return
    throw new OperatingError('engine_running', `stop the engine first; at work: ${atWork.join(', ')}`)
  }

  private async prepare({ genesis }: HistoryPlan): Promise<void> {
    const { ledger, postgres } = this.options.configuration
    if ((await this.store.read()) === null) {
      if (genesis === null) {
        throw new IncidentError(
          'recover_gap',
          'neither the archive nor the topics say what the ledger began with: there is nothing to recover from',
        )
      }
      await migrateLedger(postgres, {
        ledger: ledger.name,
        nowMs: genesis.tickMs,
        logicVersion: genesis.logicVersion,
      })
    }
    if (!(await this.lease.take())) throw new OperatingError('engine_running', 'another recovery is at work')
    this.leasedAtMs = performance.now()
    await this.expectStopped()
    await this.store.begin(genesis === null ? null : { ledger: ledger.name, ...genesis }, ledger.name)
  }

  private async keepLease(): Promise<void> {
    if (performance.now() - this.leasedAtMs < LEASE.renewMs) return
    if (!(await this.lease.take())) throw new OperatingError('engine_running', 'another recovery is at work')
    this.leasedAtMs = performance.now()
  }

  /**
   * Offset rows for all partitions that the batches read, as for those that nothing was read of: they stand where the log begins,
   * as when they were taken first.
   */
  private async openPositions(plan: HistoryPlan): Promise<void> {
    for (const cluster of new Set(plan.ranges.map((range) => range.cluster))) {
      const own = plan.ranges.filter((range) => range.cluster === cluster)
      await this.store.addPartitions(cluster, own)
    }
    const { clusterId } = this.options.configuration.ledger
    const clusters = new Set([...plan.ranges.map(({ cluster }) => cluster), ...(await this.store.clusters())])
    // Elsewhere, what was read of a partition must be found on this cluster first.
    if (clusters.size !== 1 || !clusters.has(clusterId)) return
    const logs = await this.logs(INGEST_TOPICS.map(({ name }) => name))
    await this.store.addPartitions(
      clusterId,
      logs.map(({ topic, partition, start }) => ({ topic, partition, from: start })),
    )
  }

  private async batchTopic(): Promise<BatchTopic> {
    const { topicPrefix } = this.options.configuration.ledger
    const topic = `${topicPrefix}${TOPICS.batches.name}`
    const [range] = await this.admin.ranges(topic)
    const decoder = new AvroDecoder<LedgerBatchValue>(this.registry, schemaOf(TOPICS.batches))
    return {
      read: () => this.reader.read(topic, 0, range!.start, range!.end),
      decode: async (values) => {
        await decoder.prepare(new Set(values.map((value) => writerIdOf(value)!)))
        return values.map((value) => decoder.decode(value))
      },
    }
  }

  private decoder(): ConstructorParameters<typeof BatchAssembler>[1] {
    const contracts = Object.fromEntries(
      INGEST_TOPICS.map((topic) => [topic.name, { schema: schemaOf(topic) }]),
    ) as { [topic in IngestTopicName]: { schema: ReturnType<typeof schemaOf> } }
    const { decode } = makeChunkDecoder({ registry: this.registry, contracts, topicPrefix: '' })
    return (topic, records) => decode({ topic, records: [...records] })
  }

  private applier(): RecordedApplier {
    const encoders = encodersBy(this.registry)
    let current: { name: string; store: RecordedStore; applier: BatchApplier } | null = null
    return {
      apply: async (batch, selection) => {
        const { cluster, schemas } = batch.header
        const name = `${cluster} ${schemas.join()}`
        if (current?.name !== name || current.store.isBroken) {
          const store = await this.sessionFor(cluster)
          await this.store.enterCluster(cluster, batch.sequence - 1n)
          const applier = new BatchApplier({
            ledger: this.options.configuration.ledger.name,
            session: store,
            clock: systemClock,
            encoders: await encoders(schemas),
            schemas,
            accountsMax: CACHED_ACCOUNTS_MAX,
            // What was recorded has been published, or will be before anything new is decided.
            publishBacklogMax: Number.MAX_SAFE_INTEGER,
            publishedSequence: () => batch.sequence,
          })
          current = { name, store, applier }
        }
        current.store.expect(batch)
        const { effects } = await current.applier.apply(selection)
        return { decisions: effects.decisions.length }
      },
    }
  }

  private async sessionFor(cluster: string): Promise<RecordedStore> {
    if (this.session?.cluster === cluster && !this.session.store.isBroken) return this.session.store
    await this.session?.store.close()
    const { postgres } = this.options.configuration
    const session = await LedgerSession.open({
      connectionString: postgres.url,
      ssl: postgres.sslCa === undefined ? undefined : { ca: postgres.sslCa },
      schema: postgres.schema,
      clusterId: cluster,
      owner: 'recovery',
      idleInTransactionMs: IDLE_IN_TRANSACTION_MS,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
    })
    this.session = { cluster, store: new RecordedStore(session) }
    return this.session.store
  }
}
