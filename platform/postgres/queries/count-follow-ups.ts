/** Counts the decisions of reviewers and of time about the transactions of one source. */
import type { TransactionStatus } from '#domain/transactions/outcomes.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { statusWord } from '#platform/postgres/queries/codes.ts'

// Cause 0 is the transaction's own record.
const TEXT = `select status, count(*) as count from transactions
  where source = $1 and cause <> 0 group by status order by status`

/** By status; those that never happened are left out. */
export async function countFollowUps(
  pool: ReadPool,
  source: string,
): Promise<Partial<Record<TransactionStatus, number>>> {
  const rows = await pool.query<{ status: number; count: bigint }>({ text: TEXT }, [source])
  return Object.fromEntries(rows.map(({ status, count }) => [statusWord(status), Number(count)]))
}
