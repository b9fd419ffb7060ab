/** `recon pair | status | breaks | show | report`: what stands in the reconciliation of a running engine. What people decide: decisions.ts. */
import { readFile, writeFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { dateOf, shownBreak } from '#api/routes/reconciliation/shown.ts'
import { BulkClient } from '#cli/bulk-client.ts'
import { addCommand, type CommandContext, type CommandResult } from '#cli/command.ts'
import {
  choice,
  limitOf,
  type PageOptions,
  type WriteOptions,
  withPageOptions,
  withWriteOptions,
} from '#cli/options.ts'
import { registerDecisions, send } from '#cli/recon/decisions.ts'
import { details, table } from '#cli/table.ts'
import { parsePair } from '#connectors/reconciliation/pair-file.ts'
import { reportCsv, reportPage } from '#connectors/reconciliation/report-formats.ts'
import { BREAK_KINDS, SEVERITIES } from '#domain/breaks/classify.ts'
import { isCalendarDay } from '#domain/time/calendar.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { readDailyReport, readLastReportDate } from '#platform/postgres/reconciliation/report.ts'
import {
  type ItemStory,
  type PairStatus,
  readBreaks,
  readItemStory,
  readPairStatus,
} from '#platform/postgres/reconciliation/queries.ts'

interface BreakOptions extends PageOptions {
  kind?: string
  status?: string
  owner?: string
  severity?: string
}

interface ReportOptions {
  date?: string
  format: 'page' | 'csv' | 'json'
  out?: string
}

/** Registers them. */
export function registerReconWork(recon: Command): void {
  addCommand<WriteOptions>(recon, {
    usage: 'pair <name> <file>',
    audited: true,
    summary: 'set a pair of sources from its JSON: which accounts correspond, tolerances, limits',
    example: 'recon pair nostro nostro.json',
    configure: withWriteOptions,
    run: async (context, options, [pair, file]) => {
      const body = await readFile(file!, 'utf8').catch((error: Error) => {
        throw new ConfigurationError(`expected a readable file, found ${file} (${error.message})`, {
          cause: error,
        })
      })
      // What the engine would refuse is said here, key by key.
      parsePair(body)
      return await send(context, options, { pair: pair!, kind: 'set_pair', subject: '', body })
    },
  })
  addCommand(recon, {
    usage: 'status',
    audited: true,
    summary: 'how every pair stands: items, matches by pass, open breaks by kind with the oldest',
    example: 'recon status',
    run: async (context) => {
      const pairs = await readPairStatus(new BulkClient(context).pool)
      return { json: { pairs }, text: pairs.length === 0 ? 'no pairs' : pairs.map(statusText).join('\n\n') }
    },
  })
  addCommand<BreakOptions>(recon, {
    usage: 'breaks <pair>',
    audited: true,
    summary: 'list the breaks that are not closed',
    example: 'recon breaks nostro --kind missing_in_bank',
    configure: (command) =>
      withPageOptions(command)
        .addOption(choice('--kind <kind>', 'only of this kind', BREAK_KINDS))
        .addOption(choice('--status <status>', 'only these', ['open', 'proposed', 'posting', 'closed']))
        .addOption(choice('--severity <severity>', 'only of this severity', SEVERITIES))
        .option('--owner <name>', 'only those of somebody'),
    run: listBreaks,
  })
  addCommand(recon, {
    usage: 'show <pair> <id>',
    audited: true,
    summary:
      'all about an item or a break: where it came from, its matches with both sides, what happened to it',
    example: 'recon show nostro ledger:42.0.0',
    run: async (context, _options, [pair, id]) => {
      const story = await readItemStory(new BulkClient(context).pool, pair!, id!)
      const isFound = story.item !== null || story.break !== null
      return {
        json: story,
        text: isFound ? storyText(story) : 'nothing of that id',
        exitCode: isFound ? 0 : 1,
      }
    },
  })
  addCommand<ReportOptions>(recon, {
    usage: 'report <pair>',
    audited: true,
    summary:
      'the report of a day: opening, matched, open by kind and age, closing and proof, for each account',
    example: 'recon report nostro --date 2026-03-02 --format page --out report.html',
    configure: (command) =>
      command
        .option('--date <date>', 'the day (default: the last one that a statement closes)')
        .addOption(choice('--format <format>', 'what is written', ['page', 'csv', 'json']).default('csv'))
        .option('--out <file>', 'write it there instead of standard output'),
    run: report,
  })
  registerDecisions(recon)
}

/** Exit code 1 where a difference isn't explained, or a statement isn't right. */
async function report(
  context: CommandContext,
  options: ReportOptions,
  [pair]: readonly string[],
): Promise<CommandResult> {
  const { pool } = new BulkClient(context)
  const date = options.date ?? (await readLastReportDate(pool, pair!))
  if (date === null) throw new ConfigurationError('no statement was imported yet: expected --date')
  if (!/^\d{4}-\d{2}-\d{2}$/.test(date) || !isCalendarDay(date)) {
    throw new ConfigurationError(`expected --date as a day such as 2026-03-02, found ${date}`)
  }
  const made = await readDailyReport(pool, pair!, date)
  if (made === null) throw new ConfigurationError(`there is no pair ${pair}`)
  const written = {
    page: () => reportPage(made),
    csv: () => reportCsv(made),
    json: () => `${JSON.stringify(made, null, 2)}\n`,
  }[options.format]()
  const { out } = options
  if (out !== undefined) {
    await writeFile(out, written).catch((error: Error) => {
      throw new ConfigurationError(`--out: ${error.message}`, { cause: error })
    })
  }
  const isFine = made.accounts.every(({ proof }) => proof.isExplained && proof.statement !== 'mismatch')
  return {
    json: made,
    text: out === undefined ? written.trimEnd() : `written to ${out}`,
    exitCode: isFine ? 0 : 1,
  }
}

async function listBreaks(
  context: CommandContext,
  options: BreakOptions,
  [pair]: readonly string[],
): Promise<CommandResult> {
  const limit = limitOf(options)
  const rows = await readBreaks(new BulkClient(context).pool, {
    pair: pair!,
    kind: options.kind ?? null,
    status: options.status ?? null,
    owner: options.owner ?? null,
    severity: options.severity ?? null,
    after: options.after ?? null,
    limit,
  })
  const breaks = rows.map(shownBreak)
  const next = rows.length === limit ? rows.at(-1)!.break_id : null
  const heading = ['break', 'side', 'kind', 'severity', 'amount', '', 'date', 'status', 'owner']
  const shown = breaks.map((one) => [
    one.break_id,
    one.side ?? '-',
    one.kind,
    one.severity,
    one.amount ?? '-',
    one.currency ?? '',
    one.date ?? '-',
    one.status,
    one.owner ?? '-',
  ])
  const text = shown.length === 0 ? 'no breaks' : table([heading, ...shown], [4])
  return { json: { breaks, next }, text: next === null ? text : `${text}\nmore: --after ${next}` }
}

function statusText({
  pair,
  ledger_sequence,
  items,
  statements,
  refused,
  matches,
  open,
}: PairStatus): string {
  return [
    `${pair}: ${items} items, ${statements} statements, read up to batch ${ledger_sequence}, ${refused} records refused`,
    ...matches.map(
      ({ pass, matches: made, ended }) =>
        `  ${made} matches by ${pass}${ended > 0 ? `, ${ended} taken back` : ''}`,
    ),
    ...open.map(
      ({ kind, breaks, oldest_day }) => `  ${breaks} open: ${kind}, oldest ${dateOf(oldest_day) ?? '-'}`,
    ),
  ].join('\n')
}

function storyText({ item, break: row, events, matches }: ItemStory): string {
  const properties = Object.entries(item ?? {}).map(([name, value]): [string, string] => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ])
  const lines = matches.map(
    ({ pass, score, because, ledger, bank, ended }) =>
      `${ended ? 'was matched' : 'matched'} by ${pass} (score ${score}, difference: ${because}):\n${[
        ...ledger,
        ...bank,
      ]
        .map(({ id, provenance }) => `  ${id}  ${provenance}`)
        .join('\n')}`,
  )
  const life = events.map(
    ({ type, atMs, ...rest }) => `${new Date(atMs).toISOString()} ${type} ${JSON.stringify(rest)}`,
  )
  return [
    ...(properties.length > 0 ? [details(properties)] : []),
    ...(row === null ? [] : [`break: ${row.status}, ${row.kind}, owner ${row.owner ?? 'nobody'}`]),
    ...lines,
    ...life,
  ].join('\n')
}
