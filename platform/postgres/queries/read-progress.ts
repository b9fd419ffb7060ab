/** Reads how the engine stands: head, published position, for health and metrics. */
import { ConfigurationError } from '#platform/errors.ts'
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

/** Postgres: a table or a schema that isn't there. */
const MISSING = new Set(['42P01', '3F000'])

/**
 * How the engine stands, of a ledger that must be there.
 *
 * @throws ConfigurationError naming the command that makes the tables, where there are none
 */
export async function requireProgress(pool: ReadPool, ledger: string): Promise<LedgerProgress> {
  const message = `the ledger "${ledger}" has no tables yet. Run: npx tallystream migrate`
  try {
    const progress = await readProgress(pool)
    if (progress !== undefined) return progress
  } catch (error) {
    const { cause } = error as { cause?: { code?: unknown } }
    if (!MISSING.has(String(cause?.code))) throw error
    throw new ConfigurationError(message, { cause: error })
  }
  throw new ConfigurationError(message)
}

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
