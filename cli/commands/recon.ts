/** `recon`: two sides of the same money from files (`generate`, `match`), and the reconciliation of a running engine (cli/recon/work.ts). */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import type { Command } from 'commander'
import { addCommand, type CommandContext } from '#cli/command.ts'
import { wholeOf } from '#cli/options.ts'
import { type FileReport, matchFiles, reportText } from '#cli/recon/match-files.ts'
import { registerReconWork } from '#cli/recon/work.ts'
import { itemLine } from '#connectors/reconciliation/item-file.ts'
import { generateTwoSides, type TrueMatch } from '#loadtest/reconciliation/generator.ts'
import { ConfigurationError } from '#platform/errors.ts'

interface GenerateOptions {
  seed: string
  events: string
  days: string
  out: string
}

interface MatchOptions {
  ledger: string[]
  bank: string[]
  pair?: string
  mapping?: string
  truth?: string
  today?: string
  matches?: boolean
  open?: boolean
}

/** Registers `recon` and its subcommands. */
export function registerRecon(program: Command): void {
  const recon = program.command('recon').description('reconciliation: matches and breaks of two sources')
  addCommand<GenerateOptions>(recon, {
    usage: 'generate',
    summary:
      'write two-sided data with the truth about it: noise, splits, merges, fees, delays, duplicates, missing ones',
    example: 'recon generate --seed 7 --events 10000 --out ./two-sides',
    configure: (command) =>
      command
        .option('--seed <n>', 'the same seed gives the same data', '1')
        .option('--events <n>', 'things that happen; each makes about one item a side', '10000')
        .option('--days <n>', 'over so many days', '90')
        .requiredOption('--out <folder>', 'where ledger.jsonl, bank.jsonl and truth.json go'),
    run: generate,
  })
  addCommand<MatchOptions>(recon, {
    usage: 'match',
    summary:
      'match two sides from files (statements of any format, or JSON lines of items) and list the breaks',
    example:
      'recon match --ledger two-sides/ledger.jsonl --bank two-sides/bank.jsonl --truth two-sides/truth.json',
    configure: (command) =>
      command
        .requiredOption('--ledger <file...>', 'files of the first source')
        .requiredOption('--bank <file...>', 'files of the second source')
        .option(
          '--pair <file>',
          "JSON with the pair's accounts, tolerances and limits; see docs/reconciliation.md",
        )
        .option('--mapping <file>', 'JSON that says what the columns of CSV statements mean')
        .option('--truth <file>', 'what `recon generate` wrote: precision and recall are measured')
        .option('--today <date>', 'ages are counted up to this day (default: the last one in the data)')
        .option('--matches', 'show every match')
        .option('--open', 'show every open item with the reason of every pass'),
    run: async (context, options) => {
      const report = await matchFiles(options, await truthOf(options.truth), context.signal)
      return { json: report, text: reportText(report), exitCode: exitCodeOf(report) }
    },
  })
  registerReconWork(recon)
}

/** With a truth: whether the aims are met. Without: whether nothing is open. */
function exitCodeOf({ measured, breaks, statementFindings }: FileReport): 0 | 1 {
  if (measured !== undefined) return measured.meetsAims ? 0 : 1
  return breaks.length + statementFindings.length === 0 ? 0 : 1
}

async function truthOf(path: string | undefined): Promise<readonly TrueMatch[] | null> {
  if (path === undefined) return null
  try {
    const { matches } = JSON.parse(await readFile(path, 'utf8')) as { matches?: TrueMatch[] }
    if (Array.isArray(matches)) return matches
  } catch (error) {
    throw new ConfigurationError(`--truth: ${(error as Error).message}`, { cause: error })
  }
  throw new ConfigurationError(`--truth: expected what recon generate wrote, found ${path}`)
}

const COUNT = { min: 1, max: 10_000_000 }

async function generate(context: CommandContext, options: GenerateOptions) {
  const seed = wholeOf(options.seed, '--seed', { min: 0, max: Number.MAX_SAFE_INTEGER })
  const events = wholeOf(options.events, '--events', COUNT)
  const days = wholeOf(options.days, '--days', { min: 1, max: 3_650 })
  const { ledger, bank, matches, breaks } = generateTwoSides({ seed, events, days })
  await mkdir(options.out, { recursive: true }).catch((error: Error) => {
    throw new ConfigurationError(`--out: ${error.message}`, { cause: error })
  })
  const files = { ledger: 'ledger.jsonl', bank: 'bank.jsonl', truth: 'truth.json' }
  await writeLines(context, join(options.out, files.ledger), ledger.map(itemLine))
  await writeLines(context, join(options.out, files.bank), bank.map(itemLine))
  await writeLines(context, join(options.out, files.truth), [
    JSON.stringify({ seed, events, days, matches, breaks }),
  ])
  const json = {
    seed,
    events,
    days,
    out: options.out,
    ledger: ledger.length,
    bank: bank.length,
    matches: matches.length,
    breaks: breaks.length,
  }
  const text = `${json.ledger} ledger entries and ${json.bank} bank lines: ${json.matches} belong together, ${json.breaks} belong to nothing`
  return { json, text }
}

async function writeLines(context: CommandContext, path: string, lines: readonly string[]): Promise<void> {
  const stream = createWriteStream(path)
  const done = finished(stream)
  for (const line of lines) {
    context.signal.throwIfAborted()
    if (!stream.write(`${line}\n`)) await once(stream, 'drain')
  }
  stream.end()
  await done
}
