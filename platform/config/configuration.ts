/**
 * All configuration, read once at start and checked as a whole: values, and the relations between them. docs/configuration.md
 * lists the keys. A wrong value or relation stops the start with a message that says what was expected and what was found.
 */
import { currencyByCode } from '#domain/money/currency.ts'
import { type ArchiveConfiguration, readArchive } from '#platform/config/archive.ts'
import type { Environment } from '#platform/config/environment.ts'
import { ConfigurationReader } from '#platform/config/reader.ts'

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** How the broker knows who we are. */
export type KafkaLogin =
  | { mechanism: 'scram-sha-256' | 'scram-sha-512' | 'plain'; username: string; password: string }
  | { mechanism: 'aws-msk-iam'; region: string }

export interface LedgerConfiguration {
  name: string
  /** Put before every topic's name; empty for the ledger `main`. */
  topicPrefix: string
  /** Positions are kept per cluster: another cluster's offsets mean something else. */
  clusterId: string
  /** How much earlier than the last applied record its history is searched on another cluster, ms. */
  clusterOverlapMs: number
}

export interface KafkaConfiguration {
  /** `host:port` each. */
  brokers: string[]
  ssl: boolean
  /** Certificate authority to trust besides the system's (PEM text). */
  sslCa: string | undefined
  login: KafkaLogin | undefined
}

export interface SchemaRegistryConfiguration {
  url: string
  username: string | undefined
  password: string | undefined
  sslCa: string | undefined
}

export interface PostgresConfiguration {
  url: string
  sslCa: string | undefined
  schema: string
  /** Ends a transaction that lasts longer, so that a stuck owner frees its locks. */
  transactionTimeoutMs: number
}

export interface RedisConfiguration {
  url: string
  sslCa: string | undefined
  /** Put before every key. */
  keyPrefix: string
}

export interface ApiConfiguration {
  host: string
  /** 0: any free port. */
  port: number
  /** Where processors serve metrics and health. 0: any free port. */
  metricsPort: number
}

export interface EngineConfiguration {
  batchRecordsMax: number
  batchBytesMax: number
  batchWallMaxMs: number
  bufferBytesPerPartitionMax: number
  publishBacklogBatchesMax: number
  /** Whether the flat topic `ledger.entries` is published. */
  publishLedgerEntries: boolean
  sessionTimeoutMs: number
  heartbeatIntervalMs: number
  rebalanceTimeoutMs: number
}

/** What of the history stays in Postgres. Reversals and ids are another matter: see domain/ledger/horizons.ts. */
export interface RetentionConfiguration {
  /** Whole months before the current one that stay; null = everything does. */
  keepMonths: number | null
  /** Whether periods may be dropped that are in no archive. */
  withoutArchive: boolean
}

/** For callers of the systems that this one replaces: their requests name neither currency nor counter-account. */
export interface CompatibilityConfiguration {
  currency: string
  sourceAccount: string
  /** Whether accounts that such a request names are opened when unknown. */
  openAccounts: boolean
}

export interface Configuration {
  ledger: LedgerConfiguration
  kafka: KafkaConfiguration
  schemaRegistry: SchemaRegistryConfiguration
  postgres: PostgresConfiguration
  redis: RedisConfiguration
  api: ApiConfiguration
  logLevel: LogLevel
  engine: EngineConfiguration
  compatibility: CompatibilityConfiguration
  archive: ArchiveConfiguration
  retention: RetentionConfiguration
}

/** Addresses of a local stack that stand in for what the environment doesn't name. */
export interface LocalEndpoints {
  kafkaBrokers?: string
  schemaRegistryUrl?: string
  databaseUrl?: string
  redisUrl?: string
}

/**
 * Reads and checks everything.
 *
 * @param options.localEndpoints Of the running local stack, if any; each stands in for a URL that isn't set.
 * @throws ConfigurationError listing every wrong key and relation at once.
 */
