/** Funding: transactions that give payers their money before a run begins. */
import { blankCommand, type Posting, type TransactionCommand } from '#domain/transactions/command.ts'
import { type MixOptions, sourceOf } from './generator.ts'
import { ACTOR } from './records.ts'

const DAY_MS = 86_400_000
/** Postings that one funding transaction may carry (the contract's limit). */
const FUNDING_POSTINGS_MAX = 100

/** Funding in transactions of a hundred postings each; the ids tell them from the run's own. */
export function fundingCommands(
  options: Pick<MixOptions, 'run' | 'endTimeMs'>,
  byCurrency: readonly (readonly Posting[])[],
): TransactionCommand[] {
  const commands: TransactionCommand[] = []
  for (const postings of byCurrency) {
    for (let at = 0; at < postings.length; at += FUNDING_POSTINGS_MAX) {
      commands.push(
        blankCommand({
          id: `${options.run}-fund-${commands.length}`,
          source: sourceOf(options.run),
          postings: postings.slice(at, at + FUNDING_POSTINGS_MAX),
          occurredAt: options.endTimeMs - 30 * DAY_MS,
          actor: ACTOR,
        }),
      )
    }
  }
  return commands
}
