/**
 * Part of `make test`: a million simulated steps, the same seed twice, and three planted bugs that must be found. A failing seed
 * is printed with how to run it again. `SIMULATION_SEED` sets the first seed, `SIMULATION_STEPS` how far to go.
 */
import { describe, expect, test } from 'vitest'
import { processEnvironment } from '#platform/config/environment.ts'
import { MUTATIONS } from './mutations/mutations.ts'
import { root } from '../source-copy.ts'
import { runSimulation, tryMutation } from './mutations/plant.ts'
import { COMPLETE_STEPS, missingOf } from './scheduler/situations.ts'

const { SIMULATION_SEED, SIMULATION_STEPS } = processEnvironment()
const firstSeed = Number(SIMULATION_SEED || '1')
const steps = Number(SIMULATION_STEPS || '1000000')
/** Steps with faults of each seed. */
const each = 25_000
/** Two at a time, far apart in seeds: there are two cores. */
const APART = 1_000_000
const PLANTED = ['compare-and-swap-dropped', 'ids-not-checked', 'cache-kept-after-another-head']
const TIMEOUT_MS = 600_000

describe('the engine over simulated services', () => {
  test(`${steps} steps from seed ${firstSeed}: every check holds`, { timeout: TIMEOUT_MS }, async () => {
    const seeds = [firstSeed, firstSeed + APART]
    const reports = await Promise.all(
      seeds.map((seed) => runSimulation(root, { seed, steps: Math.ceil(steps / seeds.length), each })),
    )
    for (const report of reports) process.stderr.write(`${JSON.stringify(report)}\n`)
    const failures = reports.map(({ failure }) => failure).filter((failure) => failure !== null)
    expect(failures, `again: node tests/simulation/run.ts --once --trace --each ${each} --seed …`).toEqual([])
    const sum = (name: string) => reports.reduce((total, report) => total + Number(report[name]), 0)
    expect(sum('steps')).toBeGreaterThanOrEqual(steps)
    // Nothing that was to be watched may have slept: a simulation in which nothing happens finds nothing.
    for (const name of ['decided', 'messages', 'crashes', 'cachedAnswers'])
      expect(sum(name)).toBeGreaterThan(0)
    const together: Record<string, number> = {}
    for (const { situations } of reports)
      for (const [name, count] of Object.entries(situations as Record<string, number>))
        together[name] = (together[name] ?? 0) + count
    process.stderr.write(`${JSON.stringify(together)}\n`)
    if (steps >= COMPLETE_STEPS) expect(missingOf(together)).toEqual([])
  })

  test('the same seed gives the same run', { timeout: TIMEOUT_MS }, async () => {
    const once = () => runSimulation(root, { seed: firstSeed, steps: 1, each: 5_000, once: true })
    const [first, second] = await Promise.all([once(), once()])
    const facts = ({ seconds: _seconds, ...rest }: Record<string, unknown>) => rest
    expect(facts(second!)).toEqual(facts(first!))
  })
})

describe('planted bugs', () => {
  test.each(PLANTED)('%s is found', { timeout: TIMEOUT_MS }, async (name) => {
    const mutation = MUTATIONS.find((each) => each.name === name)!
    const outcome = await tryMutation(mutation, { steps: 300_000, each })
    expect(outcome.isFound).toBe(true)
  })
})
