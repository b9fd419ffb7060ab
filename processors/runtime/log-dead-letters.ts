/** Says in the log which records could not be taken, with the trace that their producer gave them. */
import type { BatchEffects } from '#domain/ledger/state.ts'
import type { Logger } from '#platform/observability/logger.ts'
import { parseTraceparent } from '#platform/observability/trace.ts'

/** Lines of one batch: a flood of bad records must not become a flood of lines. All of them are on the dead-letter topic. */
const LINES_MAX = 20

/** One line for each dead letter of a committed batch, conflicting ids among them. Details are masked already. */
export function logDeadLetters(
  logger: Logger,
  sequence: bigint,
  { deadLetters }: Pick<BatchEffects, 'deadLetters'>,
): void {
  for (const { index, letter, position } of deadLetters.slice(0, LINES_MAX)) {
    const { topic, partition, offset, trace } = position
    const fields = { reason: letter.reason, topic, partition, offset: String(offset) }
    const traceId = parseTraceparent(trace)?.traceId
    logger.warn(
      { ...fields, sequence: String(sequence), index, ...(traceId === undefined ? {} : { traceId }) },
      `dead letter: ${letter.detail}`,
    )
  }
  const more = deadLetters.length - LINES_MAX
  if (more > 0)
    logger.warn({ sequence: String(sequence), count: more }, 'more dead letters in the same batch')
}
