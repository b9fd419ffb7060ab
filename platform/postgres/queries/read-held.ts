/** Reads the hold of a transaction that is or was held for review. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { type HeldPostingRow, type ReservedPosting, reservedOf } from './transaction-rows.ts'

export interface ReviewedHold {
  /** Sequence of the batch that held it. */
  readonly sequence: bigint
  readonly status: string
  readonly heldAt: Date
  readonly expiresAtMs: number
  readonly postings: readonly ReservedPosting[]
  readonly priority: number
  readonly reviewers: number
  readonly releasedBy: string | null
}

interface Row {
  sequence: bigint
  status: string
  recorded_at: Date
  expires_at_ms: bigint
  postings: HeldPostingRow[]
  priority: number
  reviewers: number
  released_by: string | null
}

const TEXT = `select h.sequence, h.status, i.recorded_at, h.expires_at_ms, h.postings, h.priority, h.reviewers, h.released_by
  from holds h join transaction_ids i on i.key = h.key where h.key = $1::uuid and h.kind = 'review'`

/** The hold; undefined where it isn't or was not held for review. @param key 32 hexadecimal digits */
export async function readHeld(pool: ReadPool, key: string): Promise<ReviewedHold | undefined> {
  const [row] = await pool.query<Row>({ name: 'read-held', text: TEXT }, [key])
  if (row === undefined) return undefined
  return {
    sequence: row.sequence,
    status: row.status,
    heldAt: row.recorded_at,
    expiresAtMs: Number(row.expires_at_ms),
    postings: row.postings.map(reservedOf),
    priority: row.priority,
    reviewers: row.reviewers,
    releasedBy: row.released_by,
  }
}
