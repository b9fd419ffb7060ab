/** What became of the records of one source since a moment: counts by status and reason, and sums of what was applied. */
import type { ReasonCode, TransactionStatus } from '#domain/transactions/outcomes.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { currencyWord, reasonWord, statusCode, statusWord } from '#platform/postgres/queries/codes.ts'

// Cause 0 is the transaction's own record. Sequences from one on: a million rows are counted in about a second.
const COUNT = `select status, reason, count(*) as count from transactions
  where sequence > $1 and cause = 0 and source = $2 and actor = $3 group by status, reason order by status, reason`

const SUM = `select p.currency, sum(p.amount)::text as sum from transactions t
  join postings p on p.sequence = t.sequence and p.index = t.index and p.recorded_at = t.recorded_at
  where t.sequence > $1 and p.sequence > $1 and t.cause = 0 and t.source = $2 and t.actor = $3 and t.status = $4
  group by p.currency order by p.currency`

export interface DecidedRecords {
  /** By status; those that never happened are left out. */
  readonly byStatus: Readonly<Partial<Record<TransactionStatus, number>>>
  readonly rejectedByReason: Readonly<Partial<Record<ReasonCode, number>>>
  /** Of what was applied, by currency, minor units. */
  readonly appliedSums: Readonly<Record<string, bigint>>
}

/**
 * Counts the first decisions about an actor's records of a source.
 *
 * @param options.afterSequence The ledger's sequence before the first of the records was published.
 * @throws UnreachableError, OperatingError `query_timeout`
 */
export async function countDecided(
  pool: ReadPool,
  options: { afterSequence: bigint; source: string; actor: string },
): Promise<DecidedRecords> {
  const values = [options.afterSequence, options.source, options.actor]
  const rows = await pool.query<{ status: number; reason: number | null; count: bigint }>(
    { text: COUNT },
    values,
  )
  const byStatus: Partial<Record<TransactionStatus, number>> = {}
  const rejectedByReason: Partial<Record<ReasonCode, number>> = {}
  for (const { status, reason, count } of rows) {
    const word = statusWord(status)
    byStatus[word] = (byStatus[word] ?? 0) + Number(count)
    const why = reasonWord(reason)
    if (word === 'rejected' && why !== null) rejectedByReason[why] = Number(count)
  }
  const applied = [...values, statusCode('applied')]
  const sums = await pool.query<{ currency: number; sum: string }>({ text: SUM }, applied)
  const appliedSums = Object.fromEntries(sums.map((row) => [currencyWord(row.currency), BigInt(row.sum)]))
  return { byStatus, rejectedByReason, appliedSums }
}
