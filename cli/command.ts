/**
 * What every command has in common: `--help` with an example, `--json` (exactly one JSON document on standard output, logs on
 * standard error), exit codes, and an orderly end on SIGINT and SIGTERM. See cli/README.md for how to add one.
 */
import type { Command } from 'commander'
import { type Act, noteAct } from '#cli/audited.ts'
import { ConfigurationError, OperatingError, UnreachableError } from '#platform/errors.ts'

/** 0: fine. 1: a difference was found (or the work failed). 2: usage or configuration. 3: a service isn't reachable. */
export const exitCodes = { ok: 0, difference: 1, usage: 2, unreachable: 3 } as const
/** How long closing may take before the process ends anyway. */
const CLOSE_TIMEOUT_MS = 20_000
/** What is left then (a client that goes on trying to connect) may not keep a command that has ended. */
const LINGER_MAX_MS = 300
/** A Ctrl-C reaches every process of the terminal, and wrappers (npx, make) pass it on once more: so close together, two are one. */
const SAME_SIGNAL_MS = 500

/** What a command hands back. */
export interface CommandResult {
  /** The one document of `--json`. Amounts may be bigint: they are shown as decimal strings. */
  json: unknown
  /** What a person reads instead. */
  text?: string
  /** `exitCodes.difference` when what was checked isn't as it should be, `unreachable` when it isn't there. */
  exitCode?: 0 | 1 | 3
}

/** What a command gets besides its own options and arguments. */
export interface CommandContext {
  json: boolean
  /** Aborted by the first SIGINT or SIGTERM. Long work ends then; closers run after it. */
  signal: AbortSignal
  /** Registers what must be closed at the end, however it comes; the last registered is closed first. */
  onClose(closer: () => Promise<void> | void): void
  /** One line for the waiting person, on standard error. */
  progress(message: string): void
  /** Resolves at the first SIGINT or SIGTERM: what a command that stays up waits for. */
  untilStopped(): Promise<void>
}

/** One subcommand. `Options` are the parsed option values by their camel-case names, always with `json`. */
export interface CommandDefinition<Options> {
  /** Name and positional arguments in commander's notation, for example `csv <file>`. */
  usage: string
  summary: string
  /** One command line that works as it stands. */
  example: string
  /** Whether it administers the ledger, or shows accounts or money: then it is noted in the audit log (cli/audited.ts). */
  audited?: boolean | ((options: Options) => boolean)
  /** Declares options on the command. */
  configure?: (command: Command) => unknown
  run(context: CommandContext, options: Options, positional: readonly string[]): Promise<CommandResult>
}

/** Adds a subcommand to `parent`. */
export function addCommand<Options>(parent: Command, definition: CommandDefinition<Options>): void {
  const command = parent
    .command(definition.usage)
    .description(definition.summary)
    .option('--json', 'print exactly one JSON document on standard output')
    .addHelpText('after', `\nExample:\n  npx tallystream ${definition.example}`)
  definition.configure?.(command)
  examples.set(command, definition.example)
  command.action(async () => {
    const options = command.opts<Options & { json?: boolean }>()
    process.exitCode = await execute(definition, options, command.args, nameOf(command))
    setTimeout(() => process.exit(), LINGER_MAX_MS).unref()
  })
}

/** A command's words without the program's: `rules set`. */
const nameOf = (command: Command): string =>
  command.parent?.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name()

const examples = new WeakMap<Command, string>()
const EXIT_CODES =
  'Exit codes: 0 fine, 1 a difference found, a request refused or nothing of that name, 2 usage or configuration, 3 a service is not reachable'

/**
 * Completes the help of a program whose commands are all added: a group shows the examples of its subcommands, and every
 * help text ends with the exit codes.
 *
 * @param firstSteps Command lines, without the program's name, that its own help text shows.
 */
export function completeHelp(program: Command, firstSteps: readonly string[]): void {
  const show = (lines: readonly string[]) => lines.map((line) => `  npx tallystream ${line}`).join('\n')
  program.addHelpText('after', `\nExamples:\n${show(firstSteps)}`)
  program.addHelpText('afterAll', `\n${EXIT_CODES}`)
  for (const group of program.commands) addExamples(group)

  function addExamples(group: Command): string[] {
    const lines = group.commands.flatMap((command) => examples.get(command) ?? addExamples(command))
    if (lines.length > 0) group.addHelpText('after', `\nExamples:\n${show(lines)}`)
    return lines
  }
}

