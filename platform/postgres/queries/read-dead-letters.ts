/** Reads dead letters, newest first: records that could not be read. Their bytes were masked before they were stored. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { CURSOR_END, type Cursor, type Page, pageOf } from '#platform/postgres/queries/cursor.ts'

export interface StoredDeadLetter {
  readonly sequence: bigint
  readonly index: number
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** Where it stands for a stretch that ends at `offset`: its first offset. */
  readonly firstOffset: bigint | null
  readonly reason: string
  readonly detail: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** Length of the whole value, bytes. */
  readonly valueBytes: bigint
  readonly valueSha256: Buffer
  readonly contentType: string | null
  readonly recordedAt: Date
}

interface Row {
  sequence: bigint
  index: number
  topic: string
  partition: number
  offset: bigint
  first_offset: bigint | null
  reason: string
  detail: string
  key: Buffer | null
  value: Buffer | null
  value_bytes: bigint
  value_sha256: Buffer
  content_type: string | null
  recorded_at: Date
}

const TEXT = `select sequence, index, topic, partition, "offset", first_offset, reason, detail, key, value, value_bytes, value_sha256,
    content_type, recorded_at
  from dead_letters
  where (sequence, index) < ($1, $2) and ($3::text is null or reason = $3)
  order by sequence desc, index desc limit $4`

/** A page of dead letters older than `before`, perhaps of one reason only. */
export async function readDeadLetters(
  pool: ReadPool,
  options: { before: Cursor | null; limit: number; reason?: string | undefined },
): Promise<Page<StoredDeadLetter>> {
  const [sequence, index] = options.before ?? [CURSOR_END, 0n]
  const values = [sequence!, index!, options.reason ?? null, options.limit + 1]
  const rows = await pool.query<Row>({ name: 'read-dead-letters', text: TEXT }, values)
  return pageOf(rows, options.limit, letterOf, (row) => [row.sequence, BigInt(row.index)])
}

const letterOf = (row: Row): StoredDeadLetter => ({
  sequence: row.sequence,
  index: row.index,
  topic: row.topic,
  partition: row.partition,
  offset: row.offset,
  firstOffset: row.first_offset,
  reason: row.reason,
  detail: row.detail,
  key: row.key,
  value: row.value,
  valueBytes: row.value_bytes,
  valueSha256: row.value_sha256,
  contentType: row.content_type,
  recordedAt: row.recorded_at,
})
