/** Where an audit gets ingest records from: the topics themselves, the archive, or both as one. */
import type { IngestRecord } from '#platform/kafka/record-batches.ts'

export interface RecordSource {
  /**
   * The visible records (committed ones, as the engine's reader sees them) of a partition with from ≤ offset < next, in
   * ascending order of offset, in chunks of bounded size; a chunk is never empty. Their bytes are the producer's.
   * @param topic name without the ledger's prefix; @param from and @param next offsets as in a batch record's `sources`
   * @throws OperatingError `records_gone` where a part of the range is no longer kept, `kafka_unreachable` where it can't be read now
   */
  read(topic: string, partition: number, from: bigint, next: bigint): AsyncIterable<readonly IngestRecord[]>
  /** Lets go of connections and files. Never throws. */
  close(): Promise<void>
}
