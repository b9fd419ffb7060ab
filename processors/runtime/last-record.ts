/** What is kept of the last applied record of a partition, to notice later that the log under it is another one. */
import { createHash } from 'node:crypto'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'

/** What is kept of a partition's last applied record; null for a stretch without records. */
export type LastRecord = { offset: bigint; hash: Buffer; timestampMs: number } | null

/** The end of the year 9999: a producer may have set any 64-bit number, and the database could not take it. */
const TIMESTAMP_MAX_MS = 253_402_300_799_999

/** What to keep of a record. */
export const lastRecord = (record: IngestRecord): LastRecord => ({
  offset: record.offset,
  hash: createHash('sha256')
    .update(record.key ?? '')
    .update('\0')
    .update(record.value ?? '')
    .digest(),
  timestampMs: Math.max(0, Math.min(TIMESTAMP_MAX_MS, Number(record.timestampMs))),
})
