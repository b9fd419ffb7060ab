/**
 * How far back records may reach: settings in the serial history, so that a decision never depends on when somebody deleted
 * what is old. Two records of the topic `rules`, each under its type's name:
 *
 * - `history_horizon`: a transaction whose id was taken longer ago can't be reversed any more (`parent_too_old`). Partitions that
 *   lie wholly beyond it may go. Holds stay, so authorizations are captured and voided whatever their age.
 * - `id_horizon`: a record that claims to have occurred longer ago is `too_old`. Ids that were taken ID_MARGIN_MS before that are
 *   as good as never taken, whether or not their rows were deleted already.
 *
 * A horizon that is moved back or switched off gives nothing back: each version keeps how far the one before it had come.
 */
import type { Rule } from '../fraud/rules.ts'
import type { RuleChange } from '../transactions/command.ts'
import { HORIZON_RULES } from '../transactions/limits.ts'
import type { LedgerState } from './state.ts'

const DAY_MS = 86_400_000

/**
 * Ids outlive the event times that they guard by this: a record may have been taken by the broker long before the ledger's time
 * says so (a backlog can be as old as the topic's retention, 30 days) and may name a time a little ahead of that.
 */
export const ID_MARGIN_MS = 32 * DAY_MS

/** One horizon as its newest version has it. */
export interface Horizon {
  /** How far it lies back from the decision time, ms; null = switched off. */
  readonly lengthMs: number | null
  /** What earlier versions had reached: nothing before it comes back, ms since 1970. */
  readonly fromMs: number | null
}

/** Null = never set. */
export interface Horizons {
  readonly history: Horizon | null
  readonly ids: Horizon | null
}

export const NO_HORIZONS: Horizons = Object.freeze({ history: null, ids: null })

type HorizonRuleType = (typeof HORIZON_RULES)[number]

/** Whether a rule sets a horizon rather than looking for fraud. */
export const isHorizonRule = (rule: Pick<RuleChange, 'type'>): boolean =>
  (HORIZON_RULES as readonly string[]).includes(rule.type)

/** The horizons out of the newest version of each rule. */
export const horizonsOf = (newest: Iterable<Rule>): Horizons => {
  let horizons = NO_HORIZONS
  for (const rule of newest) if (isHorizonRule(rule)) horizons = withHorizon(horizons, rule)
  return horizons
}

/** The horizons once a new version of one is in force. */
export const withHorizon = (horizons: Horizons, rule: Rule): Horizons => {
  const horizon = { lengthMs: rule.enabled ? rule.windowMs : null, fromMs: rule.fromMs ?? null }
  return rule.type === 'history_horizon' ? { ...horizons, history: horizon } : { ...horizons, ids: horizon }
}

const reach = (horizon: Horizon | null, nowMs: number): number | null => {
  if (horizon === null) return null
  if (horizon.lengthMs === null) return horizon.fromMs
  return Math.max(horizon.fromMs ?? Number.MIN_SAFE_INTEGER, nowMs - horizon.lengthMs)
}

/** From when on taken ids can still be reversed, ms since 1970; null = from the beginning. Never moves back. */
export const historyFromMs = (horizons: Horizons, nowMs: number): number | null =>
  reach(horizons.history, nowMs)

/** From when on records may claim to have occurred, ms since 1970; null = any time. Never moves back. */
export const occurredFromMs = (horizons: Horizons, nowMs: number): number | null => reach(horizons.ids, nowMs)

/** From when on taken ids count as taken, ms since 1970; null = from the beginning. Rows before it may be deleted. */
export const idsFromMs = (horizons: Horizons, nowMs: number): number | null => {
  const occurredMs = occurredFromMs(horizons, nowMs)
  return occurredMs === null ? null : occurredMs - ID_MARGIN_MS
}

/** The rule with what its predecessor had reached. */
export const horizonRuleOf = (horizons: Horizons, rule: Rule, nowMs: number): Rule => {
  const before = rule.type === 'history_horizon' ? horizons.history : horizons.ids
  return { ...rule, fromMs: reach(before, nowMs) }
}

/** Ids must outlive what may be reversed: whether the horizons would still stand in that relation. */
export const horizonsFit = (horizons: Horizons, change: RuleChange): boolean => {
  const lengthMs = change.enabled ? change.windowMs : null
  const isHistory = (change.type as HorizonRuleType) === 'history_horizon'
  const historyMs = isHistory ? lengthMs : (horizons.history?.lengthMs ?? null)
  const idsMs = isHistory ? (horizons.ids?.lengthMs ?? null) : lengthMs
  return idsMs === null || (historyMs !== null && historyMs <= idsMs)
}

const isBefore = (timeMs: number, fromMs: number | null): boolean => fromMs !== null && timeMs < fromMs

/** Whether an id that was taken then is as good as never taken. */
export const isForgotten = (state: LedgerState, takenAtMs: number): boolean =>
  isBefore(takenAtMs, idsFromMs(state.horizons, state.time.nowMs))

/** Whether the transaction of this key was decided too long ago to be referred to, but not so long that nothing is known of it. */
export const isParentTooOld = (state: LedgerState, key: string): boolean => {
  const takenAtMs = state.parentsTakenAt.get(key)
  if (takenAtMs === undefined || isForgotten(state, takenAtMs)) return false
  return isBefore(takenAtMs, historyFromMs(state.horizons, state.time.nowMs))
}

/**
 * Takes out of the state what a record may no longer refer to, so that it makes no difference whether it was loaded: the posted
 * parent beyond the history's horizon, and all that is known of a key whose id is forgotten.
 */
export const dropOutOfReach = (state: LedgerState, key: string): void => {
  const takenAtMs = state.parentsTakenAt.get(key)
  if (takenAtMs === undefined) return
  if (isForgotten(state, takenAtMs)) forget(state, key)
  else if (isParentTooOld(state, key)) state.parents.delete(key)
}

/** Takes what hangs on a forgotten id out of the state. */
export const forget = (state: LedgerState, key: string): void => {
  state.parents.delete(key)
  state.holds.delete(key)
  state.labelTargets.delete(key)
}
