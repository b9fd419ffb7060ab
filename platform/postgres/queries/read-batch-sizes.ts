/** Reads how large the stored payloads of batches are, without reading them. */
import type { ReadPool } from '#platform/postgres/pool.ts'

const TEXT = 'select sequence, octet_length(payload) as bytes from batches where sequence = any($1)'

/** Compressed bytes by sequence; a batch that isn't kept any more is left out. */
export async function readBatchSizes(
  pool: ReadPool,
  sequences: readonly bigint[],
): Promise<Map<bigint, number>> {
  const rows = await pool.query<{ sequence: bigint; bytes: number | null }>(
    { name: 'read-batch-sizes', text: TEXT },
    [sequences],
  )
  return new Map(rows.map(({ sequence, bytes }) => [sequence, bytes ?? 0]))
}
