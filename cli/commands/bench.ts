/** `bench`: measurements as ratios to what anybody can run beside it, on services of its own; and how two runs differ. */
import type { Command } from 'commander'
import { addCommand, exitCodes } from '#cli/command.ts'
import { wholeOf } from '#cli/options.ts'
import { table } from '#cli/table.ts'
import { runBench } from '#loadtest/bench/bench-run.ts'
import { openBenchStack } from '#loadtest/bench/bench-stack.ts'
import { type Comparison, compareResults, type Drift } from '#loadtest/bench/compare.ts'
import type { BenchResult } from '#loadtest/bench/result.ts'
import { readResult, sourceCommit, writeResult } from '#loadtest/bench/result-files.ts'
import {
  names,
  QUICK_SCENARIOS,
  SCENARIOS,
  type ScenarioDefinition,
  type ScenarioName,
  usualScenarios,
} from '#loadtest/bench/scenarios.ts'
import { ConfigurationError } from '#platform/errors.ts'

interface Options {
  quick?: boolean
  transfers?: string
  accounts?: string
  seconds?: string
  growth: string
  soakMinutes: string
  rounds?: string
  results: string
  save: boolean
}

/** What a run does unless told: a whole one within ten minutes, a quick one within two, on two cores. */
const USUAL = { transfers: '100000', accounts: '10000', seconds: '5', rounds: '2' }
const QUICK = { transfers: '30000', accounts: '5000', seconds: '2', rounds: '1' }

/** Registers `bench` and `bench compare`. */
export function registerBench(program: Command): void {
  addRun(program)
  const bench = program.commands.find((command) => command.name() === 'bench')!
  // What follows `compare` is its own, though both know --json.
  bench.enablePositionalOptions()
  addCompare(bench)
}

function addRun(program: Command): void {
  addCommand<Options>(program, {
    usage: 'bench [scenario...]',
    summary: 'measure on services of its own, as ratios to what anybody can run beside it',
    example: 'bench throughput hot --quick --json',
    configure: (command) =>
      command
        .option(
          '--quick',
          'two minutes instead of ten: smaller, one round, and where none is named only throughput, limit, hot, fraud, replay, memory',
        )
        .option(
          '--transfers <n>',
          `in each measurement (default: ${USUAL.transfers}; quick ${QUICK.transfers})`,
        )
        .option(
          '--accounts <n>',
          `that they are spread over (default: ${USUAL.accounts}; quick ${QUICK.accounts})`,
        )
        .option(
          '--seconds <n>',
          `of what is measured for a time (default: ${USUAL.seconds}; quick ${QUICK.seconds})`,
        )
        .option(
          '--rounds <n>',
          `each measures everything once (default: ${USUAL.rounds}; quick ${QUICK.rounds})`,
        )
        .option('--growth <n>', 'transactions that a grown ledger holds', '10000000')
        .option('--soak-minutes <n>', 'how long a soak lasts', '30')
        .option('--results <folder>', 'where the result is kept', RESULTS_FOLDER_SHOWN)
        .option('--no-save', 'keep no result')
        .addHelpText('after', `\nScenarios:\n${scenarioHelp()}`),
    run: async (context, options, positional) => {
      const scenarios = scenariosOf(positional, options.quick === true)
      const usual = options.quick === true ? QUICK : USUAL
      const number = (name: 'transfers' | 'accounts' | 'seconds' | 'rounds', min: number, max: number) =>
        wholeOf(options[name] ?? usual[name], `--${name}`, { min, max })
      const extent = {
        transfers: number('transfers', 1_000, 100_000_000),
        accounts: number('accounts', 10, 1_000_000),
        seconds: number('seconds', 1, 3_600),
        growth: wholeOf(options.growth, '--growth', { min: 1_000, max: 1_000_000_000 }),
        soakMinutes: wholeOf(options.soakMinutes, '--soak-minutes', { min: 1, max: 10_000 }),
      }
      const rounds = number('rounds', 1, 100)
      const { progress, signal } = context
      const stack = await openBenchStack({ onProgress: progress, signal })
      context.onClose(() => stack.close())
      const result = await runBench({
        scenarios,
        rounds,
        extent,
        stack,
        commit: sourceCommit(),
        progress,
        signal,
      })
      if (options.save) progress(`kept in ${writeResult(options.results, result)}`)
      const isWhole = Object.keys(result.failed).length === 0
      const exitCode = isWhole ? exitCodes.ok : exitCodes.difference
      return { json: result, text: resultText(result), exitCode }
    },
  })
}

/** As a person types it, from the project's folder. */
const RESULTS_FOLDER_SHOWN = 'loadtest/results'

const scenarioHelp = (): string =>
  table(
    names().map((name) => {
      const { summary, onlyByName }: ScenarioDefinition = SCENARIOS[name]
      return [`  ${name}`, `${summary}${onlyByName === true ? ' (only by name)' : ''}`]
    }),
  )

/** @throws ConfigurationError naming the scenarios that there are */
function scenariosOf(words: readonly string[], isQuick: boolean): readonly ScenarioName[] {
  if (words.length === 0) return isQuick ? QUICK_SCENARIOS : usualScenarios()
  const unknown = words.find((word) => !(names() as string[]).includes(word))
  if (unknown === undefined) return words as ScenarioName[]
  throw new ConfigurationError(`expected scenarios of ${names().join(', ')}, found "${unknown}"`)
}

function resultText(result: BenchResult): string {
  const number = (value: number) => value.toLocaleString('en', { maximumSignificantDigits: 4 })
  const scenarios = Object.entries(result.scenarios).map(([name, { min, median, max, unit }]) => [
    name,
    number(min),
    number(median),
    number(max),
    unit,
  ])
  const ratios = Object.entries(result.ratios).flatMap(([name, ratio]) =>
    ratio === null ? [] : [[name, ratio.toFixed(2)]],
  )
  return [
    table([['scenario', 'min', 'median', 'max', 'unit'], ...scenarios], [1, 2, 3]),
    '',
    table([['ratio', 'median'], ...ratios], [1]),
    '',
    ...Object.entries(result.failed).map(([name, reason]) => `${name} failed: ${reason}`),
    `commit ${result.commit}, load ${result.load} at the start, ${result.setting.cpus} cores`,
  ].join('\n')
}

function addCompare(bench: Command): void {
  addCommand(bench, {
    usage: 'compare <before> <after>',
    summary: 'the drift between two kept results, as ratios; refuses what was not made in the same way',
    example: 'bench compare before.json after.json',
    run: async (_context, _options, [before, after]) => {
      const comparison = compareResults(readResult(before!), readResult(after!))
      const isWorse = [...comparison.ratios, ...comparison.scenarios].some((drift) => drift.isWorse)
      return {
        json: comparison,
        text: comparisonText(comparison),
        exitCode: isWorse ? exitCodes.difference : exitCodes.ok,
      }
    },
  })
}

function comparisonText({ before, after, ratios, scenarios }: Comparison): string {
  const rows = (drifts: readonly Drift[]) =>
    drifts.map(({ name, before: then, after: now, ratio, isWorse }) => [
      name,
      String(then),
      String(now),
      ratio.toFixed(2),
      isWorse ? 'worse' : '',
    ])
  return [
    `before: ${before.commit} at load ${before.load}; after: ${after.commit} at load ${after.load}`,
    table([['ratio', 'before', 'after', 'drift', ''], ...rows(ratios)], [1, 2, 3]),
    '',
    table([['scenario', 'before', 'after', 'drift', ''], ...rows(scenarios)], [1, 2, 3]),
  ].join('\n')
}
