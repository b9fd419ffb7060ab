/** The engine's small pool beside its session: batches for the publisher, leases, progress. Bounded, with time-outs, in the ledger's schema. */
import pg from 'pg'
import type { PostgresConfiguration } from '#platform/config/configuration.ts'
import { clientSettings } from '#platform/postgres/client-settings.ts'

export type EnginePool = pg.Pool

export interface EnginePoolOptions {
  /** Shown in pg_stat_activity. */
  readonly applicationName: string
  readonly connectionsMax: number
  /** A statement that takes longer is ended. */
  readonly statementTimeoutMs?: number
  /** Whether a connection takes a statement before the one before is answered; without it they wait here. */
  readonly pipeline?: boolean
}

const INT8_OID = 20
const STATEMENT_TIMEOUT_MS = 30_000
/** The server answers first, unless it is gone or cut off: then nothing would ever come. */
const ANSWER_MARGIN_MS = 1_000

/** int8 as bigint; everything else as pg gives it. */
const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === INT8_OID && format !== 'binary'
      ? BigInt
      : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
}

/** Makes a pool; connections are opened when needed. */
export const makeEnginePool = (postgres: PostgresConfiguration, options: EnginePoolOptions): EnginePool => {
  const { statementTimeoutMs = STATEMENT_TIMEOUT_MS } = options
  const pool = new pg.Pool({
    ...clientSettings(postgres, options),
    max: options.connectionsMax,
    idleTimeoutMillis: 30_000,
    statement_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + ANSWER_MARGIN_MS,
    keepAlive: true,
    pipeline: options.pipeline ?? false,
    types,
  })
  // A connection that breaks is replaced, and whoever uses it gets the error from the next statement; without a listener it would end
  // the process: the pool listens to idle ones alone.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => client.on('error', () => undefined))
  return pool
}
