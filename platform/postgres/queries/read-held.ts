/** Reads the hold of a transaction that is or was held for review. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { HOLD_COLUMNS, type Hold, type HoldRow, holdOf } from './transaction-rows.ts'

export interface ReviewedHold extends Hold {
  /** Sequence of the batch that held it. */
  readonly sequence: bigint
  readonly status: string
}

interface Row extends HoldRow {
  sequence: bigint
  status: string
}

const TEXT = `select h.sequence, h.status, ${HOLD_COLUMNS}
  from holds h join transaction_ids i on i.key = h.key where h.key = $1::uuid and h.kind = 'review'`

/** The hold; undefined where it isn't or was not held for review. @param key 32 hexadecimal digits */
export async function readHeld(pool: ReadPool, key: string): Promise<ReviewedHold | undefined> {
  const [row] = await pool.query<Row>({ name: 'read-held', text: TEXT }, [key])
  if (row === undefined) return undefined
  return { sequence: row.sequence, status: row.status, ...holdOf(row) }
}
