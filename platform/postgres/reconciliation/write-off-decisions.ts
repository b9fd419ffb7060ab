/** What the ledger decided about given transactions, up to a batch: for write-offs that are under way. */
import type pg from 'pg'
import type { TransactionStatus } from '#domain/transactions/outcomes.ts'
import { asOperatingError } from '#platform/postgres/postgres-errors.ts'
import { reasonWord, statusWord } from '#platform/postgres/queries/codes.ts'

export interface WriteOffDecision {
  /** As in domain/transactions/canonical.ts: 32 hex digits. */
  readonly key: string
  readonly status: TransactionStatus
  readonly reason: string | null
  /** Of the batch. */
  readonly sequence: bigint
}

// The decision that took the id, and later ones about it (a review, an expiry); duplicates are none.
const READ = `select replace(i.key::text, '-', '') as key, d.status, d.reason, d.sequence
from transaction_ids i cross join lateral (
  select status, reason, sequence, index from transactions t
    where t.sequence = i.sequence and t.index = i.index and t.recorded_at = i.recorded_at
  union all
  select status, reason, sequence, index from transactions t where t.key = i.key and t.cause <> 0) d
where i.key = any($1::uuid[]) and d.sequence <= $2 order by d.sequence, d.index`

/** In ledger order. @throws UnreachableError, OperatingError */
export async function readWriteOffDecisions(
  pool: Pick<pg.Pool, 'query'>,
  keys: readonly string[],
  upTo: bigint,
): Promise<WriteOffDecision[]> {
  try {
    const { rows } = await pool.query<{
      key: string
      status: number
      reason: number | null
      sequence: bigint
    }>({ name: 'recon-write-off-decisions', text: READ, values: [keys, upTo] })
    return rows.map(({ status, reason, ...row }) => ({
      ...row,
      status: statusWord(status),
      reason: reasonWord(reason),
    }))
  } catch (error) {
    throw asOperatingError(error)
  }
}
