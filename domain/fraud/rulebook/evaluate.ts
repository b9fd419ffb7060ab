/** Works a rulebook out for one payment: which rules fire, with value, threshold, points and words, and what the typologies come to. */
import type { FeatureValues } from '../features/vector.ts'
import { explainScore, type Model, modelInput, scoreOf } from '../model/model.ts'
import {
  type Action,
  type Expression,
  MODEL_SCORE,
  type RuleDefinition,
  type Rulebook,
  type Subject,
  type Threshold,
  type ValueName,
  valuesNamedBy,
} from './definition.ts'

/** What a payment is, for rules. */
export interface RuledPayment {
  readonly values: FeatureValues
  readonly currency: string
  readonly kind: string
  /** null or absent = the record doesn't say. */
  readonly subjects: Readonly<Partial<Record<Subject, string | null>>>
}

/** A rule that fired, or that could not be worked out and is closed then. */
export interface RuleFinding {
  readonly ruleId: string
  readonly version: number
  /** What was seen; for lists 1. */
  readonly value: number
  /** What is allowed; for lists 0. */
  readonly threshold: number
  /** What it adds to a typology's score. */
  readonly points: number
  readonly action: Action
  readonly isShadow: boolean
  /** The rule could not be worked out: why. */
  readonly failure: 'no_threshold_for_currency' | null
  readonly words: string
}

export interface TypologyFinding {
  readonly typologyId: string
  readonly score: number
  readonly action: Action
  /** Where the band begins that was reached; 0 = none was. */
  readonly from: number
}

export interface RulebookFinding {
  /** The strongest action of live rules and of bands. */
  readonly action: Action
  /** The highest score of a typology. */
  readonly score: number
  /** By rule id: those that fired, live and shadow, and every one that failed. */
  readonly rules: readonly RuleFinding[]
  /** Those with a score. */
  readonly typologies: readonly TypologyFinding[]
}

/** A payment with what the model says of it, worked out once, when the first rule asks. */
class SeenPayment {
  readonly payment: RuledPayment
  readonly #model: Model | null
  #input: Float64Array | null = null
  #score = 0

  constructor(model: Model | null, payment: RuledPayment) {
    this.payment = payment
    this.#model = model
  }

  value(name: ValueName): number {
    return name === MODEL_SCORE ? this.#scored() : this.payment.values[name]
  }

