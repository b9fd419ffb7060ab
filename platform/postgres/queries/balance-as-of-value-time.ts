/** An account's balance at an effective (value) time: what counts up to then, whenever it was recorded. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import {
  type PastBalance,
  type PastBalanceRow,
  POSTED_AS_OF,
  pastBalanceOf,
} from '#platform/postgres/queries/balance-as-of.ts'

// The known balance less what takes effect later: so entries of old partitions, long in effect, need not be there.
const TEXT = `select a.account_id, a.currency, a.normal_side, (${POSTED_AS_OF}
    + coalesce((select sum(amount) from postings where debit_no = a.account_no and recorded_at <= $2 and value_at > $3), 0)
    - coalesce((select sum(amount) from postings where credit_no = a.account_no and recorded_at <= $2 and value_at > $3), 0)
  )::bigint as posted
  from accounts a where a.account_id = $1`

/** Later than any recorded time. */
const ALL_RECORDED = new Date('9999-12-31T00:00:00Z')

/**
 * The balance of what is effective up to `valueAt` (inclusive), or undefined where there is no such account.
 *
 * @param options.recordedAt Only what was recorded up to then: what the ledger would have answered at that time.
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
