/**
 * Start reading here: how one ledger's records flow.
 *
 *   ingest topics → [ingest: read, decode] → [apply: lock the head → load → decide (domain/) → encode → commit] → Postgres
 *   Postgres batches → [publish: Redis → Kafka, outputs and position in one transaction] → output topics
 *   clock → [time: ticks] → ingest topic `ticks`
 *   Postgres batches and ingest topics → [archive] → object storage
 *   topics `statements`, `reconciliation.commands` and Postgres batches → [reconcile: match → breaks → commit] → Postgres
 *   [upkeep: partitions, closings of periods, what may go]
 *
 * The stages meet only in Postgres and Kafka, so each may run in any number of processes: see cli/commands/run.ts.
 */
import type { FrameTopic } from '#domain/ledger/batch-record.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import type { IncidentError } from '#platform/errors.ts'
import { FencedProducer } from '#platform/kafka/fenced-producer.ts'
import { IngestConsumer } from '#platform/kafka/ingest-consumer.ts'
import { BatchingProducer } from '#platform/kafka/producer.ts'
import {
  countOutcomes,
  countReconciled,
  type EngineMetrics,
  makeReconciliationGauges,
} from '#platform/observability/engine-metrics.ts'
import type { Logger } from '#platform/observability/logger.ts'
import { adoptPartition, enterCluster, isAnyTaken, readOrigins } from '#platform/postgres/clusters.ts'
import { Lease } from '#platform/postgres/lease.ts'
import { LedgerSession } from '#platform/postgres/ledger-store/session.ts'
import { endLeases, readLostMembers } from '#platform/postgres/lost-members.ts'
import { noteIncident } from '#platform/postgres/positions.ts'
import { BalanceCacheWriter } from '#platform/redis/balance-cache-writer.ts'
import { closeRedis, openRedis } from '#platform/redis/client.ts'
import { type Contracts, encodeAtOf, encoderOf, frameSchemaIds } from '#platform/schema-registry/contracts.ts'
import { atMost, systemClock } from '#platform/time/clock.ts'
import { INGEST_TOPICS, TOPICS } from '#schemas/topics.ts'
import { openArchiver } from './archive/open-archiver.ts'
import { makeChunkDecoder } from './ingest/chunk-decoder.ts'
import { balanceSinkOf } from './publish/balance-sink.ts'
import { batchEncoder } from './publish/batches.ts'
import { EntryMaker } from './publish/entry-maker.ts'
import { expectNotRestored, publisherGroup } from './publish/position.ts'
import { Publisher, publisherTransactionalId } from './publish/publisher.ts'
import { BatchSize } from './runtime/batch-size.ts'
import { logDeadLetters } from './runtime/log-dead-letters.ts'
import { makeLagWatch } from './runtime/lag-watch.ts'
import { watchLostMembers } from './runtime/lost-members.ts'
import { makeClusterHistory } from './runtime/other-cluster.ts'
import type { OutputEncoders } from './runtime/outputs.ts'
import { logTimedOutWait } from './runtime/log-timed-out-wait.ts'
import { Processor } from './runtime/processor.ts'
import { openShared, type Shared } from './shared.ts'
import { openReconciler } from './reconcile/open-reconciler.ts'
import { Ticker } from './time/ticker.ts'
import { startUpkeep } from './upkeep/start-upkeep.ts'

export type Role = 'processor' | 'publisher' | 'ticker' | 'archiver' | 'reconciler'

export interface PipelineOptions {
  readonly configuration: Configuration
  readonly roles: readonly Role[]
  readonly logger: Logger
  readonly metrics: EngineMetrics
  readonly onIncident: (incident: IncidentError) => void
}

export interface Pipeline {
  /** Whether every part does its work. */
  ready(): boolean
  /** Settles when a part ended by itself: with the incident that stopped it. */
  readonly ended: Promise<void>
  /** Drains and closes; within 5 s. */
  stop(): Promise<void>
}

interface Part {
  run(): Promise<void>
  stop(): Promise<void>
  readonly ready?: boolean
}

const CACHED_ACCOUNTS_MAX = 200_000
const LEASE_MS = { publisher: 2_000, ticker: 3_000 }
const TICK_INTERVAL_MS = 1_000
const LAG_EVERY_MS = 1_000
/** Of the 5 s that an end may take: for the parts, whose own bounds are below this, and for what they share. */
const STOP_MS = { parts: 3_600, shared: 600 }
const POSITIONS_EVERY_MS = 5_000
const LOST_MEMBERS_EVERY_MS = 200

