/** Deletes parties of fraud rules that count as never seen (domain/fraud/parties.ts): it changes no decision. */
import type pg from 'pg'
import { partiesFromDay } from '#domain/fraud/parties.ts'
import { readReach } from './read-reach.ts'

const ROWS_AT_ONCE = 5_000

// One that is in use again while it is looked at is passed over: its day has changed, or its row is locked.
const PRUNE = `delete from fraud_parties where (kind, name) in (
    select kind, name from fraud_parties where used_day < $1 limit $2 for update skip locked)`

/** @returns how many were deleted. @throws UnreachableError; AbortError of `signal` */
export const pruneParties = async (
  pool: pg.Pool,
  options: { readonly signal?: AbortSignal; readonly rowsAtOnce?: number } = {},
): Promise<number> => {
  const { rowsAtOnce = ROWS_AT_ONCE } = options
  const { tickMs } = await readReach(pool)
  let deleted = 0
  for (;;) {
    options.signal?.throwIfAborted()
    const { rowCount } = await pool.query(PRUNE, [partiesFromDay(tickMs), rowsAtOnce])
    deleted += rowCount ?? 0
    if ((rowCount ?? 0) < rowsAtOnce) return deleted
  }
}
