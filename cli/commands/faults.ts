/** `faults`: the engine under fire, on services of its own, judged by a checker that shares no code with it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Command, Option } from 'commander'
import { addCommand, exitCodes } from '#cli/command.ts'
import { wholeOf } from '#cli/options.ts'
import { faultsDataDir, removeLeftovers } from '#loadtest/faults/data-folder.ts'
import { FAULT_KINDS, type Fault } from '#loadtest/faults/fault-plan.ts'
import { runFaults } from '#loadtest/faults/fault-run.ts'
import { hasPassed, reportText, summaryJson } from '#loadtest/faults/report.ts'

interface Options {
  seed: string
  transactions: string
  faults: string
  processes: string
  only?: string[]
  logs?: string
  report?: string
}

const SEED_MAX = 2 ** 31

/** Registers `faults`. */
export function registerFaults(program: Command): void {
  addCommand<Options>(program, {
    usage: 'faults',
    summary:
      'kill, freeze, cut and restart under load, then count: nothing lost, nothing twice (own services)',
    example: 'faults --seed 7 --transactions 20000 --faults 20 --json',
    configure: (command) =>
      command
        .option('--seed <n>', 'which faults and which transactions', '1')
        .option('--transactions <n>', 'how many are sent', '20000')
        .option('--faults <n>', 'how many are committed; from 20 on every kind is among them', '20')
        .option('--processes <n>', 'engine processes', '3')
        .addOption(
          new Option('--only <kind...>', 'kinds of faults to choose from, instead of all').choices(
            FAULT_KINDS,
          ),
        )
        .option('--logs <folder>', "keep the engines' logs")
        .option('--report <file>', 'write the whole report as text'),
    run: async (context, options) => {
      const progress = (message: string) => context.progress(message)
      await removeLeftovers(progress)
      if (options.logs !== undefined) mkdirSync(options.logs, { recursive: true })
      const report = await runFaults({
        seed: wholeOf(options.seed, '--seed', { min: 0, max: SEED_MAX }),
        transactions: wholeOf(options.transactions, '--transactions', { min: 100, max: 100_000_000 }),
        faults: wholeOf(options.faults, '--faults', { min: 0, max: 100_000 }),
        processes: wholeOf(options.processes, '--processes', { min: 1, max: 16 }),
        only: options.only as Fault['kind'][] | undefined,
        dataDir: faultsDataDir(),
        logFolder: options.logs,
        onProgress: progress,
        signal: context.signal,
      })
      const text = reportText(report)
      if (options.report !== undefined) {
        mkdirSync(dirname(options.report), { recursive: true })
        writeFileSync(options.report, `${text}\n`)
      }
      // Whoever asked for JSON still wants to know what is wrong.
      if (context.json) progress(text)
      return {
        json: summaryJson(report),
        text,
        exitCode: hasPassed(report) ? exitCodes.ok : exitCodes.difference,
      }
    },
  })
}
