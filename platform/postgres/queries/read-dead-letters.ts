/** Lists dead letters without their bytes: records that could not be read, and what was decided about them. */
import type { DeadLetterStatus } from '#domain/ledger/state.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { CURSOR_END, type Cursor, type Page, pageOf } from '#platform/postgres/queries/cursor.ts'

export interface DeadLetterSummary {
  readonly sequence: bigint
  readonly index: number
  /** Where the record stands; the topic without the ledger's prefix. */
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** Where it stands for a stretch that ends at `offset`: its first offset. */
  readonly firstOffset: bigint | null
  /** Reason code. */
  readonly reason: string
  readonly detail: string
  /** Length of the whole value, bytes, and SHA-256 over it. */
  readonly valueBytes: bigint
  readonly valueSha256: Buffer
  /** What is stored of the value: all of it, its beginning (longer than is kept), or all of it with card numbers masked. */
  readonly kept: 'whole' | 'cut' | 'masked'
  readonly contentType: string | null
  readonly recordedAt: Date
  readonly status: DeadLetterStatus
  /** Who decided last, when, in which words, and what more they said; null while the letter is open. */
  readonly decided: {
    readonly actor: string
    readonly at: Date
    readonly reason: string | null
    readonly parameters: Readonly<Record<string, string>>
  } | null
}

export interface DeadLetterRow {
  sequence: bigint
  index: number
  topic: string
  partition: number
  offset: bigint
  first_offset: bigint | null
  reason: string
  detail: string
  value_bytes: bigint
  value_sha256: Buffer
  kept: DeadLetterSummary['kept']
  content_type: string | null
  recorded_at: Date
  status: DeadLetterStatus
  decided_by: string | null
  decided_at: Date | null
  decided_reason: string | null
  decided_parameters: Record<string, string> | null
}

/** Columns of a DeadLetterRow. A record without a value has nothing that could be lost. */
export const DEAD_LETTER_COLUMNS = `sequence, index, topic, partition, "offset", first_offset, reason, detail, value_bytes, value_sha256,
    case when coalesce(octet_length(value), 0) < value_bytes then 'cut'
         when value is null or sha256(value) = value_sha256 then 'whole' else 'masked' end as kept,
    content_type, recorded_at, status, decided_by, decided_at, decided_reason, decided_parameters`

export const summaryOfRow = (row: DeadLetterRow): DeadLetterSummary => ({
  sequence: row.sequence,
  index: row.index,
  topic: row.topic,
  partition: row.partition,
  offset: row.offset,
  firstOffset: row.first_offset,
  reason: row.reason,
  detail: row.detail,
  valueBytes: row.value_bytes,
  valueSha256: row.value_sha256,
  kept: row.kept,
  contentType: row.content_type,
  recordedAt: row.recorded_at,
  status: row.status,
  decided:
    row.decided_by === null || row.decided_at === null
      ? null
      : {
          actor: row.decided_by,
          at: row.decided_at,
          reason: row.decided_reason,
          parameters: row.decided_parameters ?? {},
        },
})

export interface DeadLetterFilter {
  readonly reason?: string | undefined
  readonly topic?: string | undefined
  readonly status?: DeadLetterStatus | undefined
  /** Recorded from then on, and before then. */
  readonly since?: Date | undefined
  readonly until?: Date | undefined
  /** Up to this batch. */
  readonly sequenceMax?: bigint | undefined
}

const FILTER = `($3::text is null or reason = $3) and ($4::text is null or topic = $4) and ($5::text is null or status = $5)
    and ($6::timestamptz is null or recorded_at >= $6) and ($7::timestamptz is null or recorded_at < $7)
    and sequence <= $8`

const NEWEST_FIRST = `select ${DEAD_LETTER_COLUMNS} from dead_letter_history
  where (sequence, index) < ($1, $2) and ${FILTER}
  order by sequence desc, index desc limit $9`

const OLDEST_FIRST = `select ${DEAD_LETTER_COLUMNS} from dead_letter_history
  where (sequence, index) > ($1, $2) and ${FILTER}
  order by sequence, index limit $9`

/** Numbers of a cursor in this listing. */
export const DEAD_LETTERS_CURSOR_LENGTH = 2

/** A page of dead letters behind `after`, newest first unless told otherwise. */
export async function readDeadLetters(
  pool: ReadPool,
  options: {
    after: Cursor | null
    limit: number
    filter?: DeadLetterFilter
    order?: 'newest' | 'oldest'
  },
): Promise<Page<DeadLetterSummary>> {
  const { after, limit, filter = {}, order = 'newest' } = options
  const [sequence, index] = after ?? (order === 'newest' ? [CURSOR_END, 0n] : [0n, 0n])
  const statement =
    order === 'newest'
      ? { name: 'read-dead-letters', text: NEWEST_FIRST }
      : { name: 'read-dead-letters-oldest', text: OLDEST_FIRST }
  const rows = await pool.query<DeadLetterRow>(statement, [
    sequence!,
    index!,
    filter.reason ?? null,
    filter.topic ?? null,
    filter.status ?? null,
    filter.since ?? null,
    filter.until ?? null,
    filter.sequenceMax ?? CURSOR_END,
    limit + 1,
  ])
  return pageOf(rows, limit, summaryOfRow, (row) => [row.sequence, BigInt(row.index)])
}
