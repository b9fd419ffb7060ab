/** `audit replay`: decides history again from the ingest topics and compares every batch with its stored hash. */
import type { Command } from 'commander'
import { addCommand, exitCodes } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { actorOf, defaultActor, momentOf } from '#cli/options.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { writeReport } from '#processors/audit/replay/report.ts'
import { auditReplay, type HistoryPlace } from '#processors/auditing.ts'

interface Options {
  from: string
  to: string
  report: string
  checkpoints: string
  actor: string
}

const FOLDER = '.tallystream/audit'

/** Adds `audit replay`. */
export function addAuditReplay(audit: Command): void {
  addCommand<Options>(audit, {
    usage: 'replay',
    summary: 'decide the history again from the ingest topics and compare every batch, bit for bit',
    example: 'audit replay --from earliest --json',
    configure: (command) =>
      command
        .option(
          '--from <place>',
          'earliest, batch:N or a time; begins at the nearest checkpoint before it',
          'earliest',
        )
        .option('--to <place>', 'latest, batch:N or a time', 'latest')
        .option('--report <dir>', 'where the report goes (JSON and a page)', FOLDER)
        .option('--checkpoints <dir>', 'where checkpoints are read and left', FOLDER)
        .option('--actor <name>', 'who signs the report off', defaultActor()),
    run: async (context, options) => {
      const started = performance.now()
      const report = await auditReplay({
        configuration: loadConfiguration(),
        from: placeOf(options.from, '--from', ['earliest', 'latest']),
        to: placeOf(options.to, '--to', ['latest']),
        checkpoints: options.checkpoints,
        actor: actorOf(options),
        onMessage: context.progress,
        onProgress: ({ batch, transactions, inputs, differences }, plan) => {
          const percent = Math.floor((inputs / Math.max(1, plan.inputs)) * 100)
          const rate = Math.round(transactions / ((performance.now() - started) / 1_000))
          context.progress(
            `${percent} %: batch ${batch}, ${transactions} transactions (${rate}/s), ${differences} differences`,
          )
        },
        signal: context.signal,
      })
      const page = await writeReport(options.report, report)
      context.progress(`report: ${page}`)
      const { transactions, differences, digest, ratePerSecond } = report
      return {
        json: { transactions, differences, digest, rate_per_s: ratePerSecond },
        text: [
          `batches ${report.from} to ${report.to}: ${transactions} transactions, ${ratePerSecond}/s`,
          `digest ${digest}`,
          differences === 0 ? 'no differences' : `${differences} differences: ${page}`,
        ].join('\n'),
        exitCode: differences === 0 ? exitCodes.ok : exitCodes.difference,
      }
    },
  })
}

/** A place in the history. @throws ConfigurationError */
function placeOf(text: string, option: string, words: readonly ('earliest' | 'latest')[]): HistoryPlace {
  const word = words.find((each) => each === text)
  if (word !== undefined) return word
  const batch = /^batch:([1-9]\d{0,17})$/.exec(text)?.[1]
  if (batch !== undefined) return BigInt(batch)
  if (/^\d{4}-/.test(text)) return momentOf(text, option)
  throw new ConfigurationError(
    `expected ${option} as ${words.join(', ')}, batch:N or a time like 2026-01-31T12:00:00Z, got ${JSON.stringify(text)}`,
  )
}
