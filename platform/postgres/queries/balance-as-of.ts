/** An account's balance as it was recorded at a time: what the ledger said then. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { currencyWord } from '#platform/postgres/queries/codes.ts'

export interface PastBalance {
  readonly accountId: string
  readonly currency: string
  readonly normalSide: 'debit' | 'credit'
  /** Credits less debits, minor units. */
  readonly posted: bigint
}

export interface PastBalanceRow {
  account_id: string
  currency: number
  normal_side: 'debit' | 'credit'
  posted: bigint
}

export const pastBalanceOf = (row: PastBalanceRow): PastBalance => ({
  accountId: row.account_id,
  currency: currencyWord(row.currency),
  normalSide: row.normal_side,
  posted: row.posted,
})

/** The last entry of one side up to the time; each carries the balance after it. Later partitions are pruned. */
const lastEntry = (name: 'debit' | 'credit', place: 0 | 1): string => `
  (select ${name}_posted as posted, sequence, index, posting * 2 + ${place} as entry from postings
   where ${name}_no = a.account_no and recorded_at <= $2
   order by sequence desc, index desc, posting desc limit 1)`

/** The balance after the last entry recorded up to $2, in $1's account row `a`. */
export const POSTED_AS_OF = `coalesce((select posted from (${lastEntry('debit', 0)} union all ${lastEntry('credit', 1)}) as last
  order by sequence desc, index desc, entry desc limit 1), 0)`

const TEXT = `select a.account_id, a.currency, a.normal_side, ${POSTED_AS_OF} as posted
  from accounts a where a.account_id = $1`

/**
 * The balance with everything recorded up to `recordedAt` (inclusive), or undefined where there is no such account now.
 * Before its opening an account's balance is zero.
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