/** Starts the given roles of a ledger. @throws ConfigurationError, UnreachableError */
export const startPipeline = async (options: PipelineOptions): Promise<Pipeline> => {
  const { configuration, logger } = options
  const shared = await openShared(options)
  const publisher = options.roles.includes('publisher') ? makePublisher(options, shared) : null
  const parts: Part[] = []
  if (publisher !== null) parts.push(publisher)
  if (options.roles.includes('ticker')) parts.push(makeTicker(options, shared))
  if (options.roles.includes('archiver')) parts.push(makeArchiver(options, shared))
  if (options.roles.includes('reconciler')) parts.push(makeReconciler(options, shared))
  if (options.roles.includes('processor')) {
    const processor = makeProcessor(options, shared, () => publisher?.wake())
    parts.push(processor)
    watchProcessor(processor, options, shared)
    shared.onClose(watchOthers(processor, options, shared))
  }
  const upkeep = startUpkeep({ ...options, holder: shared.holder })
  logger.info({ ledger: configuration.ledger.name, roles: options.roles }, 'started')
  const ended = Promise.race(parts.map((part) => part.run()))
  return {
    ready: () => parts.every((part) => part.ready ?? true),
    ended,
    stop: async () => {
      const stopping = [...parts, upkeep].map((part) => part.stop())
      await inTime(logger, 'the parts', STOP_MS.parts, Promise.all(stopping))
      await inTime(logger, 'the connections', STOP_MS.shared, shared.close())
    },
  }
}

/** Waits for a part of the end, but not for a service that is silent: what is left open ends with the process. */
const inTime = async (logger: Logger, what: string, ms: number, work: Promise<unknown>): Promise<void> => {
  const logged = work.catch((error: unknown) => logger.error({ err: error }, `closing ${what} failed`))
  if (await atMost(systemClock, ms, logged)) return
  logger.warn({ ms }, `closing ${what} took too long: not waited for`)
}

/** Lag for metrics, positions for the tools that look at the consumer group. */
const watchProcessor = (
  processor: Processor,
  { configuration, metrics, logger }: PipelineOptions,
  shared: Shared,
): void => {
  const { topicPrefix } = configuration.ledger
  const lookAtLag = makeLagWatch({
    standing: () => processor.standing(),
    ranges: (topic) => shared.admin.ranges(`${topicPrefix}${topic}`),
    show: (lags) => {
      metrics.lag.reset()
      for (const { topic, partition, lag } of lags) {
        metrics.lag.set({ topic: `${topicPrefix}${topic}`, partition: String(partition) }, Number(lag))
      }
    },
    onFailure: (error) => logger.debug({ err: error }, 'looking at the lag failed'),
  })
  const showLag = setInterval(() => {
    void lookAtLag()
    const waiting = processor.waiting()
    metrics.partitionsWaiting.set({ for: 'after' }, waiting.after)
    metrics.partitionsWaiting.set({ for: 'schema' }, waiting.schema)
  }, LAG_EVERY_MS)
  const showPositions = setInterval(() => void processor.showPositions(), POSITIONS_EVERY_MS)
  shared.onClose(() => {
    clearInterval(showLag)
    clearInterval(showPositions)
  })
}

/** The other processors: whoever was killed is replaced at once. */
const watchOthers = (
  processor: Processor,
  { configuration, metrics, logger }: PipelineOptions,
  shared: Shared,
): (() => void) =>
  watchLostMembers({
    everyMs: LOST_MEMBERS_EVERY_MS,
    self: shared.holder,
    read: () => readLostMembers(shared.pool, configuration.ledger.clusterId),
    remove: async ({ memberId, holder }) => {
      const [wasThere] = await Promise.all([processor.removeMember(memberId), endLeases(shared.pool, holder)])
      if (wasThere === true) {
        metrics.membersRemoved.inc()
        logger.warn({ memberId, holder }, 'a dead processor was taken out of the group')
      }
      return wasThere !== undefined
    },
    clock: systemClock,
    onFailure: (error) => logger.debug({ err: error }, 'looking for dead processors failed'),
  })

