/**
 * In which order held payments are looked at. The priority is a whole number made when the payment is held; the larger comes first:
 *
 *   score (at most 1,000) + 100 × digits of the amount in major units (at most 10) + 50 × each further demand for review (at most 10)
 *
 * The score is the highest one of the typologies that act, else the sum of the points of all live rules. Digits and not the amount
 * itself: amounts of different currencies can't be compared, their sizes roughly can.
 */
import { currencyByCode } from '../money/currency.ts'
import type { RuleHit } from './rules.ts'

const SCORE_MAX = 1_000
const DIGITS_MAX = 10
const DEMANDS_MAX = 10
const PER_DIGIT = 100
const PER_DEMAND = 50
const TYPOLOGY = 'typology:'

/** The priority of a held payment. @param amountMinor what the payer pays, minor units */
export const reviewPriority = (
  hits: readonly RuleHit[],
  { amountMinor, currency }: { readonly amountMinor: bigint; readonly currency: string },
): number => {
  const live = hits.filter(({ action }) => action !== 'shadow')
  const typologies = live.filter(({ ruleId }) => ruleId.startsWith(TYPOLOGY))
  const score =
    typologies.length > 0
      ? Math.max(...typologies.map(({ points }) => points))
      : live.reduce((sum, { points }) => sum + points, 0)
  const digits = Math.max(0, String(amountMinor).length - (currencyByCode(currency)?.exponent ?? 0))
  const further = Math.max(0, live.filter(({ action }) => action === 'hold').length - 1)
  return (
    Math.max(0, Math.min(score, SCORE_MAX)) +
    PER_DIGIT * Math.min(digits, DIGITS_MAX) +
    PER_DEMAND * Math.min(further, DEMANDS_MAX)
  )
}
