/** The object of a run, and what two of them say of each other. */
import { describe, expect, it } from 'vitest'
import { ConfigurationError } from '#platform/errors.ts'
import { compareResults } from './compare.ts'
import { type BenchResult, resultOf, type Taken } from './result.ts'
import type { MeasureName } from './scenarios.ts'

const takenOf = (values: readonly (number | null)[], details: Record<string, number> = {}): Taken => ({
  unit: 'transfers/s',
  better: 'higher',
  rounds: values.map((value) => (value === null ? null : { value, details: { ...details, value } })),
})

const makeResult = (
  taken: readonly (readonly [MeasureName, Taken])[],
  changes: { setting?: Partial<BenchResult['setting']>; commit?: string } = {},
): BenchResult =>
  resultOf({
    load: 1.23456,
    commit: changes.commit ?? 'abc',
    takenAt: new Date(0),
    rounds: 3,
    setting: {
      transfers: 1_000,
      accounts: 10,
      seconds: 1,
      cpus: 2,
      cpu_model: 'x',
      node: 'v24',
      postgres: { fsync: 'on' },
      ...changes.setting,
    },
    taken: new Map(taken),
    leftOut: new Map(),
    failed: new Map(),
  })

describe('a result', () => {
  const result = makeResult([
    ['throughput', takenOf([100, 300, 200])],
    ['tpcb', takenOf([10, 10, 40])],
    ['hot', takenOf([null, null, null])],
  ])

  it('has the spread of each scenario, with the details of the typical round', () => {
    expect(result.scenarios.throughput).toMatchObject({
      min: 100,
      median: 200,
      max: 300,
      values: [100, 300, 200],
      details: { value: 200 },
    })
    expect(result.scenarios).not.toHaveProperty('hot')
  })

  it('has every ratio: the paired median, or null where not run', () => {
    expect(result.ratios).toMatchObject({
      throughput_to_tpcb: 10,
      throughput_to_limit: null,
      hot_to_uniform: null,
    })
    expect(result.latency_ms).toEqual({ committed: null, readable: null, visible: null })
    expect(result.recovery_s).toEqual({ kill: null, broker: null })
    expect(result.rss_mib).toBeNull()
  })
})

it('ratios to a detail of the same measurement, and the latencies of half load', () => {
  const summary = { samples: 9, p50: 1, p99: 2, p999: 3, max: 4 }
  const result = makeResult([
    ['replay', takenOf([300, 500], { apply_per_s: 100 })],
    [
      'latency',
      { unit: 'ms', better: 'lower', rounds: [{ value: 1, details: { committed: summary, visible: null } }] },
    ],
  ])
  expect(result.ratios.replay_to_apply).toBe(4)
  expect(result.latency_ms).toEqual({ committed: { p50: 1, p99: 2, p999: 3 }, readable: null, visible: null })
})

describe('comparing', () => {
  const run = (rates: readonly number[], tpcb: readonly number[], commit = 'abc') =>
    makeResult(
      [
        ['throughput', takenOf(rates)],
        ['tpcb', takenOf(tpcb)],
      ],
      { commit },
    )

  it('shows drift as ratios', () => {
    const { ratios, scenarios, after } = compareResults(
      run([1_000, 1_000, 1_000], [100, 100, 100]),
      run([1_210, 1_100, 1_000], [100, 100, 100], 'def'),
    )
    expect(after.commit).toBe('def')
    expect(ratios).toEqual([
      { name: 'throughput_to_tpcb', before: 10, after: 11, ratio: 1.1, isWorse: false },
    ])
    expect(scenarios.map(({ name, ratio }) => [name, ratio])).toEqual([
      ['throughput', 1.1],
      ['tpcb', 1],
    ])
  })

  it('calls worse what is beyond the spread of both runs, and a machine that is slower as a whole not a worse ratio', () => {
    const slower = compareResults(
      run([990, 1_000, 1_010], [100, 100, 100]),
      run([690, 700, 710], [70, 70, 70]),
    )
    expect(slower.ratios.map(({ isWorse }) => isWorse)).toEqual([false])
    expect(slower.scenarios.map(({ isWorse }) => isWorse)).toEqual([true, true])
    const overlapping = compareResults(
      run([700, 1_000, 1_010], [100, 100, 100]),
      run([690, 700, 990], [100, 100, 100]),
    )
    expect(overlapping.scenarios.map(({ isWorse }) => isWorse)).toEqual([false, false])
    const worse = compareResults(
      run([1_000, 1_000, 1_000], [100, 100, 100]),
      run([850, 850, 850], [100, 100, 100]),
    )
    expect(worse.ratios.map(({ isWorse }) => isWorse)).toEqual([true])
  })

  it('refuses what was made in another way', () => {
    const before = makeResult([['throughput', takenOf([1])]])
    for (const setting of [{ transfers: 2 }, { cpus: 4 }, { postgres: { fsync: 'off' } }]) {
      const after = makeResult([['throughput', takenOf([1])]], { setting })
      expect(() => compareResults(before, after)).toThrow(ConfigurationError)
    }
    const another = makeResult([], { setting: { cpus: 4, postgres: { fsync: 'off' } } })
    expect(() => compareResults(before, another)).toThrow(
      "these runs can't be compared: cpus: 2 and 4; Postgres fsync: on and off",
    )
  })
})
