/** How every connection to a ledger's database is opened: address, TLS, schema, and limits of waiting. */
import type { ClientConfig } from 'pg'
import type { PostgresConfiguration } from '#platform/config/configuration.ts'

export interface ClientSettings {
  /** Shown in pg_stat_activity: which program this is. */
  readonly applicationName: string
  /** How long a connection may take, ms. */
  readonly connectTimeoutMs?: number
  /** Settings of the session beside the schema, as `name=value`. */
  readonly settings?: readonly string[]
}

const CONNECT_TIMEOUT_MS = 5_000

/** What pg takes for clients and pools. With a certificate authority of our own the server's certificate is checked against it. */
export const clientSettings = (
  postgres: Pick<PostgresConfiguration, 'url' | 'sslCa' | 'schema'>,
  { applicationName, connectTimeoutMs = CONNECT_TIMEOUT_MS, settings = [] }: ClientSettings,
): ClientConfig => ({
  connectionString: postgres.url,
  ...(postgres.sslCa === undefined ? {} : { ssl: { ca: postgres.sslCa } }),
  application_name: applicationName,
  connectionTimeoutMillis: connectTimeoutMs,
  // The schema's name is checked by the configuration: a-z, 0-9 and _.
  options: [`search_path=${postgres.schema}`, ...settings].map((setting) => `-c ${setting}`).join(' '),
})