const outputEncoders = (contracts: Contracts): OutputEncoders => {
  const encoders: Record<FrameTopic, OutputEncoders[FrameTopic]> = {
    'transactions.processed': encodeAtOf(contracts.processed),
    balances: encodeAtOf(contracts.balances),
    'accounts.current': encodeAtOf(contracts.accountsCurrent),
    'rules.current': encodeAtOf(contracts.rulesCurrent),
    'fraud.alerts': encodeAtOf(contracts.alerts),
    notifications: encodeAtOf(contracts.notifications),
    'transactions.dlq': encodeAtOf(contracts.deadLetters),
  }
  return encoders
}

const makeProcessor = (options: PipelineOptions, shared: Shared, committed: () => void): Processor => {
  const { configuration, logger, metrics } = options
  const { engine, ledger, postgres } = configuration
  const { topicPrefix } = ledger
  const decoder = makeChunkDecoder({ registry: shared.registry, contracts: shared.contracts, topicPrefix })
  return new Processor({
    topicPrefix,
    makeReader: (hooks) =>
      new IngestConsumer({
        kafka: shared.kafka,
        groupId: `tallystream.processor.${ledger.name}`,
        topics: INGEST_TOPICS.map((topic) => `${topicPrefix}${topic.name}`),
        sessionTimeoutMs: engine.sessionTimeoutMs,
        heartbeatIntervalMs: engine.heartbeatIntervalMs,
        rebalanceTimeoutMs: engine.rebalanceTimeoutMs,
        bytesPerPartitionMax: engine.bufferBytesPerPartitionMax,
        logger,
        claim: hooks.claim,
        release: hooks.release,
        onIncident: hooks.onIncident,
      }),
    openSession: async () => {
      await enterCluster(shared.pool, await shared.cluster(), { mayTakeTurn: false })
      await expectNotRestored({
        committed: () => shared.admin.committedOffset(publisherGroup(topicPrefix, ledger.name)),
        seen: shared.lastPublished,
        store: shared.store,
      })
      return await LedgerSession.open({
        connectionString: postgres.url,
        ssl: postgres.sslCa === undefined ? undefined : { ca: postgres.sslCa },
        schema: postgres.schema,
        clusterId: ledger.clusterId,
        owner: shared.holder,
        idleInTransactionMs: postgres.transactionTimeoutMs,
        connectTimeoutMs: 5_000,
      })
    },
    context: {
      ledger: ledger.name,
      encoders: outputEncoders(shared.contracts),
      schemas: frameSchemaIds(shared.contracts),
      accountsMax: CACHED_ACCOUNTS_MAX,
      publishBacklogMax: engine.publishBacklogBatchesMax,
      publishedSequence: shared.publishedSequence,
    },
    ...decoder,
    admin: shared.admin,
    history: makeClusterHistory({
      topicPrefix,
      overlapMs: ledger.clusterOverlapMs,
      admin: shared.admin,
      reader: shared.ranges,
      decode: decoder.decode,
      isAnyTaken: (transactions) => isAnyTaken(shared.pool, transactions),
      readOrigins: (partitions) => readOrigins(shared.pool, ledger.clusterId, partitions),
      keep: (adoption) => adoptPartition(shared.pool, ledger.clusterId, adoption),
    }),
    clock: systemClock,
    batchSize: new BatchSize({
      recordsMin: 50,
      recordsMax: engine.batchRecordsMax,
      wallMaxMs: engine.batchWallMaxMs,
    }),
    batchBytesMax: engine.batchBytesMax,
    logger,
    onBatch: (result) => {
      committed()
      metrics.batchRecords.observe(result.consumed)
      for (const [phase, ms] of Object.entries(result.phases)) {
        metrics.batchSeconds.observe({ phase }, ms / 1_000)
      }
      metrics.sequence.set(Number(result.sequence))
      const { effects } = result
      countOutcomes(metrics, effects.decisions)
      for (const { letter } of effects.deadLetters) metrics.deadLetters.inc({ reason: letter.reason })
      logDeadLetters(logger, result.sequence, effects)
    },
    onTaken: (partitions) => metrics.partitionsTaken.inc(partitions),
    onFailure: (code) => metrics.failures.inc({ part: 'processor', code }),
    onAfterTimedOut: (wait) => {
      metrics.afterTimedOut.inc({ topic: wait.topic })
      logTimedOutWait(logger, wait)
    },
    onIncident: options.onIncident,
    onStopped: (incident) => {
      noteIncident(shared.pool, ledger.clusterId, incident).catch((error: unknown) => {
        logger.warn({ err: error }, 'an incident could not be noted beside its position')
      })
    },
  })
}

