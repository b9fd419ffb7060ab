/** Where an audit gets ingest records from: the topics themselves, the archive, or both as one. */
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { BatchSpan } from '../runtime/batch-span.ts'

/** A stretch of one ingest partition, as batch records name it in `cluster` and `sources`. */
export interface RecordRange {
  readonly cluster: string
  /** Name without the ledger's prefix. */
  readonly topic: string
  readonly partition: number
  readonly from: bigint
  readonly next: bigint
  /** By which batches: where its position was set back, a partition is read more than once. */
  readonly batches: BatchSpan
}

export interface RecordSource {
  /**
   * The visible records (committed ones, as the engine's reader sees them) with from ≤ offset < next, in ascending order of
   * offset, in chunks of bounded size; a chunk is never empty. Their bytes are the producer's; their `topic` isn't looked at.
   * @throws OperatingError `records_gone` where a part of the range is not kept here, `kafka_unreachable` where it can't be read now
   */
  read(range: RecordRange): AsyncIterable<readonly IngestRecord[]>
  /** Lets go of connections and files. Never throws. */
  close(): Promise<void>
}
