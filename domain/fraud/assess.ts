/** Scores one transaction by the rules in force. Pure: the same rules, profile and transaction give the same hits. */
import { COUNT, type PayerState, SUM } from './features/payer.ts'
import { type CounterWindow, total } from './features/window.ts'
import { type AccountProfile, payerOf } from './profile.ts'
import type { Rule, RuleHit } from './rules.ts'

export interface AssessmentInput {
  /** In force, sorted by rule id (activeRules). */
  readonly rules: readonly Rule[]
  /** What the payer pays, minor units. */
  readonly amountMinor: bigint
  readonly currency: string
  /** Event time, ms since 1970. */
  readonly occurredAt: number
  /** The payer's, without this transaction. */
  readonly profile: AccountProfile
}

export interface Assessment {
  /** The strongest action of all rules that fired. */
  readonly action: 'none' | 'alert' | 'hold' | 'reject'
  /** By rule id. */
  readonly hits: readonly RuleHit[]
}

const NOTHING: Assessment = Object.freeze({ action: 'none', hits: Object.freeze([]) })
const STRENGTH = { none: 0, alert: 1, hold: 2, reject: 3 } as const
const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000

/**
 * Every rule whose value, this transaction included, is above its threshold. A rule with a currency looks only at
 * transactions in it; versions of types that this code doesn't know don't fire.
 */
export const assessTransaction = (input: AssessmentInput): Assessment => {
  let action: Assessment['action'] = 'none'
  let hits: RuleHit[] | null = null
  for (const rule of input.rules) {
    if (rule.currency !== null && rule.currency !== input.currency) continue
    if (rule.action === 'unknown') continue
    const value = featureOf(rule, input)
    if (value === null || value <= rule.threshold) continue
    hits ??= []
    hits.push({
      ruleId: rule.ruleId,
      version: rule.version,
      value,
      threshold: rule.threshold,
      action: rule.action,
    })
    if (STRENGTH[rule.action] > STRENGTH[action]) action = rule.action
  }
  return hits === null ? NOTHING : { action, hits }
}

const featureOf = (rule: Rule, input: AssessmentInput): bigint | null => {
  if (rule.type === 'amount_limit') return input.amountMinor
  if (rule.type !== 'velocity_count' && rule.type !== 'velocity_sum') return null
  const payer = payerOf(input.profile)
  const window = windowOf(rule, payer)
  if (window === null) return null
  const column = rule.type === 'velocity_count' ? COUNT : SUM
  const before = BigInt(total(window, input.occurredAt, column, window.shape.buckets))
  return rule.type === 'velocity_count' ? before + 1n : before + input.amountMinor
}

const windowOf = (rule: Rule, payer: PayerState): CounterWindow | null => {
  if (rule.windowMs === HOUR_MS) return payer.hour
  return rule.windowMs === DAY_MS ? payer.day : null
}
