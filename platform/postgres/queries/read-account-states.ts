/** Accounts as they stand, and balances folded from postings, in ranges of account numbers: for audits. */
import type { ReadPool } from '../pool.ts'
import { DROPPED } from './history-start.ts'

export interface AccountStateRow {
  readonly account_no: bigint
  readonly account_id: string
  readonly posted: bigint
  readonly reserved: bigint
  readonly status: string
  readonly limited: boolean
  readonly overdraft_limit: bigint
  readonly version: bigint
  readonly opened_sequence: bigint
}

const READ_STATES = {
  name: 'read-account-states',
  text: `select account_no, account_id, posted, reserved, status, limited, overdraft_limit, version, opened_sequence
    from accounts where account_no > $1 order by account_no limit $2`,
}

/** Accounts with higher numbers than `after`, in their order. */
export const readAccountStates = (pool: ReadPool, after: number, limit: number): Promise<AccountStateRow[]> =>
  pool.query(READ_STATES, [after, limit])

const FOLD = {
  name: 'fold-balances',
  text: `with dropped as (${DROPPED}),
      kept as not materialized (select * from postings where sequence <= $3 and recorded_at >= coalesce((select until from dropped), '-infinity'))
    select account_no, sum(amount)::bigint as posted from (
      select debit_no as account_no, -amount as amount from kept where debit_no > $1 and debit_no <= $2
      union all
      select credit_no, amount from kept where credit_no > $1 and credit_no <= $2
      union all
      select account_no, posted from closings
        where period = (select period from dropped) and account_no > $1 and account_no <= $2) as sides
    group by account_no`,
}

/**
 * By account number: the sum of its entries up to a batch (one after the dropped periods, whose closing it begins with), for
 * after < account number ≤ through. Absent: no entries.
 */
export const foldBalances = async (
  pool: ReadPool,
  range: { readonly after: number; readonly through: number; readonly sequence: bigint },
): Promise<Map<number, bigint>> => {
  const rows = await pool.query<{ account_no: bigint; posted: bigint }>(FOLD, [
    range.after,
    range.through,
    range.sequence,
  ])
  return new Map(rows.map((row) => [Number(row.account_no), row.posted]))
}
