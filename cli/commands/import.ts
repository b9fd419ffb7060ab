/** `import csv`: transactions from a CSV file, by a mapping. */
import { basename } from 'node:path'
import type { Command } from 'commander'
import { BulkClient } from '#cli/bulk-client.ts'
import { addCommand, type CommandContext, type CommandResult } from '#cli/command.ts'
import { maybeWholeOf } from '#cli/options.ts'
import { type CsvImportSummary, importCsv, previewCsv } from '#connectors/csv/import.ts'
import { type CsvMapping, readMapping } from '#connectors/csv/mapping.ts'
import { RejectWriter } from '#connectors/csv/rejects.ts'
import { formatMinorAmount } from '#domain/money/amount.ts'
import { currencyByCode } from '#domain/money/currency.ts'

interface ImportOptions {
  actor: string
  mapping: string
  dryRun?: boolean
  rejects?: string
  rate?: string
  limit?: string
  wait?: boolean
}

/** Records that a dry run shows unless --limit says otherwise. */
const PREVIEW_RECORDS = 5
const COUNT = { min: 1, max: 1_000_000_000_000 }

const shownAmount = (amountMinor: bigint, currency: string): string =>
  `${formatMinorAmount(amountMinor, currencyByCode(currency)?.exponent ?? 0)} ${currency}`

/** Registers `import` and its subcommands. */
export function registerImport(program: Command): void {
  const parent = program.command('import').description('bring records of other systems in')
  addCommand<ImportOptions>(parent, {
    usage: 'csv <file>',
    audited: ({ dryRun }) => dryRun !== true,
    summary: 'publish the transactions of a CSV file (plain or gzip); again changes nothing',
    example: 'import csv history.csv.gz --mapping connectors/csv/examples/card-history.json --dry-run',
    configure: (command) =>
      command
        .requiredOption('--mapping <file>', 'JSON that says what the columns mean; see connectors/README.md')
        .option('--dry-run', `show the first records as they would be published, and publish nothing`)
        .option(
          '--rejects <file>',
          'where lines go that cannot be imported (default: <file>.rejects.csv here)',
        )
        .option('--rate <n>', 'transactions a second (default: as fast as possible)')
        .option('--limit <n>', 'only the first records of the file')
        .option(
          '--actor <name>',
          'who imports; part of every transaction: another one is other content',
          'importer',
        )
        .option('--wait', 'wait until all is applied'),
    run: async (context, options, [file]) => {
      const mapping = await readMapping(options.mapping)
      const limit = maybeWholeOf(options.limit, '--limit', COUNT)
      return options.dryRun
        ? await preview(context, options, { path: file!, mapping, limit: limit ?? PREVIEW_RECORDS })
        : await publish(context, options, { path: file!, mapping, limit })
    },
  })
}

async function preview(
  context: CommandContext,
  options: ImportOptions,
  what: { path: string; mapping: CsvMapping; limit: number },
): Promise<CommandResult> {
  const shown = await previewCsv({ ...what, actor: options.actor, signal: context.signal })
  const lines = [
    ...shown.accounts.map(
      (account) => `open ${account.accountId} (${account.currency}, ${account.accountClass})`,
    ),
    ...shown.transactions.map(({ id, postings, occurredAt }) => {
      const { debit, credit, amount, currency } = postings[0]!
      return `${id}: ${debit} -> ${credit} ${shownAmount(amount, currency)} at ${new Date(occurredAt).toISOString()}`
    }),
    ...shown.rejected.map(({ line, reason }) => `line ${line} would be rejected: ${reason}`),
    'nothing was published',
  ]
  return { json: { dryRun: true, ...shown }, text: lines.join('\n') }
}

async function publish(
  context: CommandContext,
  options: ImportOptions,
  what: { path: string; mapping: CsvMapping; limit: number | undefined },
): Promise<CommandResult> {
  const client = new BulkClient(context)
  const publisher = await client.publisher()
  const rejects = new RejectWriter(options.rejects ?? `${basename(what.path)}.rejects.csv`)
  context.onClose(() => rejects.close())
  const summary = await importCsv({
    ...what,
    actor: options.actor,
    rejects,
    publish: publisher,
    awaitApplied: (positions) => client.awaitApplied(positions),
    ratePerSecond: maybeWholeOf(options.rate, '--rate', COUNT),
    signal: context.signal,
    onProgress: context.progress,
  })
  const startMs = performance.now()
  if (options.wait) await client.awaitApplied(summary.positions)
  const waitedMs = options.wait ? Math.round(performance.now() - startMs) : undefined
  return resultOf(summary, rejects, { source: what.mapping.source, waitedMs })
}

function resultOf(
  summary: CsvImportSummary,
  rejects: RejectWriter,
  { source, waitedMs }: { source: string; waitedMs: number | undefined },
): CommandResult {
  const { positions: _positions, ...counts } = summary
  const rejectFile = summary.rejected > 0 ? rejects.path : null
  const applied = waitedMs === undefined ? {} : { appliedMs: summary.publishMs + waitedMs }
  const lines = [
    `${summary.records} records: ${summary.published} published, ${summary.rejected} rejected, ${summary.accounts} accounts`,
    ...Object.entries(summary.sums).map(([currency, sum]) => `  sum ${shownAmount(sum, currency)}`),
    ...Object.entries(summary.rejectedByReason).map(([reason, count]) => `  rejected ${reason}: ${count}`),
    `${(summary.publishMs / 1000).toFixed(1)} s, ${summary.publishedPerSecond} published/s`,
  ]
  if (waitedMs !== undefined) {
    const seconds = (summary.publishMs + waitedMs) / 1000
    const perSecond = Math.round(summary.published / seconds)
    lines.push(`all applied after ${seconds.toFixed(1)} s, ${perSecond} applied/s`)
  }
  if (rejectFile !== null) lines.push(`rejected lines are in ${rejectFile}`)
  return { json: { source, ...counts, ...applied, rejectFile }, text: lines.join('\n') }
}
