/**
 * Releases under four eyes: which held transactions two people must release. Said by records of the topic `rules`, type
 * `second_reviewer`: amounts of a currency above a threshold, or holds that one fraud rule demanded. What applies is settled when the
 * transaction is held and kept with it, so that switching such a rule off frees nothing that waits already.
 *
 * It is enforced here, in the serial history, and not by a gateway: whatever writes to the topic `reviews` (API, command line, another
 * system) comes through this, two releases at the same time are put in order, and a replay proves who agreed.
 */
import type { Rule, RuleHit } from '../fraud/rules.ts'
import type { Posting, RuleChange } from '../transactions/command.ts'
import type { BatchEffects, HoldState } from './state.ts'

const isSecondReviewerRule = (rule: Pick<RuleChange, 'type'>): boolean => rule.type === 'second_reviewer'

/** How many people must release a transaction that is held now. */
export const reviewersOf = (
  rules: readonly Rule[],
  held: { readonly postings: readonly Posting[]; readonly hits: readonly RuleHit[] },
): number => (rules.some((rule) => isSecondReviewerRule(rule) && applies(rule, held)) ? 2 : 1)

const applies = (
  { currency, threshold, definition = null }: Rule,
  { postings, hits }: { readonly postings: readonly Posting[]; readonly hits: readonly RuleHit[] },
): boolean => {
  if (definition !== null && !hits.some(({ ruleId, action }) => ruleId === definition && action === 'hold'))
    return false
  if (currency === null) return true
  let amount = 0n
  for (const posting of postings) if (posting.currency === currency) amount += posting.amount
  return amount > threshold
}

/** Notes a release by `actor`. @returns whether another person's release is still needed */
export const needsAnother = (effects: BatchEffects, hold: HoldState, actor: string): boolean => {
  if (hold.reviewers < 2) return false
  if (hold.releasedBy !== null) return hold.releasedBy === actor
  hold.releasedBy = actor
  effects.holds.add(hold)
  return true
}
