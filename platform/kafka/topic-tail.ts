/** The last record of a partition that a read_committed reader sees. */
import { OperatingError } from '#platform/errors.ts'
import type { KafkaAdmin } from './admin.ts'
import type { IngestRecord } from './ingest-record.ts'
import type { RangeReader } from './range-reader.ts'

/** How far back is looked at first; eight times as far each time that only aborted records and markers were found. */
const LOOK_BACK_FIRST = 256n

/**
 * @param topic full name
 * @returns undefined where the log holds no visible record
 * @throws OperatingError as KafkaAdmin.ranges and RangeReader.read, but retriable where retention was quicker than the reading
 */
export const lastRecordOf = async (
  admin: Pick<KafkaAdmin, 'ranges'>,
  reader: Pick<RangeReader, 'read'>,
  topic: string,
  partition: number,
): Promise<IngestRecord | undefined> => {
  const range = (await admin.ranges(topic)).find((entry) => entry.partition === partition)
  if (range === undefined) return undefined
  for (let back = LOOK_BACK_FIRST; ; back *= 8n) {
    const isWhole = range.end - range.start <= back
    const from = isWhole ? range.start : range.end - back
    let last: IngestRecord | undefined
    try {
      for await (const records of reader.read(topic, partition, from, range.end))
        last = records.at(-1) ?? last
    } catch (error) {
      if (!(error instanceof OperatingError) || error.code !== 'records_gone') throw error
      throw new OperatingError('records_gone', error.message, { retriable: true, cause: error })
    }
    if (last !== undefined || isWhole) return last
  }
}
