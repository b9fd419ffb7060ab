/** `recon pair | status | breaks | show | assign | note | propose | approve | refuse | reopen`: the reconciliation of a running engine. */
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { showAmount } from '#api/amounts.ts'
import { BulkClient } from '#cli/bulk-client.ts'
import { addCommand, type CommandContext, type CommandResult } from '#cli/command.ts'
import {
  actorOf,
  choice,
  limitOf,
  type PageOptions,
  type WriteOptions,
  waitMsOf,
  withPageOptions,
  withWriteOptions,
} from '#cli/options.ts'
import { details, table } from '#cli/table.ts'
import { parsePair } from '#connectors/reconciliation/pair-file.ts'
import { BREAK_KINDS } from '#domain/breaks/classify.ts'
import { ConfigurationError, UnreachableError } from '#platform/errors.ts'
import {
  type BreakRow,
  type ItemStory,
  type PairStatus,
  readBreaks,
  readCommandOutcome,
  readItemStory,
  readPairStatus,
} from '#platform/postgres/reconciliation/queries.ts'
import { encoderOf } from '#platform/schema-registry/contracts.ts'

interface BreakOptions extends PageOptions {
  kind?: string
  status?: string
  owner?: string
}

const POLL_MS = 100

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
        .addOption(choice('--status <status>', 'only these', ['open', 'proposed', 'closed']))
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

function registerDecisions(recon: Command): void {
  const add = <Options extends WriteOptions>(
    kind: string,
    summary: string,
    example: string,
    configure: (command: Command) => Command,
    bodyOf: (options: Options) => object,
  ) =>
    addCommand<Options>(recon, {
      usage: `${kind} <pair> <break>`,
      audited: true,
      summary,
      example,
      configure: (command) => configure(withWriteOptions(command)),
      run: (context, options, [pair, subject]) =>
        send(context, options, {
          pair: pair!,
          kind,
          subject: subject!,
          body: JSON.stringify(bodyOf(options)),
        }),
    })
  const withReason = (command: Command) => command.requiredOption('--reason <text>', 'why')
  add<WriteOptions & { owner?: string }>(
    'assign',
    'give a break to somebody, or to nobody',
    'recon assign nostro ledger:42.0.0 --owner ann',
    (command) => command.option('--owner <name>', 'who works on it (default: nobody)'),
    ({ owner }) => ({ owner: owner ?? null }),
  )
  add<WriteOptions & { text: string }>(
    'note',
    'write a note to a break',
    'recon note nostro ledger:42.0.0 --text "asked the bank"',
    (command) => command.requiredOption('--text <text>', 'the note'),
    ({ text }) => ({ text }),
  )
  add<WriteOptions & { reason: string; ledger?: string[]; bank?: string[]; ignore?: boolean }>(
    'propose',
    'propose what is to become of a break: a match of your own, or nothing; somebody else approves it',
    'recon propose nostro ledger:42.0.0 --ignore --reason "a test payment"',
    (command) =>
      withReason(command)
        .option('--ledger <id...>', "items of the ledger's side that are the same money")
        .option('--bank <id...>', "items of the bank's side that are the same money")
        .option('--ignore', 'nothing is to be done'),
    ({ reason, ledger, bank, ignore }) => {
      if ((ignore === true) === (ledger !== undefined && bank !== undefined)) {
        throw new ConfigurationError('expected --ignore, or --ledger and --bank')
      }
      return { reason, resolution: ignore ? { kind: 'ignore' } : { kind: 'match', ledger, bank } }
    },
  )
  add(
    'approve',
    'approve what somebody else proposed',
    'recon approve nostro ledger:42.0.0 --actor bob',
    (command) => command,
    () => ({}),
  )
  add<WriteOptions & { reason: string }>(
    'refuse',
    'refuse a proposal, or take back your own',
    'recon refuse nostro ledger:42.0.0 --reason "too large"',
    withReason,
    ({ reason }) => ({ reason }),
  )
  add<WriteOptions & { reason: string; kind: string }>(
    'reopen',
    'undo a resolution that somebody else approved',
    'recon reopen nostro ledger:42.0.0 --kind amount --reason "the bank says otherwise"',
    (command) =>
      withReason(command).addOption(
        choice('--kind <kind>', 'what it is from now on', BREAK_KINDS).makeOptionMandatory(),
      ),
    ({ reason, kind }) => ({ reason, kind }),
  )
}

interface Sent {
  readonly pair: string
  readonly kind: string
  readonly subject: string
  readonly body: string
}

/** Publishes a command and waits for what becomes of it. Exit code 1 where it was refused. */
async function send(context: CommandContext, options: WriteOptions, command: Sent): Promise<CommandResult> {
  const client = new BulkClient(context)
  const waitMs = waitMsOf(options)
  const publisher = await client.publisher()
  const id = `cli-${randomUUID()}`
  const value = { id, ...command, actor: actorOf(options), occurredAt: BigInt(Date.now()) }
  const encoder = encoderOf<typeof value>(publisher.contracts.reconciliationCommands)
  const topic = publisher.topicName('reconciliationCommands')
  await publisher.encoded([{ topic, key: command.pair, value: encoder.encode(value) }])
  if (waitMs === 0) return { json: { id, outcome: 'published' }, text: `published as ${id}` }
  const deadline = performance.now() + waitMs
  for (;;) {
    const outcome = await readCommandOutcome(client.pool, command.pair, id)
    if (outcome !== null) {
      const { refusal } = outcome
      const text = refusal === null ? 'done' : `refused: ${refusal}`
      return {
        json: { id, outcome: refusal === null ? 'done' : 'refused', refusal },
        text,
        exitCode: refusal === null ? 0 : 1,
      }
    }
    if (performance.now() > deadline) {
      throw new UnreachableError(
        'engine',
        `command ${id} was published but is not carried out after ${waitMs} ms; is there such a pair, and does a reconciler run (npx tallystream run)?`,
      )
    }
    await sleep(POLL_MS, undefined, { signal: context.signal })
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
