/**
 * A rulebook: fraud rules and typologies as data. A rule looks at one feature, compares it with a threshold, and may ask for more by
 * a typed condition (no program text is ever run). A typology adds up what its rules contribute and has bands that act.
 *
 * Everything is a whole number: amounts in minor units, shares in percent, so that a comparison is exact.
 */
import type { FeatureName } from '../features/vector.ts'
import type { Model } from '../model/model.ts'

/** What the rulebook's model says of a payment: the logarithm of the odds that it is a fraud, in 1/10,000. */
export const MODEL_SCORE = 'model_score'
/** What a comparison may look at. */
export type ValueName = FeatureName | typeof MODEL_SCORE

/** Texts of a record that conditions may look at. */
export const SUBJECTS = [
  'account',
  'card',
  'merchant',
  'terminal',
  'device',
  'counterparty',
  'country',
] as const
export type Subject = (typeof SUBJECTS)[number]

/** What is compared with: a number; one for each currency (`*` = any other); or a percentage of another feature. */
export type Threshold =
  | number
  | { readonly byCurrency: Readonly<Record<string, number>> }
  | { readonly percent: number; readonly of: FeatureName }

export const COMPARISONS = ['above', 'atLeast', 'below', 'atMost'] as const
export type Comparison = (typeof COMPARISONS)[number]

/** A condition. */
export type Expression =
  | {
      readonly type: 'compare'
      readonly feature: ValueName
      readonly comparison: Comparison
      readonly threshold: Threshold
    }
  | { readonly type: 'listed'; readonly subject: Subject; readonly list: string }
  | { readonly type: 'all' | 'any'; readonly parts: readonly Expression[] }
  | { readonly type: 'not'; readonly part: Expression }

export const ACTIONS = ['none', 'alert', 'hold', 'reject'] as const
/** What firing does, from weak to strong. */
export type Action = (typeof ACTIONS)[number]

/** Points beside the weight that grow with the value: `points` for each `every` above the threshold, at most `most`. */
export interface Slope {
  readonly every: number
  readonly points: number
  readonly most: number
}

export interface RuleDefinition {
  readonly id: string
  readonly version: number
  readonly title: string
  /** The explanation; `{value}` and `{threshold}` stand for what was seen and what is allowed. */
  readonly words: string
  /** What must hold for the rule to fire; its value and threshold are what is told. */
  readonly fires: Extract<Expression, { type: 'compare' | 'listed' }>
  /** What must hold besides. */
  readonly when: Expression | null
  readonly scope: {
    /** null = any. */
    readonly currencies: readonly string[] | null
    /** Kinds of transactions; null = any. */
    readonly kinds: readonly string[] | null
  }
  /** Points when it fires. */
  readonly weight: number
  readonly slope: Slope | null
  readonly action: Action
  /** Shadow rules are worked out and told, and do nothing. */
  readonly mode: 'live' | 'shadow'
  /** What a rule that can't be worked out does: open = as if it had not fired, closed = as if it had. */
  readonly onError: 'open' | 'closed'
  readonly author: string
  /** Somebody else than the author; null = not approved: it may only be a shadow. */
  readonly approvedBy: string | null
}

export interface Band {
  /** From so many points on. */
  readonly from: number
  readonly action: Action
}

export interface Typology {
  readonly id: string
  readonly title: string
  /** Ids of rules. */
  readonly rules: readonly string[]
  /** Lowest first. */
  readonly bands: readonly Band[]
}

export interface Rulebook {
  readonly name: string
  readonly version: number
  readonly lists: ReadonlyMap<string, ReadonlySet<string>>
  /** By id. */
  readonly rules: readonly RuleDefinition[]
  readonly typologies: readonly Typology[]
  /** What MODEL_SCORE comes from; null where no rule looks at it. */
  readonly model: Model | null
}

/** What a rule looks at: the values that it names. */
export const valuesNamedBy = ({ fires, when }: RuleDefinition): ValueName[] => [
  ...valuesIn(fires),
  ...(when === null ? [] : valuesIn(when)),
]

const valuesIn = (expression: Expression): ValueName[] => {
  switch (expression.type) {
    case 'compare': {
      const { feature, threshold } = expression
      return typeof threshold === 'object' && 'of' in threshold ? [feature, threshold.of] : [feature]
    }
    case 'listed':
      return []
    case 'not':
      return valuesIn(expression.part)
    default:
      return expression.parts.flatMap(valuesIn)
  }
}
