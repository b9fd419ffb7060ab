/** Batch records without their payloads, and where a history begins and ends: what audits go by. */
import type { ReadPool } from '../pool.ts'

export interface BatchHeaderRow {
  readonly sequence: bigint
  readonly previous_hash: Buffer
  readonly hash: Buffer
  readonly header: Buffer
}

const READ_HEADERS = {
  name: 'read-batch-headers',
  text: `select sequence, previous_hash, hash, header from batches
    where sequence > $1 and sequence <= $2 order by sequence limit $3`,
}

/** At most `limit` of them with after < sequence ≤ through, in sequence. */
export const readBatchHeaders = (
  pool: ReadPool,
  range: { readonly after: bigint; readonly through: bigint },
  limit: number,
): Promise<BatchHeaderRow[]> => pool.query(READ_HEADERS, [range.after, range.through, limit])

export interface HistoryEnds {
  readonly ledger: string
  /** The head. */
  readonly sequence: bigint
  readonly hash: Buffer
  readonly tickMs: number
  /** What the first batch began with; null in ledgers that were made before it was kept. */
  readonly genesis: { readonly tickMs: number; readonly logicVersion: number } | null
}

/** Where the history begins and ends. Undefined where the ledger has no head. */
export const readHistoryEnds = async (pool: ReadPool): Promise<HistoryEnds | undefined> => {
  const [row] = await pool.query<{
    ledger: string
    sequence: bigint
    hash: Buffer
    tick_ms: bigint
    genesis_tick_ms: bigint | null
    genesis_logic_version: number | null
  }>({
    text: 'select ledger, sequence, hash, tick_ms, genesis_tick_ms, genesis_logic_version from ledger_head',
  })
  if (row === undefined) return undefined
  const { genesis_tick_ms: tick, genesis_logic_version: logicVersion } = row
  return {
    ledger: row.ledger,
    sequence: row.sequence,
    hash: row.hash,
    tickMs: Number(row.tick_ms),
    genesis: tick === null || logicVersion === null ? null : { tickMs: Number(tick), logicVersion },
  }
}

/** The sequence of the last batch recorded at or before a time; 0 = none. */
export const sequenceAt = async (pool: ReadPool, time: Date): Promise<bigint> => {
  const [row] = await pool.query<{ sequence: bigint | null }>(
    { text: 'select max(sequence) as sequence from batches where recorded_at <= $1' },
    [time],
  )
  return row?.sequence ?? 0n
}
