/** `import csv`: transactions from a CSV file, by a mapping. */
import { basename } from 'node:path'
import type { Command } from 'commander'
import { BulkClient } from '#cli/bulk-client.ts'
import { addCommand, type CommandContext, type CommandResult, exitCodes } from '#cli/command.ts'
import { maybeWholeOf } from '#cli/options.ts'
import { type CsvImportSummary, importCsv, previewCsv } from '#connectors/csv/import.ts'
import { type CsvMapping, readMapping } from '#connectors/csv/mapping.ts'
import { RejectWriter } from '#connectors/csv/rejects.ts'
import { formatMinorAmount } from '#domain/money/amount.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { countDecided, type DecidedRecords } from '#platform/postgres/queries/count-decided.ts'
import { requireProgress } from '#platform/postgres/queries/read-progress.ts'

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
        .option('--wait', 'wait until the ledger has decided all; exit code 1 where it rejected some'),
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
  // What decides the records comes after this.
  const { sequence } = await requireProgress(client.pool, client.configuration.ledger.name)
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
  const waitedMs = Math.round(performance.now() - startMs)
  const { source } = what.mapping
  const decided = options.wait
    ? await countDecided(client.pool, { afterSequence: sequence, source, actor: options.actor })
    : undefined
  return resultOf(summary, rejects, { source, decided, decidedMs: summary.publishMs + waitedMs })
}

const sumLines = (what: string, sums: Readonly<Record<string, bigint>>): string[] =>
  Object.entries(sums).map(([currency, sum]) => `  ${what} ${shownAmount(sum, currency)}`)

/** What the ledger made of the published records; records that it couldn't read at all have no decision. */
function decidedOf(summary: CsvImportSummary, decided: DecidedRecords, decidedMs: number) {
  const { byStatus, rejectedByReason, appliedSums } = decided
  const { applied = 0, held = 0, duplicate = 0, rejected = 0 } = byStatus
  const total = Object.values(byStatus).reduce((sum, count) => sum + count, 0)
  const undecided = Math.max(0, summary.published - total)
  const perSecond = Math.round((summary.published * 1000) / Math.max(decidedMs, 1))
  const seconds = (decidedMs / 1000).toFixed(1)
  const json = { applied, held, duplicate, rejected, undecided, rejectedByReason, appliedSums }
  const lines = [
    `the ledger: ${applied} applied, ${held} held, ${duplicate} already there, ${rejected} rejected`,
    ...sumLines('applied sum', appliedSums),
    ...Object.entries(rejectedByReason).map(
      ([reason, count]) => `  rejected by the ledger ${reason}: ${count}`,
    ),
    ...(undecided > 0 ? [`  without a decision (see dlq list): ${undecided}`] : []),
    `all decided after ${seconds} s, ${perSecond} decided/s`,
  ]
  return { json, lines, isGood: rejected === 0 && undecided === 0 }
}

function resultOf(
  summary: CsvImportSummary,
  rejects: RejectWriter,
  how: { source: string; decided: DecidedRecords | undefined; decidedMs: number },
): CommandResult {
  const { positions: _positions, ...counts } = summary
  const rejectFile = summary.rejected > 0 ? rejects.path : null
  const ledger = how.decided && decidedOf(summary, how.decided, how.decidedMs)
  const lines = [
    `${summary.records} records: ${summary.published} published, ${summary.rejected} rejected, ${summary.accounts} accounts`,
    // What was published isn't what was booked: with the ledger's own sums at hand these would mislead.
    ...(ledger === undefined ? sumLines('published sum', summary.sums) : []),
    ...Object.entries(summary.rejectedByReason).map(([reason, count]) => `  rejected ${reason}: ${count}`),
    `${(summary.publishMs / 1000).toFixed(1)} s, ${summary.publishedPerSecond} published/s`,
    ...(ledger?.lines ?? []),
  ]
  if (rejectFile !== null) lines.push(`rejected lines are in ${rejectFile}`)
  const decided = ledger === undefined ? {} : { appliedMs: how.decidedMs, ledger: ledger.json }
  return {
    json: { source: how.source, ...counts, ...decided, rejectFile },
    text: lines.join('\n'),
    exitCode: ledger === undefined || ledger.isGood ? exitCodes.ok : exitCodes.difference,
  }
}
