/** Every balance against the fold of its postings (the closing of the last dropped period and what was posted since), and the sum of each currency: what must hold at any moment. */
import type { ReadPool } from '../pool.ts'
import { DROPPED } from './history-start.ts'

export interface BalanceCheck {
  readonly accounts: number
  /** Accounts whose balance isn't the fold of their postings. */
  readonly foldMismatches: number
  /** ISO 4217 numeric code → sum of all balances, minor units. */
  readonly sums: ReadonlyMap<number, bigint>
}

// One statement, so that all of it is of one moment.
const CHECK = `with dropped as (${DROPPED}),
  kept as not materialized (select * from postings where recorded_at >= coalesce((select until from dropped), '-infinity')),
  moved as (
    select account_no, sum(amount)::bigint as amount from (
      select debit_no as account_no, -amount as amount from kept union all select credit_no, amount from kept
      union all select account_no, posted from closings where period = (select period from dropped)) as sides
    group by account_no),
  compared as (
    select a.currency, a.posted, a.posted is distinct from coalesce(m.amount, 0) as differs
    from accounts a left join moved m using (account_no))
  select currency, count(*)::int as accounts, count(*) filter (where differs)::int as mismatches, sum(posted)::text as total
  from compared group by currency`

/** Reads all of it in one statement. @throws UnreachableError, OperatingError `query_timeout` */
export const checkBalances = async (pool: ReadPool): Promise<BalanceCheck> => {
  const rows = await pool.query<{ currency: number; accounts: number; mismatches: number; total: string }>({
    text: CHECK,
  })
  return {
    accounts: rows.reduce((sum, row) => sum + row.accounts, 0),
    foldMismatches: rows.reduce((sum, row) => sum + row.mismatches, 0),
    sums: new Map(rows.map((row) => [row.currency, BigInt(row.total)])),
  }
}