export function resolveConfiguration(
  environment: Environment,
  options: { localEndpoints?: LocalEndpoints | undefined } = {},
): Configuration {
  const reader = new ConfigurationReader(environment)
  const local = options.localEndpoints ?? {}
  const ledger = readLedger(reader)
  const configuration: Configuration = {
    ledger,
    kafka: readKafka(reader, local),
    schemaRegistry: readSchemaRegistry(reader, local),
    postgres: readPostgres(reader, local, ledger.name),
    redis: {
      url: reader.url('REDIS_URL', { schemes: ['redis', 'rediss'], fallback: local.redisUrl }),
      sslCa: reader.certificateFile('REDIS_SSL_CA_FILE'),
      keyPrefix: `${ledger.name}:`,
    },
    api: {
      host: reader.optional('API_HOST') ?? '127.0.0.1',
      port: reader.integer('API_PORT', { fallback: 8080, min: 0, max: 65_535 }),
      metricsPort: reader.integer('METRICS_PORT', { fallback: 0, min: 0, max: 65_535 }),
    },
    logLevel: reader.oneOf('LOG_LEVEL', logLevels) ?? 'info',
    engine: readEngine(reader),
    compatibility: readCompatibility(reader),
    archive: readArchive(reader),
    retention: {
      keepMonths: reader.integer('RETENTION_MONTHS', { fallback: 0, min: 0, max: 1_200 }) || null,
      withoutArchive: reader.boolean('RETENTION_WITHOUT_ARCHIVE', false),
    },
  }
  checkRelations(reader, configuration)
  reader.finish()
  return configuration
}

function readLedger(reader: ConfigurationReader): LedgerConfiguration {
  const name = reader.text('LEDGER', {
    fallback: 'main',
    pattern: /^[a-z][a-z0-9_]{0,30}$/,
    expected: 'a lower-case letter, then up to 30 of a-z, 0-9 and _',
  })
  return {
    name,
    topicPrefix: reader.text('TOPIC_PREFIX', {
      fallback: name === 'main' ? '' : `${name}.`,
      pattern: /^[A-Za-z0-9._-]{0,100}$/,
      expected: 'at most 100 of A-Z, a-z, 0-9, ., _ and -',
    }),
    clusterId: reader.text('CLUSTER_ID', {
      fallback: 'local',
      pattern: /^[A-Za-z0-9._-]{1,64}$/,
      expected: '1 to 64 of A-Z, a-z, 0-9, ., _ and -',
    }),
    clusterOverlapMs:
      reader.integer('CLUSTER_OVERLAP_SECONDS', { fallback: 600, min: 1, max: 604_800 }) * 1_000,
  }
}

function readKafka(reader: ConfigurationReader, local: LocalEndpoints): KafkaConfiguration {
  const login = readKafkaLogin(reader)
  const sslCa = reader.certificateFile('KAFKA_SSL_CA_FILE')
  const ssl = reader.boolean('KAFKA_SSL', sslCa !== undefined || login?.mechanism === 'aws-msk-iam')
  if (!ssl && login !== undefined && !login.mechanism.startsWith('scram')) {
    // Both would send what opens the door in the clear.
    reader.complain('KAFKA_SSL', `true with KAFKA_SASL_MECHANISM=${login.mechanism}`, 'false')
  }
  if (!ssl && sslCa !== undefined) reader.complain('KAFKA_SSL', 'true with KAFKA_SSL_CA_FILE', 'false')
  return { brokers: readBrokers(reader, local), ssl, sslCa, login }
}

