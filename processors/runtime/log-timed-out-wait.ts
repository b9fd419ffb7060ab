/** Says in the log which record went on without the one that it names in `after`. */
import type { TimedOutWait } from './selection.ts'

/** One line; at most one in ten seconds of a partition. */
export function logTimedOutWait(
  logger: { warn(fields: object, message: string): void },
  { topic, partition, offset, after }: TimedOutWait,
): void {
  const named = { topic: after.topic, partition: after.partition, offset: String(after.offset) }
  logger.warn(
    { topic, partition, offset: String(offset), after: named },
    'the record named in `after` did not come in time: its partition goes on without',
  )
}
