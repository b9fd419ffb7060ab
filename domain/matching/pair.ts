/** What two sources are matched by: whose accounts correspond, how lines become items, the passes, and what counts as which break. */
import { BREAK_SETTINGS, type BreakSettings } from '#domain/breaks/classify.ts'
import { defaultPasses, NO_TOLERANCE, type Pass, type Tolerance } from './passes.ts'

export interface PairSettings {
  /** Ledger account by the bank's name of it; accounts that aren't named keep their name. */
  readonly accounts: ReadonlyMap<string, string>
  /** Whether a line that books several transactions becomes one item each. */
  readonly expandLines: boolean
  /** Whether reports and notifications (camt.052, camt.054, MT942) are matched as well: the statement repeats what they say. */
  readonly takeReports: boolean
  readonly passes: readonly Pass[]
  readonly breaks: BreakSettings
}

/** Settings with the default passes. @param tolerance What is accepted where a reference agrees */
export const pairSettings = (
  accounts: ReadonlyMap<string, string> = new Map(),
  tolerance: Tolerance = NO_TOLERANCE,
): PairSettings => ({
  accounts,
  expandLines: true,
  takeReports: false,
  passes: defaultPasses(tolerance),
  breaks: BREAK_SETTINGS,
})