const makePublisher = (options: PipelineOptions, shared: Shared): Publisher => {
  const { configuration, logger, metrics } = options
  const { ledger } = configuration
  const redis = openRedis({
    url: configuration.redis.url,
    sslCa: configuration.redis.sslCa,
    connectionName: 'tallystream-publisher',
  })
  shared.onClose(() => closeRedis(redis))
  return new Publisher({
    ledger: ledger.name,
    topicPrefix: ledger.topicPrefix,
    store: shared.store,
    makeProducer: () =>
      new FencedProducer({ kafka: shared.kafka, transactionalId: publisherTransactionalId(ledger.name) }),
    makeSink: ({ sequence, recordedAtMs, timeline }) =>
      balanceSinkOf(
        new BalanceCacheWriter(redis, {
          keyPrefix: configuration.redis.keyPrefix,
          timeline,
          sequence,
          recordedAtMs,
          onEvent: (event) => logger.info({ event }, 'balance cache'),
        }),
        {
          registry: shared.registry,
          contract: shared.contracts.balances,
          timeline,
          onApplied: (result, balances) => {
            metrics.cacheWrites.inc({ result })
            if (result === 'applied') metrics.cacheBalances.inc(balances)
          },
        },
      ),
    entries: configuration.engine.publishLedgerEntries
      ? new EntryMaker(shared.registry, shared.contracts, { trusted: true })
      : null,
    batchOf: batchEncoder(shared.contracts, shared.origin),
    lastPublished: shared.lastPublished,
    lease: new Lease(shared.pool, {
      name: 'publisher',
      holder: shared.holder,
      lifetimeMs: LEASE_MS.publisher,
    }),
    leaseRenewMs: LEASE_MS.publisher / 4,
    clock: systemClock,
    logger,
    onPublished: (round, milliseconds) => {
      metrics.published.set(Number(round.last.sequence))
      metrics.publishSeconds.observe(milliseconds / 1_000)
      metrics.publishedMessages.inc(round.messages)
    },
    onTakeOver: () => metrics.takeOvers.inc(),
    onFailure: (code) => metrics.failures.inc({ part: 'publisher', code }),
    onIncident: options.onIncident,
  })
}

const makeArchiver = (options: PipelineOptions, shared: Shared): Part => {
  const { archiver, close } = openArchiver({
    configuration: options.configuration,
    pool: shared.pool,
    kafka: shared.kafka,
    schemas: shared.registry,
    holder: shared.holder,
    logger: options.logger,
    onSegment: ({ manifest }) => options.metrics.archived.set(Number(manifest.batches.last)),
    onIncident: options.onIncident,
  })
  shared.onClose(close)
  return archiver
}

const makeReconciler = (options: PipelineOptions, shared: Shared): Part =>
  openReconciler({
    ...shared,
    configuration: options.configuration,
    logger: options.logger,
    onCommit: (pair, delta) => countReconciled(options.metrics, pair, delta),
    onFigures: makeReconciliationGauges(options.metrics),
    onPublished: (sequence) => options.metrics.reconciliationPublished.set(Number(sequence)),
    onFailure: (code) => options.metrics.failures.inc({ part: 'reconciler', code }),
    onIncident: options.onIncident,
  })

const makeTicker = (options: PipelineOptions, shared: Shared): Ticker => {
  const { configuration, logger } = options
  const { topicPrefix } = configuration.ledger
  const producer = new BatchingProducer({ kafka: shared.kafka, lingerMs: 0, compression: 'none' })
  shared.onClose(() => producer.close())
  const encoder = encoderOf<unknown>(shared.contracts.ticks)
  const watched = INGEST_TOPICS.filter((topic) => topic.name !== TOPICS.ticks.name)
  return new Ticker({
    intervalMs: TICK_INTERVAL_MS,
    actor: shared.holder,
    clock: systemClock,
    lease: new Lease(shared.pool, { name: 'ticker', holder: shared.holder, lifetimeMs: LEASE_MS.ticker }),
    readEnds: async () => {
      const ends = watched.map(async ({ name }) =>
        (await shared.admin.ranges(`${topicPrefix}${name}`)).map(({ partition, end }) => ({
          topic: name,
          partition,
          end,
        })),
      )
      return (await Promise.all(ends)).flat()
    },
    publish: async (tick) => {
      const value = encoder.encode({ ...tick, time: BigInt(tick.time) })
      await producer.send({ topic: `${topicPrefix}${TOPICS.ticks.name}`, key: null, value, partition: 0 })
    },
    logger,
  })
}
