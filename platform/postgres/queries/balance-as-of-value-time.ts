/** An account's balance at an effective (value) time: what counts up to then, whenever it was recorded. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import {
  ASKED,
  GONE_AS_OF,
  KNOWN_AS_OF,
  type PastBalance,
  type PastBalanceRow,
  POSTED_AS_OF,
  pastBalanceOf,
} from '#platform/postgres/queries/balance-as-of.ts'

const LATER = `recorded_at <= $2 and recorded_at >= coalesce(a.until, '-infinity') and value_at > $3`

/** What the closings of dropped periods know by value time: nets by day, and by time where they were effective later still. */
const CARRIED_LATER = `(select coalesce(sum(nets.net), 0) from periods p
    join closings c on c.period = p.period and c.account_no = a.account_no
    cross join lateral (
      select net from unnest(c.value_days, c.value_nets) as days (day, net) where days.day > asked.value_day
      union all
      select net from unnest(c.later_ms, c.later_nets) as later (ms, net) where later.ms > asked.value_ms) as nets
    where p.period <= a.carried)`

/** Whether $3 lies within a day of which only the sum is known. */
const GONE_IN_DAY = `(asked.value_ms <> asked.value_day * 86400000 + 86399999 and exists (
    select from periods p join closings c on c.period = p.period and c.account_no = a.account_no
    where p.period <= a.carried and asked.value_day = any(c.value_days)))`

// The known balance less what takes effect later: so entries of old partitions, long in effect, need not be there.
const TEXT = `with ${ASKED},
  asked as (select ms as value_ms, floor(ms / 86400000)::bigint as value_day
    from (select floor(extract(epoch from $3::timestamptz) * 1000) as ms) as given)
  select a.account_id, a.currency, a.normal_side, a.until, (${POSTED_AS_OF}
    + coalesce((select sum(amount) from postings where debit_no = a.account_no and ${LATER}), 0)
    - coalesce((select sum(amount) from postings where credit_no = a.account_no and ${LATER}), 0)
    - ${CARRIED_LATER})::bigint as posted,
    ${GONE_AS_OF} or ${GONE_IN_DAY} as gone, ${KNOWN_AS_OF} as as_of
  from a cross join asked`

/** Later than any recorded time. */
const ALL_RECORDED = new Date('9999-12-31T00:00:00Z')

/**
 * The balance of what is effective up to `valueAt` (inclusive), or undefined where there is no such account. Of what was recorded
 * in dropped periods it is known by day (UTC): at a day's last millisecond, and at any time of a day on which none of it took effect.
 *
 * @param options.recordedAt Only what was recorded up to then: what the ledger would have answered at that time.
 * @throws PeriodDroppedError where it isn't known any more
 */
export async function balanceAsOfValueTime(
  pool: ReadPool,
  accountId: string,
  options: { valueAt: Date; recordedAt?: Date | undefined },
): Promise<PastBalance | undefined> {
  const values = [accountId, options.recordedAt ?? ALL_RECORDED, options.valueAt]
  const [row] = await pool.query<PastBalanceRow>({ name: 'balance-as-of-value-time', text: TEXT }, values)
  return row === undefined ? undefined : pastBalanceOf(row)
}
