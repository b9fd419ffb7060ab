/** Ingest records for replay and recovery: from the archive where they are archived, from the topics after that, as one. */
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { BatchSpan } from '../runtime/batch-span.ts'
import type { Archive } from './archive.ts'

/** A stretch of one ingest partition: from ≤ offset < next. The topic is named without the ledger's prefix. */
export interface RecordRange {
  readonly cluster: string
  readonly topic: string
  readonly partition: number
  readonly from: bigint
  readonly next: bigint
  /** By which batches: where its position was set back, a partition is read more than once. */
  readonly batches: BatchSpan
}

/** A source of ingest records, as audits know it too (processors/audit/record-source.ts). */
export interface IngestRecords {
  read(range: RecordRange): AsyncIterable<readonly IngestRecord[]>
  close(): Promise<void>
}

/**
 * The archive first, the topics for what isn't archived (yet). The archive is looked at as of its last `refresh`.
 * @param topics its errors pass through: `records_gone` where neither has a part of the range
 */
export const joinedSource = (archive: Archive, topics: IngestRecords): IngestRecords => ({
  async *read(range) {
    const { from, next } = range
    let middle = await archive.archivedUpTo(range)
    if (middle > next) middle = next
    if (middle < from) middle = from
    if (from < middle) yield* archive.records({ ...range, next: middle })
    if (middle < next) yield* topics.read({ ...range, from: middle })
  },
  close: () => topics.close(),
})
