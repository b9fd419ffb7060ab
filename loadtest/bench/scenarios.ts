/** The scenarios that a person names, the measures that each takes, and the ratios that come of them. */

/** Scenario → what it is about, and its measures. One that compares takes what it compares with, too. */
export const SCENARIOS = {
  throughput: {
    summary: 'preloaded transfers until applied and published, everything on, beside pgbench TPC-B',
    measures: ['tpcb', 'throughput'],
  },
  entries: {
    summary: 'the same without the flat topic ledger.entries',
    measures: ['tpcb', 'throughput', 'without_entries'],
  },
  limit: {
    summary: 'the same tables and indexes written by plain set-based SQL over two connections, no engine',
    measures: ['throughput', 'limit'],
  },
  naive: {
    summary: 'a plain consumer, one database transaction a record: eight partitions at once, and one',
    measures: ['throughput', 'naive', 'naive_one'],
  },
  hot: { summary: 'one account in every transfer', measures: ['throughput', 'hot'] },
  zipf: { summary: 'accounts by Zipf’s law, exponent 1', measures: ['throughput', 'zipf'] },
} as const satisfies Record<string, ScenarioDefinition>

export interface ScenarioDefinition {
  readonly summary: string
  readonly measures: readonly string[]
  /** Not part of a run that names no scenarios. */
  readonly onlyByName?: boolean
}

export type ScenarioName = keyof typeof SCENARIOS
export type MeasureName = (typeof SCENARIOS)[ScenarioName]['measures'][number]

/** Ratio → the measures above and below the line. */
export const RATIOS = {
  throughput_to_tpcb: ['throughput', 'tpcb'],
  throughput_to_limit: ['throughput', 'limit'],
  throughput_to_naive: ['throughput', 'naive'],
  throughput_to_naive_one: ['throughput', 'naive_one'],
  without_entries_to_tpcb: ['without_entries', 'tpcb'],
  hot_to_uniform: ['hot', 'throughput'],
  zipf_to_uniform: ['zipf', 'throughput'],
} as const satisfies Record<string, readonly [MeasureName, MeasureName]>

export type RatioName = keyof typeof RATIOS

/** Every scenario that runs when none is named. */
export const usualScenarios = (): ScenarioName[] =>
  names().filter((name) => !(SCENARIOS[name] as ScenarioDefinition).onlyByName)

export const names = (): ScenarioName[] => Object.keys(SCENARIOS) as ScenarioName[]

/** The measures of some scenarios, each once, in the order of the table. */
export function measuresOf(scenarios: readonly ScenarioName[]): MeasureName[] {
  const wanted = new Set<MeasureName>(scenarios.flatMap((name) => [...SCENARIOS[name].measures]))
  const all = new Set<MeasureName>(names().flatMap((name) => [...SCENARIOS[name].measures]))
  return [...all].filter((name) => wanted.has(name))
}

/**
 * The order of measurements: every round takes each measure, every second one backwards, so that a machine that slows down or
 * speeds up does so for all alike.
 */
export function planRounds<Name extends string>(
  measures: readonly { readonly name: Name; readonly once: boolean }[],
  rounds: number,
): { readonly round: number; readonly name: Name }[] {
  const planned: { round: number; name: Name }[] = []
  for (let round = 0; round < rounds; round += 1) {
    const taken = measures.filter(({ once }) => !once || round === 0)
    const ordered = round % 2 === 0 ? taken : taken.toReversed()
    for (const { name } of ordered) planned.push({ round, name })
  }
  return planned
}
