/** Reads how the engine stands: head, published position, for health and metrics. */
import type { ReadPool } from '#platform/postgres/pool.ts'

export interface LedgerProgress {
  readonly ledger: string
  readonly sequence: bigint
  /** The last applied tick: the ledger's clock, ms since 1970 UTC. */
  readonly tickMs: number
  readonly timeline: bigint
  readonly publishedSequence: bigint
}

interface Row {
  ledger: string
  sequence: bigint
  tick_ms: bigint
  timeline: bigint
  published_sequence: bigint
}

const TEXT = `select h.ledger, h.sequence, h.tick_ms, h.timeline, p.published_sequence
  from ledger_head h cross join publisher_progress p`

/** Undefined where the schema is there but holds no ledger yet. */
export async function readProgress(pool: ReadPool): Promise<LedgerProgress | undefined> {
  const [row] = await pool.query<Row>({ name: 'read-progress', text: TEXT })
  if (row === undefined) return undefined
  return {
    ledger: row.ledger,
    sequence: row.sequence,
    tickMs: Number(row.tick_ms),
    timeline: row.timeline,
    publishedSequence: row.published_sequence,
  }
}
