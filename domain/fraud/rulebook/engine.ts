/** Rulebooks in the engine: what it keeps features for, and rulebooks out of records of the serial history. */
import { FEATURES, type FeatureName } from '../features/vector.ts'
import type { Rule } from '../rules.ts'
import type { Expression, RuleDefinition, Rulebook } from './definition.ts'
import { parseRulebook } from './parse.ts'

/** Features of parties that the engine keeps nothing of yet: a rule that looks at one is refused, rather than never firing. */
const NOT_KEPT: readonly FeatureName[] = FEATURES.filter(
  (feature) =>
    /^(card|terminal|device)_/.test(feature) ||
    ['account_received_1d', 'account_out_in_percent_1d', 'account_frauds_28d'].includes(feature),
)

/** The rules of a rulebook that look at what the engine doesn't keep, with the feature. */
export const rulesNotKept = (book: Rulebook): { readonly ruleId: string; readonly feature: FeatureName }[] =>
  book.rules.flatMap((rule) => {
    const feature = featuresOfRule(rule).find((each) => NOT_KEPT.includes(each))
    return feature === undefined ? [] : [{ ruleId: rule.id, feature }]
  })

const featuresOfRule = ({ fires, when }: RuleDefinition): FeatureName[] => [
  ...featuresIn(fires),
  ...(when === null ? [] : featuresIn(when)),
]

const featuresIn = (expression: Expression): FeatureName[] => {
  switch (expression.type) {
    case 'compare': {
      const { feature, threshold } = expression
      return typeof threshold === 'object' && 'of' in threshold ? [feature, threshold.of] : [feature]
    }
    case 'listed':
      return []
    case 'not':
      return featuresIn(expression.part)
    default:
      return expression.parts.flatMap(featuresIn)
  }
}

/** Why a text is no rulebook for the engine; null where it is one. */
export const problemOfRulebook = (definition: string): string | null => {
  try {
    const [notKept] = rulesNotKept(parseRulebook(JSON.parse(definition)))
    return notKept === undefined
      ? null
      : `rule ${notKept.ruleId} looks at ${notKept.feature}, which the engine does not keep`
  } catch (error) {
    return (error as Error).message
  }
}

// What a record's text means never changes, so it is read once for the record and once for the rules in force.
const books = new WeakMap<readonly Rule[], Rulebook | null>()

/** The rulebook in force among the active rules; null where there is none. */
export const rulebookOf = (rules: readonly Rule[]): Rulebook | null => {
  const known = books.get(rules)
  if (known !== undefined) return known
  const rule = rules.find(({ type }) => type === 'rulebook')
  const book = rule?.definition == null ? null : parseRulebook(JSON.parse(rule.definition))
  books.set(rules, book)
  return book
}
