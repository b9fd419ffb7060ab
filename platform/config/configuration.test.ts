/** Configuration: defaults, where addresses come from, and that every wrong key and relation is told at once. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type LocalEndpoints, resolveConfiguration } from '#platform/config/configuration.ts'
import type { Environment } from '#platform/config/environment.ts'
import { ConfigurationError } from '#platform/errors.ts'

const localEndpoints = {
  kafkaBrokers: '127.0.0.1:9092',
  schemaRegistryUrl: 'http://127.0.0.1:8081/apis/ccompat/v7',
  databaseUrl: 'postgres://user:secret@127.0.0.1:5432/ledger',
  redisUrl: 'redis://127.0.0.1:6379',
}

/** The message of the ConfigurationError that these values must cause. */
function complaint(environment: Environment, local: LocalEndpoints = localEndpoints): string {
  try {
    resolveConfiguration(environment, { localEndpoints: local })
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError)
    return (error as Error).message
  }
  throw new Error('Expected a ConfigurationError, got none')
}

describe('where values come from', () => {
  test('the local stack fills in what the environment leaves out', () => {
    const environment = { DATABASE_URL: 'postgresql://db.example:5432/money', REDIS_URL: '' }
    const configuration = resolveConfiguration(environment, { localEndpoints })
    expect(configuration.postgres.url).toBe('postgresql://db.example:5432/money')
    expect(configuration.redis.url).toBe(localEndpoints.redisUrl)
    expect(configuration.kafka.brokers).toEqual(['127.0.0.1:9092'])
  })

  test('without environment and stack, each address is missed and the remedy named', () => {
    const message = complaint({}, {})
    for (const key of ['KAFKA_BROKERS', 'SCHEMA_REGISTRY_URL', 'DATABASE_URL', 'REDIS_URL']) {
      expect(message).toContain(key)
    }
    expect(message).toContain('npx tallystream stack up')
  })

  test.each([
    ['main', '', 'tallystream_main', 'main:'],
    ['eu_1', 'eu_1.', 'tallystream_eu_1', 'eu_1:'],
  ])('the ledger %s has names of its own everywhere', (ledger, topicPrefix, schema, keyPrefix) => {
    const configuration = resolveConfiguration({ LEDGER: ledger }, { localEndpoints })
    expect(configuration.ledger.topicPrefix).toBe(topicPrefix)
    expect(configuration.postgres.schema).toBe(schema)
    expect(configuration.redis.keyPrefix).toBe(keyPrefix)
  })
})

describe('complaints', () => {
  test('every wrong value is told at once, with expected and actual', () => {
    const message = complaint({
      LEDGER: 'Main',
      API_PORT: '70000',
      LOG_LEVEL: 'loud',
      COMPAT_OPEN_ACCOUNTS: 'yes',
      COMPAT_CURRENCY: 'EUX',
    })
    expect(message).toMatch(/LEDGER: expected a lower-case letter.*got "Main"/)
    expect(message).toContain('API_PORT: expected a whole number from 0 to 65535, got "70000"')
    expect(message).toMatch(/LOG_LEVEL: expected one of trace.*got "loud"/)
    expect(message).toContain('COMPAT_OPEN_ACCOUNTS: expected true or false, got "yes"')
    expect(message).toMatch(/COMPAT_CURRENCY: expected an ISO 4217 code.*got "EUX"/)
  })

  test.each([
    [
      { HEARTBEAT_INTERVAL_MS: '501' },
      'HEARTBEAT_INTERVAL_MS: expected at most a third of SESSION_TIMEOUT_MS (1500)',
    ],
    [
      { BATCH_WALL_MAX_MS: '501' },
      'BATCH_WALL_MAX_MS: expected at most a half of TRANSACTION_TIMEOUT_MS (1000)',
    ],
    [
      { REBALANCE_TIMEOUT_MS: '999' },
      'BATCH_WALL_MAX_MS: expected at most a half of REBALANCE_TIMEOUT_MS (999)',
    ],
    [
      { BUFFER_BYTES_PER_PARTITION_MAX: '4096' },
      'BATCH_BYTES_MAX: expected at most BUFFER_BYTES_PER_PARTITION_MAX (4096)',
    ],
    [
      { API_PORT: '9000', METRICS_PORT: '9000' },
      'METRICS_PORT: expected another port than API_PORT, got 9000',
    ],
  ])('relation broken by %o', (environment, expected) => {
    expect(complaint(environment)).toContain(expected)
  })

  test.each(['broker', 'broker:99999', 'broker:0', 'a:9092,b', 'a b:9092'])('%o names no brokers', (text) => {
    expect(complaint({ KAFKA_BROKERS: text })).toContain('KAFKA_BROKERS: expected host:port')
  })

  test.each(['1.5', '-1', '1e3', '0x10', ' 5', '99999999999999999999'])('%o is no whole number', (value) => {
    expect(complaint({ BATCH_RECORDS_MAX: value })).toContain('BATCH_RECORDS_MAX')
  })

  test('a password in a wrong URL is not repeated', () => {
    const message = complaint({ DATABASE_URL: 'mysql://user:hunter2@db/money', REDIS_URL: 'hunter2' })
    expect(message).toContain(
      'DATABASE_URL: expected a URL starting with postgres:// or postgresql://, got mysql://…',
    )
    expect(message).not.toContain('hunter2')
  })
})

describe('Kafka logins', () => {
  test('SCRAM takes a user, and encryption by a certificate file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tallystream-'))
    try {
      const file = join(folder, 'ca.pem')
      writeFileSync(file, '-----BEGIN CERTIFICATE-----\n')
      const environment = {
        KAFKA_SASL_MECHANISM: 'scram-sha-512',
        KAFKA_SASL_USERNAME: 'ada',
        KAFKA_SASL_PASSWORD: 'lovelace',
        KAFKA_SSL_CA_FILE: file,
      }
      const { kafka } = resolveConfiguration(environment, { localEndpoints })
      expect(kafka.login).toEqual({ mechanism: 'scram-sha-512', username: 'ada', password: 'lovelace' })
      expect(kafka.ssl).toBe(true)
      expect(kafka.sslCa).toContain('BEGIN CERTIFICATE')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('MSK IAM turns encryption on and needs a region', () => {
    const environment = { KAFKA_SASL_MECHANISM: 'aws-msk-iam', AWS_REGION: 'eu-central-1' }
    const { kafka } = resolveConfiguration(environment, { localEndpoints })
    expect(kafka.login).toEqual({ mechanism: 'aws-msk-iam', region: 'eu-central-1' })
    expect(kafka.ssl).toBe(true)
    expect(complaint({ KAFKA_SASL_MECHANISM: 'aws-msk-iam' })).toContain('AWS_REGION')
  })

  test.each<[Environment, string]>([
    [{ KAFKA_SASL_USERNAME: 'ada' }, 'KAFKA_SASL_MECHANISM: expected a mechanism'],
    [{ KAFKA_SASL_MECHANISM: 'scram-sha-256', KAFKA_SASL_USERNAME: 'ada' }, 'expected both with'],
    [
      { KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_USERNAME: 'ada', KAFKA_SASL_PASSWORD: 'x' },
      'KAFKA_SSL: expected true with KAFKA_SASL_MECHANISM=plain, got false',
    ],
    [{ KAFKA_SSL_CA_FILE: '/nowhere/ca.pem' }, 'KAFKA_SSL_CA_FILE: expected a readable PEM certificate file'],
  ])('%o is refused', (environment, expected) => {
    expect(complaint(environment)).toContain(expected)
  })
})
