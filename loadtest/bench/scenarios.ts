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
  fraud: {
    summary: 'the built-in rulebook in force (as everywhere here), and none',
    measures: ['throughput', 'fraud_off'],
  },
  scale: {
    summary: 'two and four processors, 64 partitions, four ledgers',
    measures: ['throughput', 'two_processors', 'four_processors', 'partitions_64', 'four_ledgers'],
  },
  latency: {
    summary: 'open-loop load at 10, 50 and 80 % of capacity: until committed, readable, visible over HTTP',
    measures: ['throughput', 'latency'],
  },
  query: {
    summary: 'GET /balance beside a bare Fastify route on Redis, GET /transactions, 10,000 connections',
    measures: ['query'],
  },
  recovery: {
    summary: 'how soon it goes on after SIGKILL and after a restart of the broker; catching up',
    measures: ['throughput', 'recovery_kill', 'recovery_broker'],
  },
  replay: { summary: 'audit replay beside applying', measures: ['replay'] },
  memory: {
    summary: 'memory at full speed with a backlog, and time to start',
    measures: ['throughput', 'memory'],
  },
  growth: {
    summary: 'with --growth transactions stored, beside empty; bytes a transaction',
    measures: ['growth'],
    onlyByName: true,
  },
  soak: {
    summary: '--soak-minutes at 70 % of capacity: rate, memory, latency, bloat by quarter',
    measures: ['throughput', 'soak'],
    onlyByName: true,
  },
  matching: {
    summary:
      'as many statement lines on the topic as entries of a nostro account, until every match is committed',
    measures: ['matching'],
    onlyByName: true,
  },
} as const satisfies Record<string, ScenarioDefinition>

export interface ScenarioDefinition {
  readonly summary: string
  readonly measures: readonly string[]
  /** Not part of a run that names no scenarios. */
  readonly onlyByName?: boolean
}

export type ScenarioName = keyof typeof SCENARIOS
export type MeasureName = (typeof SCENARIOS)[ScenarioName]['measures'][number]

/** Ratio → what is above and below the line: a measure, or `measure.detail` of it. */
export const RATIOS = {
  throughput_to_tpcb: ['throughput', 'tpcb'],
  throughput_to_limit: ['throughput', 'limit'],
  throughput_to_naive: ['throughput', 'naive'],
  throughput_to_naive_one: ['throughput', 'naive_one'],
  without_entries_to_tpcb: ['without_entries', 'tpcb'],
  hot_to_uniform: ['hot', 'throughput'],
  zipf_to_uniform: ['zipf', 'throughput'],
  two_to_one: ['two_processors', 'throughput'],
  four_ledgers_to_one: ['four_ledgers', 'throughput'],
  grown_to_empty: ['growth', 'growth.empty_per_s'],
  query_to_bare: ['query', 'query.bare_per_s'],
  fraud_on_to_off: ['throughput', 'fraud_off'],
  replay_to_apply: ['replay', 'replay.apply_per_s'],
} as const satisfies Record<string, readonly [Quantity, Quantity]>

export type Quantity = MeasureName | `${MeasureName}.${string}`
export type RatioName = keyof typeof RATIOS

/** Every scenario that runs when none is named. */
export const usualScenarios = (): ScenarioName[] =>
  names().filter((name) => !(SCENARIOS[name] as ScenarioDefinition).onlyByName)

/** What a quick run has time for. */
export const QUICK_SCENARIOS: readonly ScenarioName[] = [
  'throughput',
  'limit',
  'hot',
  'fraud',
  'replay',
  'memory',
]

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
