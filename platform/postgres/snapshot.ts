/** One moment of a ledger, for as long as it is looked at: a read-only transaction that sees nothing of what is committed later. */
import pg from 'pg'
import type { PoolOptions, ReadPool, SqlValue, Statement } from './pool.ts'
import { asOperatingError } from './postgres-errors.ts'

const INT8_OID = 20
const CLOSE_TIMEOUT_MS = 2_000

const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === INT8_OID && format !== 'binary'
      ? BigInt
      : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
}

/**
 * Begins it. One query at a time runs; others wait. Rows that are deleted meanwhile stay on the disk until it is closed.
 * @throws UnreachableError
 */
export const openSnapshot = async (options: PoolOptions): Promise<ReadPool> => {
  const statementTimeoutMs = options.statementTimeoutMs ?? 60_000
  const client = new pg.Client({
    connectionString: options.url,
    ...(options.sslCa === undefined ? {} : { ssl: { ca: options.sslCa } }),
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
    options: `-c search_path=${options.schema} -c statement_timeout=${statementTimeoutMs} -c jit=off`,
    query_timeout: statementTimeoutMs + 1_000,
    keepAlive: true,
    types,
  })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('begin isolation level repeatable read read only')
  } catch (error) {
    await client.end().catch(() => undefined)
    throw asOperatingError(error)
  }
  let turn: Promise<unknown> = Promise.resolve()
  return {
    query: <Row>(statement: Statement, values: readonly SqlValue[] = []) => {
      const answered = turn.then(async () => {
        try {
          return (await client.query({ ...statement, values: values as unknown[] })).rows as Row[]
        } catch (error) {
          throw asOperatingError(error)
        }
      })
      turn = answered.catch(() => undefined)
      return answered
    },
    close: async () => {
      const ended = client.end().catch(() => undefined)
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, CLOSE_TIMEOUT_MS).unref())])
    },
    load: () => ({ connections: 1, waiting: 0 }),
  }
}
