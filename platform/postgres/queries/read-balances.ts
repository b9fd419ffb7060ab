/** Reads balances as they are now, with what the cache needs to order them. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { currencyWord } from '#platform/postgres/queries/codes.ts'
import type { AccountBalance } from '#platform/redis/balance-value.ts'

interface Row {
  account_id: string
  currency: number
  normal_side: 'debit' | 'credit'
  posted: bigint
  reserved: bigint
  limited: boolean
  overdraft_limit: bigint
  version: bigint
  timeline: bigint
  tick_ms: bigint
}

// One statement = one snapshot: the time belongs to the balances.
const TEXT = `select a.account_id, a.currency, a.normal_side, a.posted, a.reserved, a.limited, a.overdraft_limit, a.version,
    h.timeline, h.tick_ms
  from accounts a cross join ledger_head h
  where a.account_id = any($1)`

/** Balances of these accounts, in any order; unknown accounts are left out. */
export async function readBalances(pool: ReadPool, accountIds: readonly string[]): Promise<AccountBalance[]> {
  const rows = await pool.query<Row>({ name: 'read-balances', text: TEXT }, [accountIds])
  return rows.map((row) => ({
    accountId: row.account_id,
    currency: currencyWord(row.currency),
    normalSide: row.normal_side,
    posted: row.posted,
    reserved: row.reserved,
    limited: row.limited,
    overdraftLimit: row.overdraft_limit,
    version: { timeline: row.timeline, sequence: row.version },
    recordedAtMs: Number(row.tick_ms),
  }))
}
