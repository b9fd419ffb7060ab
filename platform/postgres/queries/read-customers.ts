/** Which of some accounts are customers': the ones that fraud rules look at as payers. */
import type { ReadPool } from '#platform/postgres/pool.ts'

const TEXT = `select account_id from accounts where account_id = any($1::text[]) and account_class = 'customer'`

/** Those of the accounts that are customers'. */
export async function readCustomers(pool: ReadPool, accountIds: readonly string[]): Promise<Set<string>> {
  if (accountIds.length === 0) return new Set()
  const rows = await pool.query<{ account_id: string }>({ text: TEXT }, [[...accountIds]])
  return new Set(rows.map((row) => row.account_id))
}
