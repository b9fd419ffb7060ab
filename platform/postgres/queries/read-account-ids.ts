/** Reads account ids: in key order page by page, or those of a list that exist. */
import type { ReadPool } from '#platform/postgres/pool.ts'

/** The next `limit` ids above `afterAccountId` ('' = from the first), in key order. */
export async function readAccountIds(
  pool: ReadPool,
  afterAccountId: string,
  limit: number,
): Promise<string[]> {
  const text = 'select account_id from accounts where account_id > $1 order by account_id limit $2'
  const rows = await pool.query<{ account_id: string }>({ name: 'read-account-ids', text }, [
    afterAccountId,
    limit,
  ])
  return rows.map((row) => row.account_id)
}

/** Those of the given ids that are accounts. */
export async function readKnownAccounts(pool: ReadPool, accountIds: readonly string[]): Promise<Set<string>> {
  const text = 'select account_id from accounts where account_id = any($1)'
  const rows = await pool.query<{ account_id: string }>({ name: 'read-known-accounts', text }, [accountIds])
  return new Set(rows.map((row) => row.account_id))
}
