/** Two results side by side: drift as ratios, the later to the earlier. What isn't comparable is refused. */
import { ConfigurationError } from '#platform/errors.ts'
import type { BenchResult } from './result.ts'
import { significant } from './statistics.ts'

export interface Drift {
  readonly name: string
  readonly before: number
  readonly after: number
  /** After to before. */
  readonly ratio: number
  /** Whether it is worse by more than both runs' own spread and the threshold. */
  readonly isWorse: boolean
}

export interface Comparison {
  readonly before: { readonly commit: string; readonly load: number }
  readonly after: { readonly commit: string; readonly load: number }
  /** Ratios of the runs themselves (to TPC-B and so on): these survive a machine that is slower today. */
  readonly ratios: readonly Drift[]
  /** Plain numbers of the scenarios: context. */
  readonly scenarios: readonly Drift[]
}

/** A change within this is chance, even where the spread of few rounds is smaller. */
const CHANCE = 0.05

/**
 * Compares two results.
 * @throws ConfigurationError `bench_not_comparable` where they were made in different ways
 */
export function compareResults(before: BenchResult, after: BenchResult): Comparison {
  const differences = settingDifferences(before, after)
  if (differences.length > 0) {
    throw new ConfigurationError(`these runs can't be compared: ${differences.join('; ')}`, {
      code: 'bench_not_comparable',
    })
  }
  const ratios: Drift[] = []
  for (const [name, then] of Object.entries(before.ratios)) {
    const now = after.ratios[name as keyof BenchResult['ratios']] ?? null
    if (then === null || now === null) continue
    ratios.push(driftOf(name, then, now, now < then * (1 - 2 * CHANCE)))
  }
  const scenarios: Drift[] = []
  for (const [name, then] of Object.entries(before.scenarios)) {
    const now = after.scenarios[name]
    if (now === undefined) continue
    const isOutside =
      then.better === 'higher'
        ? now.max < then.min && now.median < then.median * (1 - CHANCE)
        : now.min > then.max && now.median > then.median * (1 + CHANCE)
    scenarios.push(driftOf(name, then.median, now.median, isOutside))
  }
  return {
    before: { commit: before.commit, load: before.load },
    after: { commit: after.commit, load: after.load },
    ratios,
    scenarios,
  }
}

const driftOf = (name: string, before: number, after: number, isWorse: boolean): Drift => ({
  name,
  before,
  after,
  ratio: significant(after / before),
  isWorse,
})

/** In which ways two runs were made differently. */
function settingDifferences(before: BenchResult, after: BenchResult): string[] {
  const found: string[] = []
  const compare = (what: string, a: unknown, b: unknown) => {
    if (a !== b) found.push(`${what}: ${String(a)} and ${String(b)}`)
  }
  compare('format', before.format, after.format)
  if (before.format !== after.format) return found
  const { postgres: postgresBefore, ...settingBefore } = before.setting
  const { postgres: postgresAfter, ...settingAfter } = after.setting
  for (const [name, value] of Object.entries(settingBefore)) {
    compare(name, value, settingAfter[name as keyof typeof settingAfter])
  }
  for (const name of new Set([...Object.keys(postgresBefore), ...Object.keys(postgresAfter)])) {
    compare(`Postgres ${name}`, postgresBefore[name], postgresAfter[name])
  }
  return found
}
