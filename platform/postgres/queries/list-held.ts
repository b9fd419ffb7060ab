/** Lists transactions that wait for a reviewer, those that expire first at the front. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import {
  type Cursor,
  type Page,
  pageOf,
  uuidFromNumbers,
  uuidToNumbers,
} from '#platform/postgres/queries/cursor.ts'
import {
  type HeldPostingRow,
  type ReservedPosting,
  reservedOf,
} from '#platform/postgres/queries/transaction-rows.ts'

export interface HeldTransaction {
  readonly id: string
  readonly source: string
  readonly heldAt: Date
  readonly expiresAtMs: number
  readonly postings: readonly ReservedPosting[]
}

/** Numbers of its cursor: expiry, and the key in four parts. */
export const HELD_CURSOR_LENGTH = 5

interface Row {
  key: string
  id: string
  source: string
  recorded_at: Date
  expires_at_ms: bigint
  postings: HeldPostingRow[]
}

const TEXT = `select h.key, h.id, h.source, i.recorded_at, h.expires_at_ms, h.postings
  from holds h join transaction_ids i on i.key = h.key
  where h.status = 'active' and h.kind = 'review' and (h.expires_at_ms, h.key) > ($1, $2::uuid)
  order by h.expires_at_ms, h.key limit $3`

/** A page of held transactions behind `after`. */
export async function listHeld(
  pool: ReadPool,
  options: { after: Cursor | null; limit: number },
): Promise<Page<HeldTransaction>> {
  const [expiresAtMs, ...key] = options.after ?? [-1n, 0n, 0n, 0n, 0n]
  const values = [expiresAtMs!, uuidFromNumbers(key), options.limit + 1]
  const rows = await pool.query<Row>({ name: 'list-held', text: TEXT }, values)
  return pageOf(rows, options.limit, heldOf, (row) => [row.expires_at_ms, ...uuidToNumbers(row.key)])
}

const heldOf = (row: Row): HeldTransaction => ({
  id: row.id,
  source: row.source,
  heldAt: row.recorded_at,
  expiresAtMs: Number(row.expires_at_ms),
  postings: row.postings.map(reservedOf),
})
