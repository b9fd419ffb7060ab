/** Compares stored positions with what the log holds, before anything is read. */
import type { KafkaAdmin } from './admin.ts'

/** After a leader change the log's end may be reported too low for a moment. */
const ATTEMPTS = 3
const PAUSE_MS = 200

/**
 * Which positions lie outside of the log (below its start, above its end, or of a partition that isn't there), with an
 * explanation each, by partition. The end itself is inside: it is where the next record will be.
 * @throws OperatingError as KafkaAdmin.ranges
 */
export async function positionsOutside(
  admin: KafkaAdmin,
  topic: string,
  positions: readonly { partition: number; offset: bigint }[],
): Promise<Map<number, string>> {
  for (let attempt = 1; ; attempt++) {
    const ranges = await admin.ranges(topic)
    const outside = new Map<number, string>()
    for (const { partition, offset } of positions) {
      const range = ranges.find((entry) => entry.partition === partition)
      if (range === undefined) outside.set(partition, 'the partition is not there')
      else if (offset < range.start || offset > range.end) {
        outside.set(partition, `position ${offset}, log from ${range.start} to ${range.end}`)
      }
    }
    if (outside.size === 0 || attempt === ATTEMPTS) return outside
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
}
