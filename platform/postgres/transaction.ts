/** One transaction around some work: committed where the work succeeds, rolled back where it fails, and the connection given back. */
import type pg from 'pg'
import { OperatingError } from '#platform/errors.ts'
import { asOperatingError } from './postgres-errors.ts'

export interface TransactionOptions<Result> {
  /** What begins it, where it has settings of its own: `begin; set local …`. */
  readonly begin?: string
  /** Whether what was done is kept, by what the work returns; kept unless told. */
  readonly keeps?: (result: Result) => boolean
}

/**
 * Runs work within a transaction on a connection of the pool's.
 * @throws OperatingError, UnreachableError: what the work throws, coded (postgres-errors.ts)
 */
export const inTransaction = async <Result>(
  pool: Pick<pg.Pool, 'connect'>,
  work: (client: pg.PoolClient) => Promise<Result>,
  options: TransactionOptions<Result> = {},
): Promise<Result> => {
  try {
    const client = await pool.connect()
    let isUsable = true
    try {
      return await inTransactionOn(client, () => work(client), {
        ...options,
        onStuck: () => {
          isUsable = false
        },
      })
    } finally {
      // A connection that couldn't be rolled back may still be in the transaction: it is ended, not given back.
      client.release(!isUsable)
    }
  } catch (error) {
    throw asOperatingError(error)
  }
}

/**
 * Runs work within a transaction on a connection that the caller holds. @throws what the work throws, as it is;
 * OperatingError `postgres_failed` where the work swallowed an error and Postgres rolled back instead of committing
 */
export const inTransactionOn = async <Result>(
  client: Pick<pg.ClientBase, 'query'>,
  work: () => Promise<Result>,
  options: TransactionOptions<Result> & { readonly onStuck?: () => void } = {},
): Promise<Result> => {
  const { begin = 'begin', keeps = () => true, onStuck } = options
  try {
    await client.query(begin)
    const result = await work()
    if (keeps(result)) {
      const { command } = await client.query('commit')
      if (command !== 'COMMIT') {
        throw new OperatingError(
          'postgres_failed',
          `expected the transaction to be committed, got ${command}`,
        )
      }
    } else await client.query('rollback')
    return result
  } catch (error) {
    await client.query('rollback').catch(() => onStuck?.())
    throw error
  }
}
