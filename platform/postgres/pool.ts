/** Connections for reading a ledger: a small pool whose sessions can't write, with time limits on the server and here. */
import pg from 'pg'
import type { PostgresConfiguration } from '#platform/config/configuration.ts'
import { OperatingError } from '#platform/errors.ts'
import { asOperatingError } from '#platform/postgres/postgres-errors.ts'
import { clientSettings } from '#platform/postgres/client-settings.ts'

export interface PoolOptions extends Pick<PostgresConfiguration, 'url' | 'sslCa' | 'schema'> {
  /** Shown in pg_stat_activity: which program this is. */
  applicationName: string
  connectionsMax?: number
  /** How long a query may wait for a connection, and a connection for the server. */
  connectTimeoutMs?: number
  /** Postgres ends a statement that lasts longer. */
  statementTimeoutMs?: number
  /** Told when an idle connection breaks; the pool replaces it. */
  onConnectionError?: (error: Error) => void
}

/** What may be given for a placeholder. */
export type SqlValue =
  | string
  | number
  | bigint
  | boolean
  | Date
  | null
  | readonly string[]
  | readonly bigint[]
  | readonly number[]

export interface Statement {
  /** Prepared once a connection under this name; the text must then always be the same. */
  name?: string
  text: string
}

/** Reads a ledger. int8 arrives as bigint, numeric as text. */
export interface ReadPool {
  /** @throws UnreachableError where Postgres doesn't answer; OperatingError `query_timeout` or `postgres_failed`. */
  query<Row>(statement: Statement, values?: readonly SqlValue[]): Promise<Row[]>
  close(): Promise<void>
  /** Connections in use and queries waiting for one, for metrics. */
  load(): { connections: number; waiting: number }
}

const INT8 = 20
const INT8_ARRAY = 1016
const QUERY_CANCELED = '57014'

type Parser = (text: string) => unknown

/** int8 as bigint: a Number would round above 2^53. Everything else as pg has it (numeric: text). */
const typeParser = (oid: number, format?: 'text' | 'binary'): Parser => {
  if (format !== 'binary' && oid === INT8) return BigInt
  if (format !== 'binary' && oid === INT8_ARRAY) {
    return (text) => (text === '{}' ? [] : text.slice(1, -1).split(',').map(BigInt))
  }
  return pg.types.getTypeParser(oid, format as 'text') as Parser
}

/** Opens a pool; connections are made when first needed. Close it with `close`. */
export function makePool(options: PoolOptions): ReadPool {
  const statementTimeoutMs = options.statementTimeoutMs ?? 5000
  const pool = new pg.Pool({
    ...clientSettings(options, {
      applicationName: options.applicationName,
      connectTimeoutMs: options.connectTimeoutMs ?? 2000,
      // Sessions can't write: state changes only through Kafka.
      settings: [`statement_timeout=${statementTimeoutMs}`, 'default_transaction_read_only=on', 'jit=off'],
    }),
    max: options.connectionsMax ?? 10,
    // Longer than the server's: it answers first, unless it is gone.
    query_timeout: statementTimeoutMs + 1000,
    idleTimeoutMillis: 30_000,
    // After a failover connections must find the new writer by themselves.
    maxLifetimeSeconds: 300,
    keepAlive: true,
    types: { getTypeParser: typeParser as typeof pg.types.getTypeParser },
  })
  pool.on('error', options.onConnectionError ?? (() => {}))
  return {
    query: async <Row>(statement: Statement, values: readonly SqlValue[] = []) => {
      try {
        const config = { ...statement, values: values as unknown[] }
        const { rows } = await pool.query(config)
        return rows as Row[]
      } catch (error) {
        throw queryError(error, statementTimeoutMs)
      }
    },
    close: () => pool.end(),
    load: () => ({ connections: pool.totalCount - pool.idleCount, waiting: pool.waitingCount }),
  }
}

function queryError(error: unknown, statementTimeoutMs: number): OperatingError {
  if ((error as { code?: unknown }).code === QUERY_CANCELED) {
    const message = `the query took longer than ${statementTimeoutMs} ms; ask for less`
    return new OperatingError('query_timeout', message, { cause: error })
  }
  return asOperatingError(error)
}
