/** The one object that a run of `bench` makes, from what its rounds measured. */
import type { Detail, Measurement } from './measure.ts'
import { type MeasureName, type Quantity, RATIOS, type RatioName } from './scenarios.ts'
import { pairedRatio, type Spread, significant, spreadOf } from './statistics.ts'

/** Version of the object's form. */
const FORMAT = 1

/** How a run was made: two runs compare only where all of this is equal. */
export interface BenchSetting {
  readonly transfers: number
  readonly accounts: number
  /** Of measures that run for a time. */
  readonly seconds: number
  readonly cpus: number
  readonly cpu_model: string
  readonly node: string
  /** Settings of Postgres that decide about speed and durability. */
  readonly postgres: Readonly<Record<string, string>>
}

export interface ScenarioResult extends Spread {
  readonly unit: string
  readonly better: 'higher' | 'lower'
  /** In the order of the rounds. */
  readonly values: readonly number[]
  /** Of the measurement whose value is nearest to the median. */
  readonly details: Readonly<Record<string, Detail>>
}

export interface Percentiles {
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

export interface BenchResult {
  readonly format: number
  /** 1-minute load average when the run began. */
  readonly load: number
  readonly commit: string
  /** ISO 8601, UTC. */
  readonly taken_at: string
  readonly rounds: number
  readonly setting: BenchSetting
  readonly scenarios: Readonly<Record<string, ScenarioResult>>
  /** Paired medians; null where not run. */
  readonly ratios: Readonly<Record<RatioName, number | null>>
  /** At half of the measured capacity, ms; null where not run. */
  readonly latency_ms: Readonly<Record<'committed' | 'readable' | 'visible', Percentiles | null>>
  readonly recovery_s: Readonly<Record<'kill' | 'broker', number | null>>
  readonly rss_mib: number | null
  /** Measures that this machine can't take, with the reason. */
  readonly left_out: Readonly<Record<string, string>>
  /** Measures of which a round failed, with the last reason: what their other rounds gave is in `scenarios`. */
  readonly failed: Readonly<Record<string, string>>
}

/** What one measure gave, round by round; null where it wasn't taken. */
export interface Taken {
  readonly unit: string
  readonly better: 'higher' | 'lower'
  readonly rounds: readonly (Measurement | null)[]
}

export interface ResultParts {
  readonly load: number
  readonly commit: string
  readonly takenAt: Date
  readonly rounds: number
  readonly setting: BenchSetting
  readonly taken: ReadonlyMap<MeasureName, Taken>
  readonly leftOut: ReadonlyMap<MeasureName, string>
  readonly failed: ReadonlyMap<MeasureName, string>
}

/** Puts the object together. */
export function resultOf(parts: ResultParts): BenchResult {
  const { taken } = parts
  const scenarios: Record<string, ScenarioResult> = {}
  for (const [name, measure] of taken) {
    const result = scenarioResult(measure)
    if (result !== null) scenarios[name] = result
  }
  const ratios = {} as Record<RatioName, number | null>
  for (const [name, [above, below]] of Object.entries(RATIOS)) {
    const ratio = pairedRatio(valuesOf(taken, above), valuesOf(taken, below))
    ratios[name as RatioName] = ratio === null ? null : significant(ratio)
  }
  return {
    format: FORMAT,
    load: significant(parts.load),
    commit: parts.commit,
    taken_at: parts.takenAt.toISOString(),
    rounds: parts.rounds,
    setting: parts.setting,
    scenarios,
    ratios,
    latency_ms: {
      committed: percentilesOf(scenarios, 'committed'),
      readable: percentilesOf(scenarios, 'readable'),
      visible: percentilesOf(scenarios, 'visible'),
    },
    recovery_s: {
      kill: scenarios.recovery_kill?.median ?? null,
      broker: scenarios.recovery_broker?.median ?? null,
    },
    rss_mib: scenarios.memory?.median ?? null,
    left_out: Object.fromEntries(parts.leftOut),
    failed: Object.fromEntries(parts.failed),
  }
}

/** A quantity round by round. */
function valuesOf(taken: ReadonlyMap<MeasureName, Taken>, quantity: Quantity): (number | null)[] {
  const [name, detail] = quantity.split('.') as [MeasureName, string | undefined]
  return (taken.get(name)?.rounds ?? []).map((measurement) => {
    if (measurement === null || detail === undefined) return measurement?.value ?? null
    const value = measurement.details?.[detail]
    return typeof value === 'number' ? value : null
  })
}

function scenarioResult({ unit, better, rounds }: Taken): ScenarioResult | null {
  const made = rounds.filter((measurement) => measurement !== null)
  if (made.length === 0) return null
  const values = made.map(({ value }) => value)
  const spread = spreadOf(values)
  const typical = made.reduce((nearest, each) =>
    Math.abs(each.value - spread.median) < Math.abs(nearest.value - spread.median) ? each : nearest,
  )
  return {
    unit,
    better,
    min: significant(spread.min),
    median: significant(spread.median),
    max: significant(spread.max),
    values: values.map((value) => significant(value)),
    details: typical.details ?? {},
  }
}

/** Of the latency scenario at half load, whose details hold the percentiles of each stage. */
function percentilesOf(
  scenarios: Readonly<Record<string, ScenarioResult>>,
  stage: 'committed' | 'readable' | 'visible',
): Percentiles | null {
  const found = scenarios.latency?.details[stage] as Record<string, number> | null | undefined
  if (found === undefined || found === null) return null
  return { p50: found.p50!, p99: found.p99!, p999: found.p999! }
}
