/** What was decided about a transaction, and why, in one sentence for people. Codes and values are the contract; these words may change. */
import type { Cause, ReasonCode, TransactionStatus } from '../transactions/outcomes.ts'
import { wordsOf } from '../transactions/reason-texts.ts'
import type { RuleHit } from './rules.ts'

/** A decision as far as it is explained. `rules`: undefined where they can't be read (any more). */
export interface ExplainedDecision {
  readonly cause: Cause
  readonly status: TransactionStatus
  readonly reason: ReasonCode | null
  readonly actor: string
  readonly rules: readonly (Pick<RuleHit, 'ruleId' | 'words'> & { readonly action: string })[] | undefined
}

const OUTCOMES: Readonly<Record<TransactionStatus, string>> = {
  applied: 'Applied',
  authorized: 'Authorized',
  held: 'Held for review',
  voided: 'Voided',
  declined: 'Declined',
  expired: 'Expired',
  rejected: 'Rejected',
  duplicate: 'A duplicate, without effect',
}

/** Each: what its rules demand of a payment, strongest first. */
const DEMANDS = [
  ['reject', 'demanding rejection'],
  ['hold', 'demanding review'],
  ['alert', 'alerting'],
  ['none', 'counting for a score'],
  ['shadow', 'in shadow, without effect'],
] as const

/** For example: "Held for review. Found: demanding review: big (amount 100001 minor units, limit 100000)." */
export const explanationOf = ({ cause, status, reason, actor, rules }: ExplainedDecision): string => {
  const by = cause === 'review' ? ` after a review by ${actor}` : cause === 'tick' ? ' in its time' : ''
  const why = reason === null ? '' : `: ${wordsOf(reason) ?? reason}`
  const found = DEMANDS.flatMap(([action, demand]) => {
    const hits = (rules ?? []).filter((rule) => rule.action === action)
    if (hits.length === 0) return []
    return [`${demand}: ${hits.map(({ ruleId, words }) => `${ruleId} (${words})`).join(', ')}`]
  })
  return `${OUTCOMES[status]}${by}${why}.${found.length === 0 ? '' : ` Found: ${found.join('; ')}.`}`
}
