/** Where a message of a batch stands in an output topic: its partition is in ledger order, so a few reads find the place. */
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'

/** One partition of an output topic. */
export interface OutputPartition {
  readonly start: bigint
  readonly end: bigint
  read(from: bigint, next: bigint): AsyncIterable<readonly IngestRecord[]>
  /** The batch that a record is of; null where it can't be read. */
  sequenceOf(record: IngestRecord): Promise<bigint | null>
}

/** Where the search ends and reading one by one begins, offsets. */
const WINDOW = 64n
/** Messages of one batch in one partition, with what stands between: looked at most. */
const SCANNED_MAX = 200_000

/** The first record at or behind an offset. */
const firstFrom = async (
  partition: OutputPartition,
  from: bigint,
  end: bigint,
): Promise<IngestRecord | undefined> => {
  for await (const chunk of partition.read(from, end)) return chunk[0]
  return undefined
}

/**
 * The offset of the first record of a batch that fits; null where there is none (or it isn't there any more).
 * A message that was published later, by a repair, is found only where it stands among its batch.
 */
export const findOutput = async (
  partition: OutputPartition,
  sequence: bigint,
  fits: (record: IngestRecord) => boolean,
): Promise<bigint | null> => {
  let low = partition.start
  let high = partition.end
  while (high - low > WINDOW) {
    const middle = low + (high - low) / 2n
    const record = await firstFrom(partition, middle, high)
    const found = record === undefined ? null : await partition.sequenceOf(record)
    if (record === undefined || found === null || found >= sequence) high = middle
    else low = record.offset + 1n
  }
  let scanned = 0
  for await (const chunk of partition.read(low, partition.end)) {
    for (const record of chunk) {
      const found = await partition.sequenceOf(record)
      if (found === sequence && fits(record)) return record.offset
      scanned += 1
      if ((found !== null && found > sequence) || scanned > SCANNED_MAX) return null
    }
  }
  return null
}
