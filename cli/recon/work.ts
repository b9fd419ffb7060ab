/** `recon pair | status | breaks | show`: what stands in the reconciliation of a running engine. What people decide: decisions.ts. */
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { showAmount } from '#api/amounts.ts'
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
import { BREAK_KINDS } from '#domain/breaks/classify.ts'
import { ConfigurationError } from '#platform/errors.ts'
import {
  type BreakRow,
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
  registerDecisions(recon)
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
    after: options.after ?? null,
    limit,
  })
  const breaks = rows.map(shownBreak)
  const next = rows.length === limit ? rows.at(-1)!.break_id : null
  const heading = ['break', 'side', 'kind', 'amount', '', 'date', 'status', 'owner']
  const shown = breaks.map((one) => [
    one.break_id,
    one.side ?? '-',
    one.kind,
    one.amount ?? '-',
    one.currency ?? '',
    one.date ?? '-',
    one.status,
    one.owner ?? '-',
  ])
  const text = shown.length === 0 ? 'no breaks' : table([heading, ...shown], [3])
  return { json: { breaks, next }, text: next === null ? text : `${text}\nmore: --after ${next}` }
}

const dateOf = (day: number | null): string | null =>
  day === null ? null : new Date(day * 86_400_000).toISOString().slice(0, 10)

const shownBreak = ({ amount, day, opened_at_ms, ...row }: BreakRow) => ({
  ...row,
  amount: amount === null || row.currency === null ? null : showAmount(amount, row.currency),
  date: dateOf(day),
  opened_at: new Date(Number(opened_at_ms)).toISOString(),
})

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
