/**
 * Where measures are taken: one set of services for a whole run, a fresh ledger (schema, topics, keys) for every measurement, and
 * nothing left behind.
 */
import { randomBytes } from 'node:crypto'
import { LOGIC_VERSION } from '#domain/ledger/state.ts'
import { IngestPublisher } from '#connectors/ingest/publisher.ts'
import { type Configuration, resolveConfiguration } from '#platform/config/configuration.ts'
import type { Environment } from '#platform/config/environment.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { type EnginePool, makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { migrateLedger } from '#platform/postgres/migrate.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { closeRedis, openRedis, untilRedisReady } from '#platform/redis/client.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { ALL_TOPICS, TOPICS, topicTable } from '#schemas/topics.ts'
import { Engines } from '../faults/engines.ts'
import type { BenchStack } from './bench-stack.ts'
import type { Measurement } from './measure.ts'
import { MeasureUnavailable } from './measure-unavailable.ts'

/** How much is done in one measurement. */
export interface Extent {
  readonly transfers: number
  readonly accounts: number
  /** Of measures that run for a time, seconds. */
  readonly seconds: number
  /** Transactions that a grown ledger holds. */
  readonly growth: number
  /** How long a soak lasts, minutes. */
  readonly soakMinutes: number
}

export interface LabOptions {
  readonly stack: BenchStack
  readonly extent: Extent
  readonly progress: (message: string) => void
  readonly signal: AbortSignal
}

/** A ledger of one measurement. */
export interface BenchLedger {
  readonly configuration: Configuration
  readonly pool: ReadPool
  /** May write, for what is measured without an engine. */
  readonly writer: EnginePool
  readonly publisher: IngestPublisher
  readonly admin: KafkaAdmin
  readonly engines: Engines
}

export interface LedgerOptions {
  /** Of `transactions` and the outputs that follow it; as in production where absent. */
  readonly partitions?: number
  /** Settings of the engine's processes by their environment names. */
  readonly environment?: Environment
}

const STATEMENT_TIMEOUT_MS = 300_000
const WRITERS_MAX = 12
const LOCAL_REPLICATION = 1
const REDIS_TIMEOUT_MS = 5_000

export class Lab {
  readonly extent: Extent
  readonly progress: (message: string) => void
  readonly signal: AbortSignal
  readonly stack: BenchStack
  /** What was measured in this run so far, the newest of each measure. */
  readonly taken = new Map<string, Measurement>()

  constructor(options: LabOptions) {
    this.extent = options.extent
    this.progress = options.progress
    this.signal = options.signal
    this.stack = options.stack
  }

  /** What another measure gave last. @throws MeasureUnavailable where it gave nothing */
  measured(name: string): Measurement {
    const measurement = this.taken.get(name)
    if (measurement === undefined) throw new MeasureUnavailable(`${name} gave nothing to begin from`)
    return measurement
  }

  get databaseUrl(): string {
    return this.stack.endpoints.databaseUrl!
  }

  /** Makes a ledger, has it measured, and removes it, whatever happens. */
  async withLedger<Result>(
    options: LedgerOptions,
    work: (ledger: BenchLedger) => Promise<Result>,
  ): Promise<Result> {
    const [result] = await this.withLedgers(1, options, async ([ledger]) => [await work(ledger!)])
    return result!
  }

  /** The same with several ledgers beside each other. */
  async withLedgers<Result>(
    count: number,
    options: LedgerOptions,
    work: (ledgers: readonly BenchLedger[]) => Promise<Result>,
  ): Promise<Result> {
    this.signal.throwIfAborted()
    const ledgers: BenchLedger[] = []
    try {
      for (let place = 0; place < count; place += 1) ledgers.push(await this.#make(options))
      return await work(ledgers)
    } finally {
      for (const ledger of ledgers) await remove(ledger)
    }
  }

  async #make({ partitions, environment = {} }: LedgerOptions): Promise<BenchLedger> {
    const configuration = resolveConfiguration(
      { ...environment, LEDGER: `bench_${randomBytes(4).toString('hex')}`, LOG_LEVEL: 'info' },
      { localEndpoints: this.stack.endpoints },
    )
    const { ledger, postgres } = configuration
    await migrateLedger(postgres, { ledger: ledger.name, nowMs: Date.now(), logicVersion: LOGIC_VERSION })
    const kafka = makeKafka(configuration.kafka, { clientId: 'tallystream-bench' })
    const admin = new KafkaAdmin(kafka)
    await admin.ensureTopics(tableOf(ledger.topicPrefix, partitions))
    const publisher = await IngestPublisher.open({
      kafka,
      registry: new SchemaRegistry(configuration.schemaRegistry),
      topicPrefix: ledger.topicPrefix,
      // Who sends one payment doesn't wait for another one.
      lingerMs: 0,
    })
    const applicationName = 'tallystream bench'
    return {
      configuration,
      pool: makePool({
        ...postgres,
        applicationName,
        connectionsMax: 4,
        statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      }),
      writer: makeEnginePool(postgres, {
        applicationName,
        connectionsMax: WRITERS_MAX,
        statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      }),
      publisher,
      admin,
      engines: new Engines({ configuration, keptUp: 'none', environment }),
    }
  }
}

const tableOf = (topicPrefix: string, partitions: number | undefined) =>
  topicTable(topicPrefix, LOCAL_REPLICATION).map((topic) =>
    partitions === undefined || !isBusy(topic.name.slice(topicPrefix.length))
      ? topic
      : { ...topic, partitions },
  )

const isBusy = (name: string): boolean =>
  ALL_TOPICS.some((topic) => topic.name === name && topic.partitions === TOPICS.transactions.partitions)

const remove = async ({
  configuration,
  pool,
  writer,
  publisher,
  admin,
  engines,
}: BenchLedger): Promise<void> => {
  const { ledger, postgres, redis } = configuration
  await engines.close()
  await publisher.close()
  await pool.close()
  await writer.query(`drop schema if exists "${postgres.schema}" cascade`)
  await writer.end()
  await admin
    .deleteTopics(topicTable(ledger.topicPrefix, LOCAL_REPLICATION).map(({ name }) => name))
    .finally(() => admin.close())
  await forgetKeys(redis.url, redis.keyPrefix)
}

/** The ledger's keys in Redis, and only those. */
const forgetKeys = async (url: string, keyPrefix: string): Promise<void> => {
  const redis = openRedis({ url, connectionName: 'bench', commandTimeoutMs: REDIS_TIMEOUT_MS })
  try {
    await untilRedisReady(redis, REDIS_TIMEOUT_MS)
    let cursor = '0'
    do {
      const [next, keys] = await redis.scan(cursor, 'MATCH', `${keyPrefix}*`, 'COUNT', 1_000)
      if (keys.length > 0) await redis.unlink(...keys)
      cursor = next
    } while (cursor !== '0')
  } finally {
    closeRedis(redis)
  }
}
