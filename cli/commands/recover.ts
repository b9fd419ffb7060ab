/** `recover`: a ledger whose Postgres was lost, or restored to an earlier moment, comes back from archive and topics. */
import type { Command } from 'commander'
import { addCommand } from '#cli/command.ts'
import { rebuildLedgerCache } from '#cli/commands/cache.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { OperatingError } from '#platform/errors.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { recover } from '#processors/recovering.ts'

const PROGRESS_EVERY_MS = 2_000

/** Registers `recover`. */
export function registerRecover(program: Command): void {
  addCommand(program, {
    usage: 'recover',
    audited: true,
    summary:
      'bring the ledger back into Postgres from the archive and the topics, bit for bit; the engine must be stopped (see docs/recovery.md)',
    example: 'recover',
    run: async (context) => {
      const configuration = loadConfiguration()
      const logger = createLogger({ level: configuration.logLevel, service: 'recover' })
      let shownAtMs = performance.now()
      const result = await recover({
        configuration,
        logger,
        onPlan: ({ from, to }) => context.progress(`batches ${from + 1n} to ${to} are recorded`),
        onBatch: (sequence) => {
          if (performance.now() - shownAtMs < PROGRESS_EVERY_MS) return
          shownAtMs = performance.now()
          context.progress(`batch ${sequence}`)
        },
        signal: context.signal,
      })
      const cache = await rebuildLedgerCache(configuration).then(
        () => 'rebuilt',
        (error: unknown) => {
          // Its values are of an older timeline: nobody believes them, and the publisher fills it again.
          if (!(error instanceof OperatingError)) throw error
          context.progress(`the balance cache could not be rebuilt now: ${error.message}`)
          return 'not rebuilt'
        },
      )
      const text = [
        `${result.batches} batches decided again, equal to what was recorded (${result.from_archive} from the archive, ${result.from_topics} from the topics), ${result.transactions} transactions`,
        `the ledger ends at batch ${result.sequence}, timeline ${result.timeline}; published up to ${result.published}`,
        `${result.decided_anew} records behind it will be decided anew by the processors`,
        `digest ${result.digest}`,
        `balance cache: ${cache}`,
        result.audit_log === null
          ? 'audit log: it has another past than the archived one, which was left out (see `audit log verify`)'
          : `audit log: ${result.audit_log} entries put back`,
      ]
      return { json: { ...result, cache }, text: text.join('\n') }
    },
  })
}
