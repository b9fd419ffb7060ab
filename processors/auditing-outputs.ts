/** The audit of what left a ledger, put together: output topics and cache against batch records, and mending them. */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Configuration } from '#platform/config/configuration.ts'
import { OperatingError, UnreachableError } from '#platform/errors.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { type Kafka, makeKafka } from '#platform/kafka/client.ts'
import { FencedProducer, type OutputMessage } from '#platform/kafka/fenced-producer.ts'
import { partitionOfKey } from '#platform/kafka/partitioner.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import type { Logger } from '#platform/observability/logger.ts'
import { ArchiveProgress } from '#platform/postgres/archive-progress.ts'
import { BatchStore, type StoredBatch } from '#platform/postgres/batch-store.ts'
import { type EnginePool, makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { Lease } from '#platform/postgres/lease.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { readStanding } from '#platform/postgres/queries/audit-standing.ts'
import { readAccountIds } from '#platform/postgres/queries/read-account-ids.ts'
import { readBalances } from '#platform/postgres/queries/read-balances.ts'
import { type CacheDifference, cacheDifference, readCachedTexts } from '#platform/redis/audit-cache.ts'
import { closeRedis, openRedis, type RedisClient, untilRedisReady } from '#platform/redis/client.ts'
import { type Contracts, registerContracts } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { type TopicDefinition, type TopicKey, TOPICS } from '#schemas/topics.ts'
import {
  type AuditedTopic,
  auditOutputs,
  type MissingOutput,
  type OutputReport,
} from './audit/outputs/audit-outputs.ts'
import { bytesOf, type ContentOf } from './audit/outputs/compare.ts'
import { batchEncoder } from './publish/batches.ts'
import { EntryMaker } from './publish/entry-maker.ts'
import { messagesOf } from './publish/messages.ts'
import { lastPublishedBatch, publisherGroup } from './publish/position.ts'
import { publisherTransactionalId } from './publish/publisher.ts'
import { REPAIR_HEADER } from './runtime/repair.ts'

export interface CacheReport {
  /** Accounts compared; null where Redis isn't there or holds no valid cache. */
  readonly accounts: number | null
  readonly differences: readonly CacheDifference[]
}

export interface OutputsAudit extends OutputReport {
  /** Compared up to here: the last published batch. */
  readonly published: bigint
  readonly cache: CacheReport
  /** Messages that were published to mend the topics. */
  readonly repaired: number
}

export interface OutputsAuditOptions {
  readonly configuration: Configuration
  readonly repair: boolean
  readonly logger: Logger
  readonly onBatch: (sequence: bigint, published: bigint) => void
  readonly signal: AbortSignal
}

const READ = { batchesMax: 64, bytesMax: 4 * 1024 * 1024 }
const LEASE = { name: 'publisher', lifetimeMs: 30_000, waitMs: 10_000, pollMs: 250 }
/** Of one Kafka transaction. */
const REPAIR_MESSAGES_MAX = 5_000
const ACCOUNTS_PAGE = 1_000
const REDIS_TIMEOUT_MS = 5_000

/**
 * Compares, and with `repair` publishes what is missing, once.
 * @throws OperatingError `publisher_running` where a publisher holds its lease during a repair; UnreachableError; ConfigurationError
 */
export const auditLedgerOutputs = async (options: OutputsAuditOptions): Promise<OutputsAudit> => {
  const audit = new LedgerOutputs(options)
  try {
    return await audit.run()
  } finally {
    await audit.close()
  }
}

class LedgerOutputs {
  private readonly options: OutputsAuditOptions
  private readonly kafka: Kafka
  private readonly admin: KafkaAdmin
  private readonly reader: RangeReader
  private readonly registry: SchemaRegistry
  private readonly pool: EnginePool
  private readonly readPool: ReadPool
  private readonly store: BatchStore
  private readonly redis: RedisClient
  private readonly lease: Lease

  constructor(options: OutputsAuditOptions) {
    this.options = options
    const { configuration, logger } = options
    const { postgres, redis, kafka, schemaRegistry } = configuration
    this.kafka = makeKafka(kafka, { clientId: 'tallystream-audit', logger })
    this.admin = new KafkaAdmin(this.kafka)
    this.reader = new RangeReader(this.kafka)
    this.registry = new SchemaRegistry(schemaRegistry)
    this.pool = makeEnginePool(postgres, { applicationName: 'tallystream audit', connectionsMax: 2 })
    this.readPool = makePool({ ...postgres, applicationName: 'tallystream audit', connectionsMax: 1 })
    this.store = new BatchStore(this.pool)
    this.redis = openRedis({
      url: redis.url,
      sslCa: redis.sslCa,
      connectionName: 'tallystream-audit',
      commandTimeoutMs: REDIS_TIMEOUT_MS,
    })
    const holder = `audit ${hostname()}:${process.pid}:${randomUUID()}`
    this.lease = new Lease(this.pool, { ...LEASE, holder })
  }

  async run(): Promise<OutputsAudit> {
    const found = await this.compare()
    const cache = await this.auditCache()
    const repaired = this.options.repair && found.missing.length > 0 ? await this.repair() : 0
    return { ...found, cache, repaired }
  }

  private async compare(): Promise<OutputReport & Pick<OutputsAudit, 'published'>> {
    const contracts = await registerContracts(this.registry, this.options.configuration.ledger.topicPrefix)
    // First how far it is published, then where the topics end: all of it must be there then.
    const { after, published } = await this.published()
    const expected = await this.expectation(contracts)
    const report = await auditOutputs({
      topics: await this.topics(contracts),
      after,
      published,
      batches: this.batches(after, published),
      decided: async () => (await this.store.readHead()).sequence,
      expectedOf: expected,
      onBatch: (sequence) => this.options.onBatch(sequence, published),
      signal: this.options.signal,
    })
    return { ...report, published }
  }

  async close(): Promise<void> {
    closeRedis(this.redis)
    await this.reader.close()
    await this.admin.close()
    await this.readPool.close()
    await this.pool.end()
  }

  /** The stretch of batches whose outputs must be here. What was noted counts too: Kafka may have lost position and outputs. */
  private async published(): Promise<{ after: bigint; published: bigint }> {
    const { topicPrefix, name } = this.options.configuration.ledger
    const committed = (await this.admin.committedOffset(publisherGroup(topicPrefix, name))) ?? 0n
    const seen = (await lastPublishedBatch(this.admin, this.reader, topicPrefix)) ?? 0n
    const { published: noted, publishedBefore, clusters } = await readStanding(this.readPool)
    const { sequence } = await this.store.readHead()
    // One beyond the head was written by hand (`audit verify` says so).
    const said = [committed, seen, noted !== null && noted <= sequence ? noted : 0n]
    return {
      // Outputs from before the ledger changed its cluster are on the other one.
      after: clusters.length > 1 ? (publishedBefore ?? 0n) : 0n,
      published: said.reduce((one, other) => (one > other ? one : other)),
    }
  }

  private async *batches(after: bigint, published: bigint): AsyncGenerator<StoredBatch> {
    let last = after
    for (;;) {
      const batches = await this.store.readAfter(last, READ)
      for (const batch of batches) {
        if (batch.sequence > published) return
        last = batch.sequence
        yield batch
      }
      if (batches.length === 0) return
    }
  }

  private async expectation(contracts: Contracts): Promise<OutputMessagesOf> {
    const { topicPrefix } = this.options.configuration.ledger
    const entries = new EntryMaker(this.registry, contracts)
    const batchOf = batchEncoder(contracts, await new ArchiveProgress(this.pool).readHead())
    return async (batch) => {
      await entries.prepare([batch])
      const { messagesByTopic } = messagesOf(
        [batch],
        { sequence: batch.sequence - 1n, hash: null },
        topicPrefix,
        (value) => entries.of(value),
        batchOf,
      )
      return new Map(
        [...messagesByTopic].map(([topic, messages]) => [
          topic.slice(topicPrefix.length),
          messages.map(({ key, value }) => ({ key: bufferOf(key), value: value! })),
        ]),
      )
    }
  }

  private async topics(contracts: Contracts): Promise<AuditedTopic[]> {
    const topics: AuditedTopic[] = []
    const { publishLedgerEntries } = this.options.configuration.engine
    for (const [key, topic] of Object.entries<TopicDefinition>(TOPICS)) {
      if (topic === TOPICS.entries && !publishLedgerEntries) continue
      if (topic.writers.includes('publisher'))
        topics.push(await this.topic(topic, contracts[key as TopicKey].schema))
    }
    return topics
  }

  private async topic(
    definition: TopicDefinition,
    schema: Contracts[TopicKey]['schema'],
  ): Promise<AuditedTopic> {
    const name = `${this.options.configuration.ledger.topicPrefix}${definition.name}`
    const partitions = await this.admin.ranges(name)
    const decoder = new AvroDecoder<Record<string, unknown>>(this.registry, schema)
    return {
      name: definition.name,
      isCompacted: definition.cleanup === 'compact',
      contentOf: contentOf(definition, decoder),
      partitionOf: ({ key }) => partitionOfKey(key, partitions.length),
      topic: {
        partitions,
        read: (partition, from, next) => this.reader.read(name, partition, from, next),
        prepare: (values) => decoder.prepare(writersOf(values)),
        sequenceOf: (value) => BigInt((decoder.decode(value).sequence as bigint | undefined) ?? 0n),
      },
    }
  }

  private async auditCache(): Promise<CacheReport> {
    const { keyPrefix } = this.options.configuration.redis
    const differences: CacheDifference[] = []
    let accounts = 0
    try {
      await untilRedisReady(this.redis, REDIS_TIMEOUT_MS)
      for (let after = ''; ; ) {
        const ids = await readAccountIds(this.readPool, after, ACCOUNTS_PAGE)
        if (ids.length === 0) return { accounts, differences }
        const found = await this.cacheDifferences(keyPrefix, ids)
        if (found === null) return { accounts: null, differences }
        // Postgres and Redis aren't read at the same moment: what moved meanwhile is right at a second look.
        const again =
          found.length === 0
            ? []
            : await this.cacheDifferences(
                keyPrefix,
                found.map(({ account }) => account),
              )
        differences.push(...(again ?? []))
        accounts += ids.length
        after = ids.at(-1)!
      }
    } catch (error) {
      if (error instanceof OperatingError && !(error instanceof UnreachableError)) throw error
      if (error instanceof OperatingError && error.code !== 'redis_unreachable') throw error
      return { accounts: null, differences }
    }
  }

  private async cacheDifferences(
    keyPrefix: string,
    ids: readonly string[],
  ): Promise<CacheDifference[] | null> {
    // Redis first: what it has is in Postgres by then.
    const cached = await readCachedTexts(this.redis, keyPrefix, ids)
    if (cached === null) return null
    const balances = new Map((await readBalances(this.readPool, ids)).map((each) => [each.accountId, each]))
    return ids.flatMap((id, place) => {
      const stored = balances.get(id)
      const difference =
        stored === undefined ? null : cacheDifference(stored, cached.texts[place], cached.appliedSequence)
      return difference === null ? [] : [difference]
    })
  }

  /**
   * Publishes what is missing under the publisher's own id, so that nobody else publishes meanwhile. What is missing is looked at once
   * more behind the fence: another repair, or a publisher, may have been at work until then.
   */
  private async repair(): Promise<number> {
    const { ledger } = this.options.configuration
    const group = publisherGroup(ledger.topicPrefix, ledger.name)
    await this.takeLease()
    // Whoever takes it all the same fences this producer, and nothing is published twice.
    const renewing = setInterval(() => void this.lease.take().catch(() => undefined), LEASE.lifetimeMs / 3)
    const producer = new FencedProducer({
      kafka: this.kafka,
      transactionalId: publisherTransactionalId(ledger.name),
    })
    try {
      await producer.fence()
      const { missing, published } = await this.compare()
      const position = (await producer.readPosition(group)) ?? 0n
      // A publisher that went on from an older position would send again what is mended here.
      const offset = position > published ? position : published
      for (let at = 0; at < missing.length; at += REPAIR_MESSAGES_MAX) {
        const part = missing.slice(at, at + REPAIR_MESSAGES_MAX)
        await producer.publish({
          messagesByTopic: messagesByTopic(part, ledger.topicPrefix),
          position: { ...group, offset },
        })
      }
      return missing.length
    } finally {
      clearInterval(renewing)
      await producer.close()
      await this.lease.release()
    }
  }

  private async takeLease(): Promise<void> {
    const deadline = performance.now() + LEASE.waitMs
    while (!(await this.lease.take())) {
      if (performance.now() > deadline) {
        throw new OperatingError('publisher_running', 'stop the publisher for the repair: it holds its lease')
      }
      await sleep(LEASE.pollMs)
    }
  }
}

type OutputMessagesOf = (batch: StoredBatch) => Promise<ReadonlyMap<string, { key: Buffer; value: Buffer }[]>>

const bufferOf = (key: OutputMessage['key']): Buffer =>
  key === null ? Buffer.alloc(0) : Buffer.isBuffer(key) ? key : Buffer.from(key)

const writersOf = (values: readonly Buffer[]): Set<number> => {
  const ids = new Set<number>()
  for (const value of values) {
    const id = writerIdOf(value)
    if (id !== undefined) ids.add(id)
  }
  return ids
}

/** Outputs made at publishing may have been encoded by another version of their schema, and batches under another timeline. */
const contentOf = ({ name }: TopicDefinition, decoder: AvroDecoder<Record<string, unknown>>): ContentOf => {
  if (name !== TOPICS.entries.name && name !== TOPICS.batches.name) return bytesOf
  return (value) => {
    try {
      const { timeline: _timeline, genesisTick: _tick, genesisLogic: _logic, ...rest } = decoder.decode(value)
      return JSON.stringify(rest, (_key, part: unknown) => (typeof part === 'bigint' ? String(part) : part))
    } catch {
      return bytesOf(value)
    }
  }
}

const messagesByTopic = (
  missing: readonly MissingOutput[],
  topicPrefix: string,
): Map<string, OutputMessage[]> => {
  const byTopic = new Map<string, OutputMessage[]>()
  for (const { topic, sequence, output } of missing) {
    const list = byTopic.get(topicPrefix + topic) ?? []
    list.push({ ...output, headers: { [REPAIR_HEADER]: String(sequence) } })
    byTopic.set(topicPrefix + topic, list)
  }
  return byTopic
}
