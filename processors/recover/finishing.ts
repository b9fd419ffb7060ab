/** The end of a recovery: what the offset rows need to know of the last records, and how much is left to be decided anew. */
import { OperatingError } from '#platform/errors.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { LastRecordOf } from '#platform/postgres/recovery.ts'
import { batchAlone } from '../runtime/batch-span.ts'
import { lastRecord } from '../runtime/last-record.ts'
import type { RecordedRange } from './recorded.ts'
import type { RecoveredHistory } from './recovery.ts'

/** A source of ingest records, as of processors/archive/sources.ts. */
export interface RecordsOf {
  read(range: RecordedRange): AsyncIterable<readonly IngestRecord[]>
}

/** What is kept of each partition's last applied record, to notice a topic that was made anew. */
export const lastRecordsOf = async (
  records: RecordsOf,
  places: RecoveredHistory['lastRecords'],
): Promise<LastRecordOf[]> => {
  const found: LastRecordOf[] = []
  for (const { cluster, topic, partition, offset, batch } of places) {
    const range = { cluster, topic, partition, from: offset, next: offset + 1n, batches: batchAlone(batch) }
    for await (const chunk of records.read(range)) {
      for (const record of chunk) {
        const last = lastRecord(record)
        if (last !== null) found.push({ cluster, topic, partition, ...last })
      }
    }
  }
  return found
}

/** One partition of the cluster that is read now: where its log begins and ends. */
export interface LogRange {
  readonly topic: string
  readonly partition: number
  readonly start: bigint
  readonly end: bigint
}

/**
 * Records between the ledger's positions and the ends of the logs.
 * @param next the batch that will read the first of them
 * @throws IncidentError through the reader: `records_gone` where retention has passed a position
 */
export const countWaiting = async (
  records: RecordsOf,
  cluster: string,
  logs: readonly LogRange[],
  positions: ReadonlyMap<string, bigint>,
  next: bigint,
): Promise<number> => {
  let waiting = 0
  for (const { topic, partition, start, end } of logs) {
    const from = positions.get(`${topic}:${partition}`) ?? start
    if (from > end) {
      throw new OperatingError(
        'records_gone',
        `${topic}:${partition} ends at ${end}, the ledger has read it to ${from}: is it another topic, or another cluster?`,
      )
    }
    const range = { cluster, topic, partition, from, next: end, batches: batchAlone(next) }
    for await (const chunk of records.read(range)) waiting += chunk.length
  }
  return waiting
}
