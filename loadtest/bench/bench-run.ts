/** One run: its services, its rounds, and the object that comes of them. */
import { cpus, loadavg } from 'node:os'
import { OperatingError } from '#platform/errors.ts'
import type { BenchStack } from './bench-stack.ts'
import { type Extent, Lab } from './lab.ts'
import type { Measurement } from './measure.ts'
import { MeasureUnavailable } from './measure-unavailable.ts'
import { MEASURES } from './measures.ts'
import { removeTpcb } from './measures/tpcb.ts'
import { checkpoint, readSettings, requireDurable, requireSame } from './postgres-settings.ts'
import { type BenchResult, resultOf, type Taken } from './result.ts'
import { type MeasureName, measuresOf, planRounds, type ScenarioName } from './scenarios.ts'
import { significant } from './statistics.ts'

export interface BenchOptions {
  readonly scenarios: readonly ScenarioName[]
  readonly rounds: number
  readonly extent: Extent
  readonly stack: BenchStack
  /** Of the source, with `+` behind it where that has changes. */
  readonly commit: string
  readonly progress: (message: string) => void
  readonly signal: AbortSignal
}

/**
 * Takes all measures of the scenarios, round by round.
 * @throws OperatingError `bench_not_comparable`, and where the services themselves can't be used
 */
export async function runBench(options: BenchOptions): Promise<BenchResult> {
  const { stack, extent, progress, signal } = options
  const load = loadavg()[0]!
  const takenAt = new Date()
  const databaseUrl = stack.endpoints.databaseUrl!
  const postgres = await readSettings(databaseUrl)
  requireDurable(postgres)
  const lab = new Lab({ stack, extent, progress, signal })
  const names = measuresOf(options.scenarios)
  const taken = new Map(names.map((name) => [name, emptyTaken(name, options.rounds)]))
  const [leftOut, failed] = [new Map<MeasureName, string>(), new Map<MeasureName, string>()]
  const plan = planRounds(
    names.map((name) => ({ name, once: MEASURES[name].once === true })),
    options.rounds,
  )
  try {
    for (const [place, { round, name }] of plan.entries()) {
      if (leftOut.has(name)) continue
      signal.throwIfAborted()
      await checkpoint(databaseUrl)
      const measurement = await measureOne(name, lab, { leftOut, failed })
      if (measurement === null) continue
      taken.get(name)!.rounds[round] = measurement
      lab.taken.set(name, measurement)
      const value = significant(measurement.value)
      progress(`${place + 1}/${plan.length} ${name}: ${value.toLocaleString('en')} ${MEASURES[name].unit}`)
    }
    requireSame(postgres, await readSettings(databaseUrl))
  } finally {
    await removeTpcb(databaseUrl)
  }
  return resultOf({
    load,
    commit: options.commit,
    takenAt,
    rounds: options.rounds,
    setting: {
      transfers: extent.transfers,
      accounts: extent.accounts,
      seconds: extent.seconds,
      cpus: cpus().length,
      cpu_model: cpus()[0]?.model ?? 'unknown',
      node: process.version,
      postgres,
    },
    taken,
    leftOut,
    failed,
  })
}

/** One that fails ends alone: what was measured before it, and what comes, is kept. */
async function measureOne(
  name: MeasureName,
  lab: Lab,
  { leftOut, failed }: { leftOut: Map<MeasureName, string>; failed: Map<MeasureName, string> },
): Promise<Measurement | null> {
  const load = loadavg()[0]!
  try {
    const measurement = await MEASURES[name].run(lab)
    return { ...measurement, details: { ...measurement.details, load: significant(load, 3) } }
  } catch (error) {
    lab.signal.throwIfAborted()
    if (error instanceof MeasureUnavailable) {
      lab.progress(`${name} is left out: ${error.message}`)
      leftOut.set(name, error.message)
      return null
    }
    if (!(error instanceof OperatingError)) throw error
    lab.progress(`${name} failed: ${error.code}: ${error.message}`)
    failed.set(name, `${error.code}: ${error.message}`)
    return null
  }
}

const emptyTaken = (name: MeasureName, rounds: number): Taken & { rounds: (Measurement | null)[] } => {
  const { unit, better } = MEASURES[name]
  return { unit, better, rounds: Array.from({ length: rounds }, () => null) }
}
