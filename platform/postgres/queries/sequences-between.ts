/** The stretch of the history that was recorded in a stretch of time: listings by time needn't look outside of it. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { CURSOR_END } from '#platform/postgres/queries/cursor.ts'

/**
 * Sequence and time grow together, so the last batch that recorded before a time is found by halving: some thirty looks at the
 * primary key, where an index by time would have to be kept for every row. `low` only ever names batches with something before it.
 */
const LAST_BEFORE = `with recursive search (low, high) as (
    select 0::bigint, coalesce((select sequence from ledger_head), 0) + 1
    union all
    select case when probe.recorded_at < $1 then probe.sequence else low end,
      case when probe.recorded_at < $1 then high else (low + high) / 2 end
    from search
    left join lateral (select sequence, recorded_at from transactions
      where sequence >= (low + high) / 2 order by sequence, index limit 1) probe on true
    where high - low > 1)
  select max(low) as low from search`

export interface SequenceSpan {
  readonly first: bigint
  readonly last: bigint
}

/**
 * All that was recorded at or after `from` and before `to` lies from `first` to `last`, both among them; at the edges perhaps more.
 * @throws OperatingError of Postgres
 */
export async function sequencesBetween(
  pool: ReadPool,
  { from, to }: { readonly from?: Date | undefined; readonly to?: Date | undefined },
): Promise<SequenceSpan> {
  const [first, last] = await Promise.all([
    from === undefined ? 0n : lastBefore(pool, from),
    to === undefined ? CURSOR_END : lastBefore(pool, to),
  ])
  return { first, last }
}

async function lastBefore(pool: ReadPool, time: Date): Promise<bigint> {
  const [row] = await pool.query<{ low: bigint }>({ name: 'last-sequence-before', text: LAST_BEFORE }, [time])
  return row?.low ?? 0n
}
