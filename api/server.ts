/** The API with everything it stands on: opens connections from the configuration, listens, and closes in order. */
import type { FastifyInstance } from 'fastify'
import { buildApp } from '#api/app.ts'
import { type ApiDependencies, type ApiOptions, defaultApiOptions } from '#api/dependencies.ts'
import { makeAlertFeed } from '#api/gateway/alert-feed.ts'
import { makeDecisionReader } from '#api/gateway/decision-reader.ts'
import { makeIngestGateway } from '#api/gateway/ingest-gateway.ts'
import { OutcomeWaiter } from '#api/gateway/outcome-waiter.ts'
import { PositionWaiter } from '#api/gateway/position-waiter.ts'
import { readRecordOutcome } from '#api/gateway/record-outcome.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { listenError } from '#platform/http/listen-error.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { BatchingProducer } from '#platform/kafka/producer.ts'
import type { Logger } from '#platform/observability/logger.ts'
import { type ApiMetrics, makeApiMetrics } from '#platform/observability/metrics.ts'
import { AuditLog } from '#platform/postgres/audit-log.ts'
import { AuditLogBuffer } from '#platform/postgres/audit-log-buffer.ts'
import { makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { doReviewWork } from '#platform/postgres/review-work.ts'
import { readAppliedOffsets } from '#platform/postgres/queries/read-applied-offsets.ts'
import { readBalances } from '#platform/postgres/queries/read-balances.ts'
import { readOutcomes } from '#platform/postgres/queries/read-outcomes.ts'
import { requireProgress } from '#platform/postgres/queries/read-progress.ts'
import { BalanceCacheReader } from '#platform/redis/balance-cache-reader.ts'
import { closeRedis, openRedis, type RedisClient, redisIsUp } from '#platform/redis/client.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { ALL_TOPICS, TOPICS } from '#schemas/topics.ts'

export interface ApiServer {
  /** Base address, with the port that was found. */
  readonly url: string
  readonly app: FastifyInstance
  /** Ends waits, finishes requests, closes connections; within 5 s. */
  close(): Promise<void>
}

/** A request under way when closing begins gets so long; what still runs then is cut off. */
const DRAIN_TIMEOUT_MS = 3000
const CHECK_TIMEOUT_MS = 1000
/** How long an answer about Kafka holds: probes come often, and each asks the broker. */
const CHECK_LIFE_MS = 1000
const SEND_TIMEOUT_MS = 8000

/**
 * Starts the API.
 *
 * @throws UnreachableError where Postgres or the brokers don't answer; ConfigurationError where the ledger's tables or topics
 *   aren't there, or the port is taken (`address_unavailable`). Redis may be away.
 */
export async function startApi(options: {
  configuration: Configuration
  logger: Logger
  options?: Partial<ApiOptions>
}): Promise<ApiServer> {
  const { configuration, logger } = options
  const closers: (() => Promise<void> | void)[] = []
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  try {
    const dependencies = await connect(configuration, logger, closers)
    const app = await buildApp({
      ...dependencies,
      options: { ...dependencies.options, ...options.options },
    })
    closers.push(() => drain(app))
    const { host, port } = configuration.api
    const url = await app.listen({ host, port }).catch((cause: unknown) => {
      throw listenError({ host, port, setting: 'API_HOST and API_PORT' }, cause)
    })
    return { url, app, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function connect(
  configuration: Configuration,
  logger: Logger,
  closers: (() => Promise<void> | void)[],
): Promise<ApiDependencies> {
  const { ledger, postgres, compatibility } = configuration
  const metrics = makeApiMetrics()
  const pool = makePool({ ...postgres, applicationName: 'tallystream api' })
  closers.push(() => pool.close())
  await requireProgress(pool, ledger.name)
  const kafka = makeKafka(configuration.kafka, { clientId: 'tallystream-api', logger })
  const admin = new KafkaAdmin(kafka)
  closers.push(() => admin.close())
  const producer = new BatchingProducer({
    kafka,
    lingerMs: 2,
    sendTimeoutMs: SEND_TIMEOUT_MS,
    roomTimeoutMs: 1000,
  })
  closers.push(() => producer.close())
  await producer.connect()
  await admin.requireTopics(ALL_TOPICS.map(({ name }) => `${ledger.topicPrefix}${name}`))
  const redis = openApiRedis(configuration, logger)
  closers.push(() => closeRedis(redis))
  const registry = new SchemaRegistry(configuration.schemaRegistry)
  const readDecisions = makeDecisionReader({
    pool,
    registry,
    onFailure: (error) =>
      logger.warn({ err: error }, 'what batch records say of decisions could not be read'),
  })
  const log = openAuditLog(configuration, closers)
  const alerts = makeAlertFeed({ kafka, admin, registry, topicPrefix: ledger.topicPrefix })
  closers.push(() => alerts.close())
  return {
    pool,
    metrics,
    logger,
    readDecisions,
    readAlerts: alerts.read,
    readRefusal: async (position, afterSequence) => {
      try {
        return (await readRecordOutcome(pool, registry, position, afterSequence)).refusal?.reason ?? null
      } catch (error) {
        logger.warn({ err: error }, 'why a change was refused could not be read')
        return null
      }
    },
    audit: openAuditBuffer(log, { metrics, logger }, closers),
    doReviewWork: (work) => doReviewWork(log, work),
    cache: makeCache(configuration, { redis, pool, metrics }),
    gateway: makeIngestGateway({
      sender: producer,
      topicPrefix: ledger.topicPrefix,
      onPublished: (topic, result, seconds) => {
        metrics.published.inc({ topic, result })
        metrics.publishSeconds.observe(seconds)
      },
    }),
    outcomes: new OutcomeWaiter({
      readOutcomes: (keys) => readOutcomes(pool, keys),
      onPollFailed: (error) => logger.warn({ err: error }, 'waiting for outcomes'),
      onWaiters: (count) => metrics.waiters.set(count),
    }),
    positions: new PositionWaiter({
      readAppliedOffsets: () => readAppliedOffsets(pool, ledger.clusterId),
      onPollFailed: (error) => logger.warn({ err: error }, 'waiting for positions'),
    }),
    checks: { kafka: kafkaCheck(admin, ledger.topicPrefix), redis: () => redisIsUp(redis) },
    options: {
      ...defaultApiOptions,
      compatibilityCurrency: compatibility.currency,
      compatibilitySourceAccount: compatibility.sourceAccount,
      openAccounts: compatibility.openAccounts,
    },
    nowMs: () => Date.now(),
  }
}

/** Connections of its own: the pool that answers requests can't write. One for the buffer, one for work on reviews. */
function openAuditLog({ postgres }: Configuration, closers: (() => Promise<void> | void)[]): AuditLog {
  const pool = makeEnginePool(postgres, { applicationName: 'tallystream api audit log', connectionsMax: 2 })
  closers.push(() => pool.end())
  return new AuditLog(pool)
}

function openAuditBuffer(
  log: AuditLog,
  { metrics, logger }: { metrics: ApiMetrics; logger: Logger },
  closers: (() => Promise<void> | void)[],
): AuditLogBuffer {
  let isFailing = false
  const buffer = new AuditLogBuffer({
    log,
    nowMs: () => Date.now(),
    onFailure: (error) => {
      metrics.auditFailures.inc()
      if (!isFailing) logger.warn({ err: error }, 'access can not be noted in the audit log now; it waits')
      isFailing = true
    },
    onAppended: ({ waiting, lost }) => {
      if (isFailing) logger.info({ waiting, lost }, 'access is noted in the audit log again')
      isFailing = false
    },
  })
  metrics.watchAuditNotes(() => buffer.state)
  closers.push(async () => {
    await buffer.close()
    const { waiting, lost } = buffer.state
    if (waiting + lost > 0) logger.error({ waiting, lost }, 'ended with access that is not in the audit log')
  })
  return buffer
}

function openApiRedis({ redis }: Configuration, logger: Logger): RedisClient {
  let isAway = false
  const client = openRedis({
    url: redis.url,
    sslCa: redis.sslCa,
    connectionName: 'tallystream-api',
    onError: (error) => {
      // Once a failure, not once an attempt to reconnect.
      if (!isAway) logger.warn({ err: error }, 'Redis is away: balances come from Postgres')
      isAway = true
    },
  })
  client.on('ready', () => {
    if (isAway) logger.info('Redis is back')
    isAway = false
  })
  return client
}

const makeCache = (
  configuration: Configuration,
  { redis, pool, metrics }: { redis: RedisClient; pool: ReadPool; metrics: ApiMetrics },
): BalanceCacheReader =>
  new BalanceCacheReader(redis, {
    keyPrefix: configuration.redis.keyPrefix,
    readBalances: (accountIds) => readBalances(pool, accountIds),
    onLookup: (result) => metrics.cacheLookups.inc({ result }),
  })

/** Whether the brokers know the topic that requests are published to; asked at most once a second. */
function kafkaCheck(admin: KafkaAdmin, topicPrefix: string): () => Promise<boolean> {
  const topic = `${topicPrefix}${TOPICS.transactions.name}`
  let checkedAtMs = Number.NEGATIVE_INFINITY
  let answer: Promise<boolean> = Promise.resolve(false)
  return () => {
    if (performance.now() - checkedAtMs > CHECK_LIFE_MS) {
      checkedAtMs = performance.now()
      const counts = admin.partitionCounts([topic]).then(
        (found) => found.has(topic),
        () => false,
      )
      answer = withinOrFalse(counts, CHECK_TIMEOUT_MS)
    }
    return answer
  }
}

async function withinOrFalse(promise: Promise<boolean>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

async function drain(app: FastifyInstance): Promise<void> {
  const timer = setTimeout(() => app.server.closeAllConnections(), DRAIN_TIMEOUT_MS)
  await app.close()
  clearTimeout(timer)
}
