/** The end of a partition as a read_committed reader sees it. */
import { OperatingError } from '#platform/errors.ts'
import type { KafkaAdmin } from './admin.ts'
import type { IngestRecord } from './ingest-record.ts'
import type { RangeReader } from './range-reader.ts'

/** How far back is looked at first; eight times as far each time that only aborted records, markers and late ones were found. */
const LOOK_BACK_FIRST = 256n

/**
 * The last record, and what stands behind it out of its turn.
 * @param topic full name
 * @param isLate whether a record stands behind its turn, so that the ones before it are wanted too
 * @returns the last record that isn't late and the late ones behind it, in their order; empty where the log holds no visible record
 * @throws OperatingError as KafkaAdmin.ranges and RangeReader.read, but retriable where retention was quicker than the reading
 */
export const tailOf = async (
  { admin, reader }: { admin: Pick<KafkaAdmin, 'ranges'>; reader: Pick<RangeReader, 'read'> },
  { topic, partition }: { readonly topic: string; readonly partition: number },
  isLate: (record: IngestRecord) => boolean,
): Promise<IngestRecord[]> => {
  const range = (await admin.ranges(topic)).find((entry) => entry.partition === partition)
  if (range === undefined) return []
  for (let back = LOOK_BACK_FIRST; ; back *= 8n) {
    const isWhole = range.end - range.start <= back
    const from = isWhole ? range.start : range.end - back
    let tail: IngestRecord[] = []
    try {
      for await (const records of reader.read(topic, partition, from, range.end)) {
        const last = records.findLastIndex((record) => !isLate(record))
        tail = last < 0 ? [...tail, ...records] : records.slice(last)
      }
    } catch (error) {
      if (!(error instanceof OperatingError) || error.code !== 'records_gone') throw error
      throw new OperatingError('records_gone', error.message, { retriable: true, cause: error })
    }
    if (isWhole || (tail[0] !== undefined && !isLate(tail[0]))) return tail
  }
}
