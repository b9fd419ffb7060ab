/**
 * Runs simulations: `node tests/simulation/run.ts --seed 1 --steps 1000000 [--trace] [--once] [--json]`. One seed after the other until
 * the steps are done; a failing seed is printed and ends the run with exit code 1. `--once` runs the one seed alone.
 */
import { parseArgs } from 'node:util'
import { COMPLETE_STEPS, missingOf } from './scheduler/situations.ts'
import { type RunResult, runSeed } from './world/run-seed.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    steps: { type: 'string', default: '1000000' },
    /** Steps with faults of each seed. */
    each: { type: 'string', default: '25000' },
    once: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})

const total = Number(values.steps)
const each = Number(values.each)
const sums: Record<string, number> = {}
let steps = 0
let seed = Number(values.seed)
let failed: RunResult | null = null
const situations: Record<string, number> = {}
const hashes: string[] = []
const started = performance.now()
while (failed === null && (steps < total || steps === 0)) {
  const result = await runSeed({
    seed,
    steps: each,
    ...(values.trace ? { onTrace: (line) => process.stdout.write(`${line}\n`) } : {}),
  })
  steps += result.steps
  hashes.push(result.hash)
  for (const [name, count] of Object.entries(result.counts)) sums[name] = (sums[name] ?? 0) + count
  for (const [name, count] of Object.entries(result.situations))
    situations[name] = (situations[name] ?? 0) + count
  if (result.failure !== null) failed = result
  seed += 1
  if (values.once) break
}
const seconds = (performance.now() - started) / 1_000
const report = {
  firstSeed: Number(values.seed),
  seeds: hashes.length,
  steps,
  seconds: Math.round(seconds * 10) / 10,
  ...sums,
  hash: hashes.at(-1),
  situations,
  neverHappened: missingOf(situations),
  failure:
    failed === null
      ? null
      : {
          seed: failed.seed,
          check: failed.failure!.check,
          steps: failed.steps,
          message: failed.failure!.message,
        },
}
if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`)
else {
  if (failed !== null) {
    process.stdout.write(`${failed.failure!.lately.slice(-120).join('\n')}\n`)
    process.stdout.write(
      `\nseed ${failed.seed} failed after ${failed.steps} steps: ${failed.failure!.message}\n` +
        `again: node tests/simulation/run.ts --once --seed ${failed.seed} --each ${each} --trace\n`,
    )
  }
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
}
// In a short run not everything has to happen.
const isIncomplete = steps >= COMPLETE_STEPS && report.neverHappened.length > 0
process.exitCode = failed === null && !isIncomplete ? 0 : 1