function readBrokers(reader: ConfigurationReader, local: LocalEndpoints): string[] {
  const text = reader.optional('KAFKA_BROKERS') ?? local.kafkaBrokers
  if (text === undefined) {
    reader.complain(
      'KAFKA_BROKERS',
      'host:port, or a running local stack (npx tallystream stack up)',
      'neither',
    )
    return []
  }
  const brokers = text.split(',').map((broker) => broker.trim())
  const isAddress = (broker: string): boolean => {
    const port = /^(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(broker)?.[1]
    return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535
  }
  if (!brokers.every(isAddress))
    reader.complain('KAFKA_BROKERS', 'host:port, several with commas', JSON.stringify(text))
  return brokers
}

function readKafkaLogin(reader: ConfigurationReader): KafkaLogin | undefined {
  const mechanism = reader.oneOf('KAFKA_SASL_MECHANISM', [
    'scram-sha-256',
    'scram-sha-512',
    'plain',
    'aws-msk-iam',
  ])
  const username = reader.optional('KAFKA_SASL_USERNAME')
  const password = reader.optional('KAFKA_SASL_PASSWORD')
  const hasMechanism = reader.optional('KAFKA_SASL_MECHANISM') !== undefined
  if (!hasMechanism && (username !== undefined || password !== undefined)) {
    reader.complain(
      'KAFKA_SASL_MECHANISM',
      'a mechanism with KAFKA_SASL_USERNAME or KAFKA_SASL_PASSWORD',
      'none',
    )
  }
  if (mechanism === undefined) return undefined
  if (mechanism === 'aws-msk-iam') {
    const region = reader.optional('AWS_REGION')
    if (region === undefined)
      reader.complain('AWS_REGION', 'a region with KAFKA_SASL_MECHANISM=aws-msk-iam', 'none')
    return { mechanism, region: region ?? '' }
  }
  if (username === undefined || password === undefined) {
    const found = [username && 'a username', password && 'a password'].filter(Boolean).join('') || 'neither'
    reader.complain(
      'KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD',
      `both with KAFKA_SASL_MECHANISM=${mechanism}`,
      found,
    )
  }
  return { mechanism, username: username ?? '', password: password ?? '' }
}

function readSchemaRegistry(reader: ConfigurationReader, local: LocalEndpoints): SchemaRegistryConfiguration {
  const url = reader.url('SCHEMA_REGISTRY_URL', {
    schemes: ['http', 'https'],
    fallback: local.schemaRegistryUrl,
  })
  const username = reader.optional('SCHEMA_REGISTRY_USERNAME')
  const password = reader.optional('SCHEMA_REGISTRY_PASSWORD')
  if ((username === undefined) !== (password === undefined)) {
    reader.complain('SCHEMA_REGISTRY_USERNAME, SCHEMA_REGISTRY_PASSWORD', 'both or none', 'one')
  }
  const sslCa = reader.certificateFile('SCHEMA_REGISTRY_SSL_CA_FILE')
  return { url: url.replace(/\/+$/, ''), username, password, sslCa }
}

function readPostgres(
  reader: ConfigurationReader,
  local: LocalEndpoints,
  ledger: string,
): PostgresConfiguration {
  return {
    url: reader.url('DATABASE_URL', { schemes: ['postgres', 'postgresql'], fallback: local.databaseUrl }),
    sslCa: reader.certificateFile('DATABASE_SSL_CA_FILE'),
    schema: reader.text('DATABASE_SCHEMA', {
      fallback: `tallystream_${ledger}`,
      pattern: /^[a-z_][a-z0-9_]{0,62}$/,
      expected: 'a lower-case letter or _, then up to 62 of a-z, 0-9 and _',
    }),
    transactionTimeoutMs: reader.integer('TRANSACTION_TIMEOUT_MS', {
      fallback: 1000,
      min: 100,
      max: 600_000,
    }),
  }
}

function readEngine(reader: ConfigurationReader): EngineConfiguration {
  const mebibyte = 1024 * 1024
  return {
    batchRecordsMax: reader.integer('BATCH_RECORDS_MAX', { fallback: 8000, min: 1, max: 100_000 }),
    batchBytesMax: reader.integer('BATCH_BYTES_MAX', {
      fallback: 4 * mebibyte,
      min: 1024,
      max: 256 * mebibyte,
    }),
    batchWallMaxMs: reader.integer('BATCH_WALL_MAX_MS', { fallback: 500, min: 1, max: 60_000 }),
    bufferBytesPerPartitionMax: reader.integer('BUFFER_BYTES_PER_PARTITION_MAX', {
      fallback: 4 * mebibyte,
      min: 1024,
      max: 1024 * mebibyte,
    }),
    publishBacklogBatchesMax: reader.integer('PUBLISH_BACKLOG_BATCHES_MAX', {
      fallback: 200,
      min: 1,
      max: 100_000,
    }),
    publishLedgerEntries: reader.boolean('PUBLISH_LEDGER_ENTRIES', true),
    sessionTimeoutMs: reader.integer('SESSION_TIMEOUT_MS', { fallback: 1500, min: 1000, max: 1_800_000 }),
    heartbeatIntervalMs: reader.integer('HEARTBEAT_INTERVAL_MS', { fallback: 200, min: 50, max: 60_000 }),
    rebalanceTimeoutMs: reader.integer('REBALANCE_TIMEOUT_MS', { fallback: 3000, min: 500, max: 1_800_000 }),
  }
}

function readCompatibility(reader: ConfigurationReader): CompatibilityConfiguration {
  const currency = reader.optional('COMPAT_CURRENCY') ?? 'USD'
  if (currencyByCode(currency) === undefined) {
    reader.complain(
      'COMPAT_CURRENCY',
      'an ISO 4217 code (three capital letters) of a currency with minor units',
      JSON.stringify(currency),
    )
  }
  return {
    currency,
    sourceAccount: reader.text('COMPAT_SOURCE_ACCOUNT', {
      fallback: 'external:funding',
      pattern: /^[\x21-\x7e]{1,64}$/,
      expected: '1 to 64 printable characters without spaces',
    }),
    openAccounts: reader.boolean('COMPAT_OPEN_ACCOUNTS', false),
  }
}

/** Relations that no single value can break. Each names the failure that it prevents. */
function checkRelations(reader: ConfigurationReader, { engine, postgres, api }: Configuration): void {
  const atMost = (smaller: [string, number], larger: [string, number], factor: number, reason: string) => {
    if (smaller[1] * factor <= larger[1]) return
    const share = factor === 1 ? larger[0] : `a ${factor === 2 ? 'half' : 'third'} of ${larger[0]}`
    reader.complain(smaller[0], `at most ${share} (${larger[1]}): ${reason}`, String(smaller[1]))
  }
  const wall: [string, number] = ['BATCH_WALL_MAX_MS', engine.batchWallMaxMs]
  const session: [string, number] = ['SESSION_TIMEOUT_MS', engine.sessionTimeoutMs]
  const rebalance: [string, number] = ['REBALANCE_TIMEOUT_MS', engine.rebalanceTimeoutMs]
  const transaction: [string, number] = ['TRANSACTION_TIMEOUT_MS', postgres.transactionTimeoutMs]
  const heartbeat: [string, number] = ['HEARTBEAT_INTERVAL_MS', engine.heartbeatIntervalMs]
  atMost(heartbeat, session, 3, 'one late heartbeat must not cost the membership')
  atMost(wall, session, 2, 'a batch must not look like a dead processor')
  atMost(wall, rebalance, 2, 'a batch in flight must end before the group goes on without its processor')
  atMost(wall, transaction, 2, 'a batch that keeps to its time must be far from what Postgres ends')
  const buffer: [string, number] = ['BUFFER_BYTES_PER_PARTITION_MAX', engine.bufferBytesPerPartitionMax]
  atMost(
    ['BATCH_BYTES_MAX', engine.batchBytesMax],
    buffer,
    1,
    'a partition alone must be able to fill a batch',
  )
  if (api.port !== 0 && api.port === api.metricsPort) {
    reader.complain('METRICS_PORT', 'another port than API_PORT', String(api.metricsPort))
  }
}
