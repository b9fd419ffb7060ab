/**
 * What an integration test file gets from the shared stack: addresses, and a ledger of its own. Topic prefix, Postgres schema
 * and Redis prefix follow from the ledger's name, so files never see each other's records.
 */
import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { type Configuration, resolveConfiguration } from '#platform/config/configuration.ts'
import { type Environment, processEnvironment } from '#platform/config/environment.ts'

/** A ledger name for one test file: readable in topic lists, and never the same twice. */
export function freshLedgerName(label: string): string {
  const readable = label
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .slice(0, 20)
  return `t${readable}_${randomBytes(4).toString('hex')}`
}

/**
 * The configuration of a fresh ledger on the shared stack. Topics are under `<ledger>.`, the Postgres schema is
 * `tallystream_<ledger>`, Redis keys start with `<ledger>:`.
 *
 * @param label A short word that names the test file.
 * @param environment Settings to change, by their environment names.
 */
export function testConfiguration(label: string, environment: Environment = {}): Configuration {
  const settings = { LEDGER: freshLedgerName(label), API_PORT: '0', LOG_LEVEL: 'warn', ...environment }
  return resolveConfiguration(settings, { localEndpoints: inject('stackEndpoints') })
}

/** The environment of a command run as a process: this one's, a ledger on the shared stack, and what a test sets besides. */
export function commandEnvironment(ledger: string, more: Environment = {}): NodeJS.ProcessEnv {
  const endpoints = inject('stackEndpoints')
  return {
    ...processEnvironment(),
    LEDGER: ledger,
    KAFKA_BROKERS: endpoints.kafkaBrokers,
    SCHEMA_REGISTRY_URL: endpoints.schemaRegistryUrl,
    DATABASE_URL: endpoints.databaseUrl,
    REDIS_URL: endpoints.redisUrl,
    ...more,
  }
}
