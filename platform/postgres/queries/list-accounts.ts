/** Lists accounts with their balances, in order of their ids. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { type AccountDetails, readAccount } from '#platform/postgres/queries/read-account.ts'
import { readAccountIds } from '#platform/postgres/queries/read-account-ids.ts'

/** A page of accounts with ids above `afterAccountId` ('' = from the first), and whether there are more. */
export async function listAccounts(
  pool: ReadPool,
  options: { afterAccountId: string; limit: number },
): Promise<{ accounts: AccountDetails[]; hasMore: boolean }> {
  const accountIds = await readAccountIds(pool, options.afterAccountId, options.limit + 1)
  // By primary key and prepared: a page of hundreds costs less than a second listing query would to keep.
  const found = await Promise.all(
    accountIds.slice(0, options.limit).map((accountId) => readAccount(pool, accountId)),
  )
  const accounts = found.filter((account) => account !== undefined)
  return { accounts, hasMore: accountIds.length > options.limit }
}