  /** The model by name and version, its score, and what moved it most. */
  modelWords(): string {
    const score = this.#scored()
    const model = this.#model!
    const moved = explainScore(model, this.#input!)
      .slice(0, REASONS_MAX)
      .map(({ feature, value, points }) => `${feature} ${value}: ${points > 0 ? '+' : ''}${points}`)
    return `model ${model.name} ${model.version} scores ${score} (${moved.join(', ')})`
  }

  #scored(): number {
    if (this.#input !== null) return this.#score
    // parseRulebook refuses rules that look at a model that isn't there.
    const model = this.#model!
    this.#input = modelInput(model, this.payment.values, new Float64Array(model.features.length))
    this.#score = scoreOf(model, this.#input)
    return this.#score
  }
}

const REASONS_MAX = 3
const STRENGTH: Readonly<Record<Action, number>> = { none: 0, alert: 1, hold: 2, reject: 3 }
const stronger = (a: Action, b: Action): Action => (STRENGTH[b] > STRENGTH[a] ? b : a)

const NOTHING: RulebookFinding = Object.freeze({ action: 'none', score: 0, rules: [], typologies: [] })

/** Pure: the same book and payment give the same finding. Shadow rules are found and add nothing. */
export const evaluateRulebook = (book: Rulebook, payment: RuledPayment): RulebookFinding => {
  const rules: RuleFinding[] = []
  const seen = new SeenPayment(book.model, payment)
  let action: Action = 'none'
  for (const rule of book.rules) {
    const finding = findingOf(book, rule, seen)
    if (finding === null) continue
    rules.push(finding)
    if (finding.isShadow) continue
    action = stronger(action, finding.action)
  }
  if (rules.length === 0) return NOTHING
  const points = new Map(rules.map((rule) => [rule.ruleId, rule.isShadow ? 0 : rule.points]))
  const typologies: TypologyFinding[] = []
  let highest = 0
  for (const { id, rules: own, bands } of book.typologies) {
    const score = own.reduce((sum, rule) => sum + (points.get(rule) ?? 0), 0)
    if (score === 0) continue
    const band = bands.findLast(({ from }) => score >= from) ?? { from: 0, action: 'none' as const }
    typologies.push({ typologyId: id, score, ...band })
    action = stronger(action, band.action)
    highest = Math.max(highest, score)
  }
  return { action, score: highest, rules, typologies }
}

/** What a rule found; null where it didn't fire. A rule that fails and is open is found without points and action. */
const findingOf = (book: Rulebook, rule: RuleDefinition, seen: SeenPayment): RuleFinding | null => {
  const { payment } = seen
  const { currencies, kinds } = rule.scope
  if (currencies !== null && !currencies.includes(payment.currency)) return null
  if (kinds !== null && !kinds.includes(payment.kind)) return null
  const failure = failureOf(rule, payment)
  if (failure === null) {
    if (!holds(book, rule.fires, seen)) return null
    if (rule.when !== null && !holds(book, rule.when, seen)) return null
  }
  const { value, threshold } = seenBy(rule, seen, failure !== null)
  const isOff = failure !== null && rule.onError === 'open'
  return {
    ruleId: rule.id,
    version: rule.version,
    value,
    threshold,
    points: isOff ? 0 : failure === null ? pointsOf(rule, value, threshold) : rule.weight,
    action: isOff ? 'none' : rule.action,
    isShadow: rule.mode === 'shadow',
    failure,
    words:
      failure === null
        ? wordsOf(rule, seen, { value, threshold })
        : `${rule.title}: no threshold for ${payment.currency}`,
  }
}

const wordsOf = (
  rule: RuleDefinition,
  seen: SeenPayment,
  { value, threshold }: { readonly value: number; readonly threshold: number },
): string => {
  const words = rule.words.replaceAll('{value}', String(value)).replaceAll('{threshold}', String(threshold))
  return valuesNamedBy(rule).includes(MODEL_SCORE) ? `${words}; ${seen.modelWords()}` : words
}

const failureOf = (rule: RuleDefinition, { currency }: RuledPayment): RuleFinding['failure'] =>
  lacks(rule.fires, currency) || (rule.when !== null && lacks(rule.when, currency))
    ? 'no_threshold_for_currency'
    : null

/** Whether a comparison in it has no threshold for the currency. */
const lacks = (expression: Expression, currency: string): boolean => {
  switch (expression.type) {
    case 'compare': {
      const { threshold } = expression
      if (typeof threshold === 'number' || !('byCurrency' in threshold)) return false
      return (threshold.byCurrency[currency] ?? threshold.byCurrency['*']) === undefined
    }
    case 'listed':
      return false
    case 'not':
      return lacks(expression.part, currency)
    default:
      return expression.parts.some((part) => lacks(part, currency))
  }
}

const holds = (book: Rulebook, expression: Expression, seen: SeenPayment): boolean => {
  switch (expression.type) {
    case 'compare': {
      const threshold = thresholdOf(expression.threshold, seen)
      return threshold !== null && compare(seen.value(expression.feature), expression.comparison, threshold)
    }
    case 'listed': {
      const text = seen.payment.subjects[expression.subject] ?? null
      return text !== null && book.lists.get(expression.list)?.has(text) === true
    }
    case 'all':
      return expression.parts.every((part) => holds(book, part, seen))
    case 'any':
      return expression.parts.some((part) => holds(book, part, seen))
    case 'not':
      return !holds(book, expression.part, seen)
    default:
      throw new Error(`unknown expression ${String(expression satisfies never)}`)
  }
}

const compare = (value: number, comparison: string, threshold: number): boolean => {
  switch (comparison) {
    case 'above':
      return value > threshold
    case 'atLeast':
      return value >= threshold
    case 'below':
      return value < threshold
    default:
      return value <= threshold
  }
}

/** A percentage is cut down to whole units, exactly; null where the currency has no threshold. */
const thresholdOf = (threshold: Threshold, seen: SeenPayment): number | null => {
  if (typeof threshold === 'number') return threshold
  if ('byCurrency' in threshold)
    return threshold.byCurrency[seen.payment.currency] ?? threshold.byCurrency['*'] ?? null
  const whole = seen.value(threshold.of)
  const product = whole * threshold.percent
  // Of a multiple of 100 the hundredth is exact.
  if (product <= Number.MAX_SAFE_INTEGER) return (product - (product % 100)) / 100
  const share = (BigInt(whole) * BigInt(threshold.percent)) / 100n
  return share > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(share)
}

const seenBy = (
  { fires }: RuleDefinition,
  seen: SeenPayment,
  isFailed: boolean,
): { value: number; threshold: number } => {
  if (fires.type === 'listed') return { value: isFailed ? 0 : 1, threshold: 0 }
  return {
    value: seen.value(fires.feature),
    threshold: thresholdOf(fires.threshold, seen) ?? 0,
  }
}

const pointsOf = ({ weight, slope }: RuleDefinition, value: number, threshold: number): number => {
  if (slope === null) return weight
  const steps = Math.floor(Math.abs(value - threshold) / slope.every)
  // Compared before multiplied: both stay exact.
  const grown = steps >= Math.ceil(slope.most / slope.points) ? slope.most : steps * slope.points
  return weight + grown
}