async function execute<Options>(
  definition: CommandDefinition<Options>,
  options: Options & { json?: boolean },
  positional: readonly string[],
  command: string,
): Promise<number> {
  const json = options.json === true
  const lifetime = startLifetime()
  const context: CommandContext = {
    json,
    signal: lifetime.signal,
    onClose: lifetime.onClose,
    progress: (message) => process.stderr.write(`${message}\n`),
    untilStopped: () => untilAborted(lifetime.signal),
  }
  let exitCode: number
  let failure: string | null = null
  try {
    const result = await definition.run(context, options, positional)
    writeResult(result, json)
    exitCode = result.exitCode ?? exitCodes.ok
  } catch (caught) {
    // Waits that are cut off say so in words of their own.
    const isCutOff = lifetime.signal.aborted && caught instanceof Error && caught.name === 'AbortError'
    const error: unknown = isCutOff ? lifetime.signal.reason : caught
    exitCode = reportError(error, json)
    failure = error instanceof OperatingError ? error.code : 'unexpected'
  }
  const { audited = false } = definition
  // A wrong usage did nothing.
  const isAct = exitCode !== exitCodes.usage && (typeof audited === 'function' ? audited(options) : audited)
  if (isAct) {
    const act = { command, positional, options: options as Record<string, unknown>, exitCode, error: failure }
    exitCode = Math.max(exitCode, await noted(act))
  }
  return Math.max(exitCode, await lifetime.close())
}

/** 0, or 1 where what was done couldn't be noted: nobody may think that it was. */
async function noted(act: Act): Promise<number> {
  try {
    // Nobody waits twice for a database that has just not answered.
    if (act.error === 'postgres_unreachable') throw new UnreachableError('postgres', 'Postgres is away')
    await noteAct(act)
    return exitCodes.ok
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error
    process.stderr.write(`tallystream: this is not in the audit log: ${error.message}\n`)
    return exitCodes.difference
  }
}

function writeResult(result: CommandResult, json: boolean): void {
  if (json) process.stdout.write(`${jsonText(result.json)}\n`)
  else if (result.text !== undefined) process.stdout.write(`${result.text}\n`)
}

/** JSON with bigint as decimal strings, indented for people who pipe it nowhere. */
export function jsonText(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, part: unknown) => (typeof part === 'bigint' ? part.toString() : part),
    2,
  )
}

/** The exit code that an error means. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigurationError) return exitCodes.usage
  if (error instanceof UnreachableError) return exitCodes.unreachable
  return exitCodes.difference
}

function reportError(error: unknown, json: boolean): number {
  const known = error instanceof OperatingError
  const message = error instanceof Error ? error.message : String(error)
  // Something that nobody foresaw needs its stack; a coded error says all in its message.
  process.stderr.write(`tallystream: ${known || !(error instanceof Error) ? message : error.stack}\n`)
  if (json) {
    const code = known ? error.code : 'unexpected'
    process.stdout.write(`${jsonText({ error: { code, message } })}\n`)
  }
  return exitCodeOf(error)
}

interface Lifetime {
  signal: AbortSignal
  onClose(closer: () => Promise<void> | void): void
  /** Runs the closers in reverse; 0, or 1 when one failed. */
  close(): Promise<number>
}

/** Listens to signals: the first asks for the end, the second doesn't wait for it. */
function startLifetime(): Lifetime {
  const closers: (() => Promise<void> | void)[] = []
  const controller = new AbortController()
  let firstAtMs = 0
  const onSignal = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      if (performance.now() - firstAtMs < SAME_SIGNAL_MS) return
      process.exit(signal === 'SIGINT' ? 130 : 143)
    }
    firstAtMs = performance.now()
    process.stderr.write(`tallystream: stopping (${signal}); once more ends at once\n`)
    controller.abort(new OperatingError('stopped', `Stopped by ${signal}`))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  // The door that started this process has ended without a word (kill -9): nobody would ever end it.
  const onOrphaned = () => onSignal('SIGTERM')
  process.on('disconnect', onOrphaned)
  process.channel?.unref()
  return {
    signal: controller.signal,
    onClose: (closer) => closers.push(closer),
    close: async () => {
      const exitCode = await closeInReverse(closers)
      // A command that ended by itself leaves nobody to wait for a signal: that wait would keep the process alive.
      controller.abort(new OperatingError('ended', 'The command has ended'))
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
      process.off('disconnect', onOrphaned)
      return exitCode
    },
  }
}

async function closeInReverse(closers: (() => Promise<void> | void)[]): Promise<number> {
  let exitCode = 0
  const timer = setTimeout(() => {
    process.stderr.write(`tallystream: closing took over ${CLOSE_TIMEOUT_MS / 1000} s, ending now\n`)
    process.exit(1)
  }, CLOSE_TIMEOUT_MS)
  for (const closer of closers.reverse()) {
    try {
      await closer()
    } catch (error) {
      exitCode = 1
      process.stderr.write(
        `tallystream: closing failed: ${error instanceof Error ? error.message : String(error)}\n`,
      )
    }
  }
  clearTimeout(timer)
  return exitCode
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    // A promise keeps no process alive: without a timer Node would end a command that waits for nothing but a signal.
    const keepAlive = setInterval(() => {}, 60_000)
    const finish = () => {
      clearInterval(keepAlive)
      resolve()
    }
    signal.addEventListener('abort', finish, { once: true })
  })
}
