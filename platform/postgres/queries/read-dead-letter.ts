/** Reads one dead letter with its bytes, as they were stored: card numbers masked, long ones cut. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { LogPosition } from '#platform/postgres/queries/read-applied-offsets.ts'
import {
  DEAD_LETTER_COLUMNS,
  type DeadLetterRow,
  type DeadLetterSummary,
  summaryOfRow,
} from '#platform/postgres/queries/read-dead-letters.ts'

export interface StoredDeadLetter extends DeadLetterSummary {
  readonly key: Buffer | null
  readonly value: Buffer | null
}

const TEXT = `select ${DEAD_LETTER_COLUMNS}, key, value from dead_letter_history
  where topic = $1 and partition = $2 and "offset" = $3
  order by sequence desc, index desc limit 1`

/** The newest dead letter of a position; undefined where it has none. */
export async function readDeadLetter(
  pool: ReadPool,
  { topic, partition, offset }: LogPosition,
): Promise<StoredDeadLetter | undefined> {
  const [row] = await pool.query<DeadLetterRow & { key: Buffer | null; value: Buffer | null }>(
    { name: 'read-dead-letter', text: TEXT },
    [topic, partition, offset],
  )
  return row === undefined ? undefined : { ...summaryOfRow(row), key: row.key, value: row.value }
}
