/** Scores one transaction by the rules in force. Pure: the same rules, profile and transaction give the same hits. */
import { COUNT, type PayerState, SUM } from './features/payer.ts'
import { type CounterWindow, total } from './features/window.ts'
import { type AccountProfile, payerOf } from './profile.ts'
import { evaluateRulebook, type RuledPayment } from './rulebook/evaluate.ts'
import type { Rulebook } from './rulebook/definition.ts'
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
/**
 * What a rulebook finds: rules that fired by their ids, shadows among them, then the typologies that act. A live rule that could
 * not be worked out raises at least an alert.
 */
export const assessByRulebook = (book: Rulebook, payment: RuledPayment): Assessment => {
  const finding = evaluateRulebook(book, payment)
  if (finding.rules.length === 0) return NOTHING
  const hits = finding.rules.map(
    (rule): RuleHit => ({
      ruleId: rule.ruleId,
      version: BigInt(rule.version),
      value: BigInt(rule.value),
      threshold: BigInt(rule.threshold),
      action: rule.isShadow ? 'shadow' : rule.action,
      points: rule.points,
      words: rule.words,
    }),
  )
  for (const { typologyId, score, action, from } of finding.typologies) {
    if (action === 'none') continue
    hits.push({
      ruleId: `typology:${typologyId}`,
      version: BigInt(book.version),
      value: BigInt(score),
      threshold: BigInt(from),
      action,
      points: score,
      words: `${score} points for ${typologyId}, ${action} from ${from}`,
    })
  }
  const isAlarm = finding.rules.some(({ failure, isShadow }) => failure !== null && !isShadow)
  return { action: isAlarm && finding.action === 'none' ? 'alert' : finding.action, hits }
}

/** Both together: the stronger action, all hits. */
export const strongerOf = (first: Assessment, second: Assessment): Assessment => {
  if (second.hits.length === 0) return first
  if (first.hits.length === 0) return second
  return {
    action: STRENGTH[second.action] > STRENGTH[first.action] ? second.action : first.action,
    hits: [...first.hits, ...second.hits],
  }
}

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
      points: 0,
      words: wordsOf(rule, value),
    })
    if (STRENGTH[rule.action] > STRENGTH[action]) action = rule.action
  }
  return hits === null ? NOTHING : { action, hits }
}

const wordsOf = ({ type, windowMs, threshold }: Rule, value: bigint): string => {
  if (type === 'amount_limit') return `amount ${value} minor units, limit ${threshold}`
  const span = windowMs === HOUR_MS ? 'an hour' : 'a day'
  return `${value} ${type === 'velocity_count' ? 'payments' : 'minor units'} in ${span}, limit ${threshold}`
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
