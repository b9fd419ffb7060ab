/** An account's balance as it was recorded at a time: what the ledger said then. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { currencyWord } from '#platform/postgres/queries/codes.ts'
import { DROPPED, PeriodDroppedError } from '#platform/postgres/queries/history-start.ts'

export interface PastBalance {
  readonly accountId: string
  readonly currency: string
  readonly normalSide: 'debit' | 'credit'
  /** Credits less debits, minor units. */
  readonly posted: bigint
  /** The time asked for; the ledger's where it isn't that late yet: up to there the answer may still change. */
  readonly asOf: Date
}

export interface PastBalanceRow {
  account_id: string
  currency: number
  normal_side: 'debit' | 'credit'
  posted: bigint
  as_of: Date
  /** Whether only what was dropped could tell; then `until` says from when on it is kept. */
  gone: boolean
  until: Date | null
}

/** @throws PeriodDroppedError */
export const pastBalanceOf = (row: PastBalanceRow): PastBalance => {
  if (row.gone) throw new PeriodDroppedError('the balance at that time was dropped', row.until!)
  return {
    accountId: row.account_id,
    currency: currencyWord(row.currency),
    normalSide: row.normal_side,
    posted: row.posted,
    asOf: row.as_of,
  }
}

/**
 * Account $1 as `a`, asked about recorded time $2. Where periods were dropped: `until` ends the last of them, and `carried` is
 * the one whose closing the answer begins with; `past` = that is all of it, since $2 itself lies in a dropped one.
 */
export const ASKED = `dropped as (${DROPPED}),
  a as (select account_no, account_id, currency, normal_side, d.until, coalesce($2 < d.until, false) as past,
      case when $2 < d.until then date_trunc('month', $2 at time zone 'UTC')::date else d.period end as carried
    from accounts left join dropped d on true where account_id = $1)`

/** The last entry of one side up to the time; each carries the balance after it. Later partitions are pruned. */
const lastEntry = (name: 'debit' | 'credit', place: 0 | 1): string => `
  (select ${name}_posted as posted, sequence, index, posting * 2 + ${place} as entry from postings
   where ${name}_no = a.account_no and recorded_at <= $2 and recorded_at >= coalesce(a.until, '-infinity')
   order by sequence desc, index desc, posting desc limit 1)`

/** $2, or the ledger's own time where that is earlier: it is behind the clock while a backlog is read. */
export const KNOWN_AS_OF = `least($2, (select to_timestamp(tick_ms / 1000.0) from ledger_head))`

const CARRIED = `(select c.posted from closings c where c.period = a.carried and c.account_no = a.account_no)`

/** The balance after the last entry recorded up to $2, in row `a`. An account without a closing had nothing. */
export const POSTED_AS_OF = `coalesce(case when a.past then ${CARRIED} else coalesce(
    (select posted from (${lastEntry('debit', 0)} union all ${lastEntry('credit', 1)}) as last
      order by sequence desc, index desc, entry desc limit 1), ${CARRIED}) end, 0)`

/** Whether $2 lies within a dropped period in which the account was moved: there the closing says the balance at its end only. */
export const GONE_AS_OF = `(a.past and $2 < (a.carried + interval '1 month') at time zone 'UTC' - interval '1 millisecond'
    and exists (select from closings c where c.period = a.carried and c.account_no = a.account_no
      and c.debit_count + c.credit_count > 0))`

const TEXT = `with ${ASKED}
  select a.account_id, a.currency, a.normal_side, a.until, ${POSTED_AS_OF} as posted, ${GONE_AS_OF} as gone,
    ${KNOWN_AS_OF} as as_of from a`

/**
 * The balance with everything recorded up to `recordedAt` (inclusive), or undefined where there is no such account now.
 * Before its opening an account's balance is zero. Within a dropped period it is known at the end (its last millisecond), and at
 * any time where the account wasn't moved in it.
 *
 * @throws PeriodDroppedError where it isn't known any more
 */
export async function balanceAsOf(
  pool: ReadPool,
  accountId: string,
  recordedAt: Date,
): Promise<PastBalance | undefined> {
  const [row] = await pool.query<PastBalanceRow>({ name: 'balance-as-of', text: TEXT }, [
    accountId,
    recordedAt,
  ])
  return row === undefined ? undefined : pastBalanceOf(row)
}
