/** `dlq list | show | retry | discard`: records that could not be read, and what an operator makes of them. See docs/dead-letters.md. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { showDeadLetter } from '#api/routes/operations/show-dead-letter.ts'
import { addCommand, type CommandContext, type CommandResult, exitCodes } from '#cli/command.ts'
import { type Retried, retryAll, retryLetter } from '#cli/dead-letters/retry.ts'
import { BYTE_FORMS, type ByteForm, type ShownBytes, shownBytes } from '#cli/dead-letters/shown-bytes.ts'
import { type LedgerWriter, openReader, openWriter } from '#cli/ledger-client.ts'
import {
  actorOf,
  afterOf,
  choice,
  limitOf,
  momentOf,
  nextOf,
  type PageOptions,
  type WriteOptions,
  waitMsOf,
  wholeOf,
  withPageOptions,
  withWriteOptions,
} from '#cli/options.ts'
import { details, moreLine, table } from '#cli/table.ts'
import { outcomeResult } from '#cli/transaction-results.ts'
import { changeResult, showPosition } from '#cli/writes.ts'
import { deadLetterPosition } from '#domain/ledger/dead-letters.ts'
import type { DeadLetterStatus } from '#domain/ledger/state.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { readDeadLetter, type StoredDeadLetter } from '#platform/postgres/queries/read-dead-letter.ts'
import {
  DEAD_LETTERS_CURSOR_LENGTH,
  type DeadLetterFilter,
  readDeadLetters,
} from '#platform/postgres/queries/read-dead-letters.ts'

interface FilterOptions {
  reason?: string
  topic?: string
  since?: string
  until?: string
}
interface ListOptions extends PageOptions, FilterOptions {
  status?: DeadLetterStatus
}
interface RetryOptions extends WriteOptions, FilterOptions {
  all?: boolean
  max: string
  rate: string
  valueFile?: string
  contentType?: string
  newId?: string
  again?: boolean
  note?: string
}

const BULK_MAX = 10_000
const RATE_MAX = 1_000

/** Registers `dlq` and its subcommands. */
export function registerDlq(program: Command): void {
  const dlq = program.command('dlq').description('dead letters: records that could not be read')
  addList(dlq)
  addShow(dlq)
  addRetry(dlq)
  addDiscard(dlq)
}

const withFilterOptions = (command: Command): Command =>
  command
    .option('--reason <code>', 'only letters with this reason code')
    .option('--topic <topic>', "only this ingest topic, without the ledger's prefix")
    .option('--since <time>', 'only recorded from then on (ISO 8601 with its zone)')
    .option('--until <time>', 'only recorded before then')

const filterOf = (options: FilterOptions): DeadLetterFilter => ({
  reason: options.reason,
  topic: options.topic,
  since: options.since === undefined ? undefined : momentOf(options.since, '--since'),
  until: options.until === undefined ? undefined : momentOf(options.until, '--until'),
})

function addList(dlq: Command): void {
  addCommand<ListOptions>(dlq, {
    usage: 'list',
    audited: true,
    summary: 'list dead letters, the newest first',
    example: 'dlq list --status open --reason schema_unknown --limit 20',
    configure: (command) =>
      withFilterOptions(withPageOptions(command)).addOption(
        choice('--status <status>', 'only letters of this status', ['open', 'retried', 'discarded']),
      ),
    run: async (context, options) => {
      const [limit, after] = [limitOf(options), afterOf(options, DEAD_LETTERS_CURSOR_LENGTH)]
      const filter = { ...filterOf(options), status: options.status }
      const { pool } = await openReader(context)
      const page = await readDeadLetters(pool, { after, limit, filter })
      const letters = page.items.map(showDeadLetter)
      const next = nextOf(page.next)
      const rows = letters.map((each) => [
        each.letter,
        each.reason,
        each.status,
        each.value_bytes,
        each.kept,
        each.recorded_at,
        each.detail,
      ])
      const heading = ['letter', 'reason', 'status', 'bytes', 'kept', 'recorded', 'detail']
      const text = rows.length === 0 ? 'no dead letters' : table([heading, ...rows], [3])
      return { json: { letters, next }, text: text + moreLine(next) }
    },
  })
}

