/** What the parts of one process share: connections, contracts, and what they must know before anything starts. */
import { hostname } from 'node:os'
import type { Configuration } from '#platform/config/configuration.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { type Kafka, makeKafka } from '#platform/kafka/client.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import type { Logger } from '#platform/observability/logger.ts'
import { ArchiveProgress, type LedgerOrigin } from '#platform/postgres/archive-progress.ts'
import { BatchStore } from '#platform/postgres/batch-store.ts'
import { enterCluster } from '#platform/postgres/clusters.ts'
import { type EnginePool, makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { type Contracts, registerContracts } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { ALL_TOPICS } from '#schemas/topics.ts'
import { lastPublishedBatch } from './publish/position.ts'

const PUBLISHED_REFRESH_MS = 200

export interface Shared {
  readonly kafka: Kafka
  readonly admin: KafkaAdmin
  readonly registry: SchemaRegistry
  readonly contracts: Contracts
  readonly pool: EnginePool
  readonly store: BatchStore
  readonly holder: string
  /** Timeline and genesis of the ledger. */
  readonly origin: LedgerOrigin
  /** What the publisher has sent at least; looked at from time to time. */
  publishedSequence(): bigint
  readonly ranges: RangeReader
  /** The configured cluster, and what its brokers call themselves now. */
  readonly cluster: () => Promise<{ clusterId: string; kafkaId: string | null }>
  /** The last batch whose outputs are visible. */
  readonly lastPublished: () => Promise<bigint | undefined>
  onClose(closer: () => Promise<void> | void): void
  close(): Promise<void>
}

/** Opens it. @throws ConfigurationError, IncidentError where the brokers are not those of the ledger, UnreachableError */
export const openShared = async ({
  configuration,
  logger,
}: {
  readonly configuration: Configuration
  readonly logger: Logger
}): Promise<Shared> => {
  const closers: (() => Promise<void> | void)[] = []
  const close = async () => {
    for (const closer of closers.reverse()) await closer()
  }
  const kafka = makeKafka(configuration.kafka, { clientId: 'tallystream-engine', logger })
  const registry = new SchemaRegistry(configuration.schemaRegistry)
  const contracts = await registerContracts(registry, configuration.ledger.topicPrefix)
  const pool = makeEnginePool(configuration.postgres, {
    applicationName: 'tallystream engine',
    connectionsMax: 4,
  })
  closers.push(() => pool.end())
  const store = new BatchStore(pool)
  const origin = await new ArchiveProgress(pool).readHead()
  let published = (await store.readHead()).publishedSequence
  const refresh = setInterval(() => {
    store.readHead().then(
      (head) => {
        published = head.publishedSequence
      },
      () => undefined,
    )
  }, PUBLISHED_REFRESH_MS)
  closers.push(() => clearInterval(refresh))
  const admin = new KafkaAdmin(kafka)
  const ranges = new RangeReader(kafka)
  closers.push(() => Promise.all([admin.close(), ranges.close()]).then(() => undefined))
  const cluster = async () => ({
    clusterId: configuration.ledger.clusterId,
    kafkaId: await admin.clusterId(),
  })
  try {
    const { topicPrefix } = configuration.ledger
    await enterCluster(pool, await cluster(), { mayTakeTurn: true })
    await admin.requireTopics(ALL_TOPICS.map(({ name }) => `${topicPrefix}${name}`))
  } catch (error) {
    await close()
    throw error
  }
  return {
    kafka,
    admin,
    registry,
    contracts,
    pool,
    store,
    origin,
    holder: `${hostname()}:${process.pid}:${Math.floor(performance.timeOrigin)}`,
    ranges,
    cluster,
    publishedSequence: () => published,
    lastPublished: () => lastPublishedBatch(admin, ranges, configuration.ledger.topicPrefix),
    onClose: (closer) => closers.push(closer),
    close,
  }
}