function addShow(dlq: Command): void {
  addCommand<{ as: ByteForm }>(dlq, {
    usage: 'show <letter>',
    audited: true,
    summary: 'show one dead letter with its bytes; card numbers are masked',
    example: 'dlq show transactions:3:1042 --as hex',
    configure: (command) =>
      command.addOption(
        choice('--as <form>', 'how to show bytes; auto: text where they are text, else hex', [
          ...BYTE_FORMS,
        ]).default('auto'),
      ),
    run: async (context, options, [name]) => {
      const { pool } = await openReader(context)
      const letter = await requireLetter(pool, name!)
      const [key, value] = [shownBytes(letter.key, options.as), shownBytes(letter.value, options.as)]
      return { json: { ...showDeadLetter(letter), key, value }, text: letterText(letter, key, value) }
    },
  })
}

/** @throws ConfigurationError for what is no letter's name; OperatingError `dead_letter_unknown` */
async function requireLetter(pool: ReadPool, name: string): Promise<StoredDeadLetter> {
  const position = deadLetterPosition(name)
  if (position === null)
    throw new ConfigurationError(
      `expected a letter as topic:partition:offset, for example transactions:3:1042; got ${JSON.stringify(name)}`,
    )
  const letter = await readDeadLetter(pool, position)
  if (letter !== undefined) return letter
  throw new OperatingError('dead_letter_unknown', `there is no dead letter ${name}`)
}

function letterText(letter: StoredDeadLetter, key: ShownBytes | null, value: ShownBytes | null): string {
  const shown = showDeadLetter(letter)
  const decided =
    shown.decided === null
      ? []
      : [
          ['decided', `by ${shown.decided.actor} at ${shown.decided.at}`] as const,
          ...(shown.decided.reason === null ? [] : [['words', shown.decided.reason] as const]),
          ...Object.entries(shown.decided.parameters),
        ]
  const lines = details([
    ['letter', shown.letter],
    ...(shown.first_offset === null
      ? []
      : [['stands for', `the records from offset ${shown.first_offset} on`] as const]),
    ['reason', `${shown.reason}: ${shown.detail}`],
    ['recorded', `${shown.recorded_at}, batch ${shown.sequence}`],
    ['status', shown.status],
    ...decided,
    ['content type', shown.content_type ?? 'none given'],
    ['key', key === null ? 'none' : `${key.data} (${key.encoding})`],
    ['value', `${shown.value_bytes} bytes, stored ${shown.kept}, SHA-256 ${shown.value_sha256}`],
  ])
  return value === null ? `${lines}\nno value` : `${lines}\n${value.encoding}:\n${value.data}`
}

function addRetry(dlq: Command): void {
  addCommand<RetryOptions>(dlq, {
    usage: 'retry [letter]',
    audited: true,
    summary: 'publish a dead letter again to its topic, as it was or mended; or all of one reason',
    example: 'dlq retry transactions:3:1042 --value-file mended.json --content-type application/json',
    configure: (command) =>
      withFilterOptions(withWriteOptions(command))
        .option('--value-file <file>', 'publish these bytes instead of the stored ones')
        .option('--content-type <type>', 'with --value-file: its content type')
        .option('--new-id <id>', 'for an id_conflict: publish it under this id')
        .option('--again', 'also where it was retried before')
        .option('--note <words>', 'why, in your words')
        .option('--all', 'every open letter that the filters let through; needs --reason')
        .option('--max <n>', `with --all: most letters, up to ${BULK_MAX}`, '1000')
        .option('--rate <n>', `with --all: letters a second, up to ${RATE_MAX}`, '100'),
    run: async (context, options, [name]) => {
      const { all = false, reason } = options
      if (all === (name !== undefined))
        throw new ConfigurationError('expected either a letter or --all with --reason')
      if (all && reason === undefined)
        throw new ConfigurationError(
          'expected --reason with --all, got none: not everything can be cured alike',
        )
      return all ? await retryMany(context, options) : await retryOne(context, name!, options)
    },
  })
}

async function retryOne(
  context: CommandContext,
  name: string,
  options: RetryOptions,
): Promise<CommandResult> {
  const [actor, waitMs] = [actorOf(options), waitMsOf(options)]
  const { valueFile, contentType, newId, again, note = null } = options
  if (contentType !== undefined && valueFile === undefined)
    throw new ConfigurationError('expected --value-file with --content-type, got none')
  const value = valueFile === undefined ? undefined : fileOf(valueFile)
  const ledger = await openWriter(context)
  const letter = await requireLetter(ledger.pool, name)
  const changes = { value, contentType, newId, again }
  const retried = await retryLetter(ledger, letter, { changes, actor, note, waitMs })
  return await retriedResult(ledger, name, retried, waitMs)
}

/** @throws ConfigurationError where it can't be read */
function fileOf(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new ConfigurationError(
      `expected --value-file to be a file that can be read: ${(error as Error).message}`,
      {
        cause: error,
      },
    )
  }
}

/** What became of the record that was published, and of the command that says so: exit code 1 where either was refused. */
async function retriedResult(
  ledger: LedgerWriter,
  name: string,
  { position, submission }: Retried,
  waitMs: number,
): Promise<CommandResult> {
  const place = showPosition(position)
  const at = `${place.topic}:${place.partition}:${place.offset}`
  if (waitMs === 0) {
    return {
      json: { letter: name, result: 'pending', position: place },
      text: `${name}: published as ${at}, not waited for`,
    }
  }
  const outcome = await ledger.outcomeOf(position, waitMs)
  const refusal = outcome.refusal ?? submission.outcome?.refusal ?? null
  const decision =
    outcome.decision === null ? null : outcomeResult({ position, traceId: null, outcome }, outcome.decision)
  const failed = refusal !== null || decision?.exitCode === exitCodes.difference
  const json = {
    letter: name,
    result: failed ? 'refused' : 'applied',
    reason: refusal?.reason ?? outcome.decision?.reason ?? null,
    ...(refusal?.detail == null ? {} : { detail: refusal.detail }),
    transaction: decision?.json ?? null,
    position: place,
  }
  const became = decision?.text ?? (refusal === null ? 'applied' : `refused: ${refusal.reason}`)
  const text = `${name}: published as ${at}; ${became}`
  return failed ? { json, text, exitCode: exitCodes.difference } : { json, text }
}

async function retryMany(context: CommandContext, options: RetryOptions): Promise<CommandResult> {
  const bulk = {
    filter: filterOf(options),
    actor: actorOf(options),
    note: options.note ?? null,
    lettersMax: wholeOf(options.max, '--max', { min: 1, max: BULK_MAX }),
    perSecondMax: wholeOf(options.rate, '--rate', { min: 1, max: RATE_MAX }),
    waitMs: waitMsOf(options),
  }
  const ledger = await openWriter(context)
  const { retried, skipped, deadAgain, complete } = await retryAll(context, ledger, bulk)
  const json = { retried, skipped, dead_again: deadAgain, complete }
  const text = [
    `${retried} published again${deadAgain === null ? ', not waited for' : `, ${deadAgain} of them dead letters again`}`,
    ...skipped.map(({ letter, code }) => `${letter}: left as it is (${code})`),
    ...(complete ? [] : ['there are more: run it again']),
  ].join('\n')
  const isFine = skipped.length === 0 && (deadAgain ?? 0) === 0
  return isFine ? { json, text } : { json, text, exitCode: exitCodes.difference }
}

function addDiscard(dlq: Command): void {
  addCommand<WriteOptions & { reason: string }>(dlq, {
    usage: 'discard <letter>',
    audited: true,
    summary: 'say that nothing is to come of a dead letter; it stays on record',
    example: 'dlq discard transactions:3:1042 --reason "test data of the partner"',
    configure: (command) =>
      withWriteOptions(command).requiredOption('--reason <words>', 'why, in your words'),
    run: async (context, options, [name]) => {
      const [actor, waitMs] = [actorOf(options), waitMsOf(options)]
      const ledger = await openWriter(context)
      await requireLetter(ledger.pool, name!)
      const command = {
        id: randomUUID(),
        kind: 'dead_letter.discard',
        subject: name!,
        actor,
        reason: options.reason,
      }
      const submission = await ledger.submit('commands', name!, command, waitMs)
      const letter = showDeadLetter(await requireLetter(ledger.pool, name!))
      return changeResult(submission, {
        subject: { letter: name },
        state: { status: letter.status, decided: letter.decided },
        text: `${name} is ${letter.status}`,
      })
    },
  })
}
