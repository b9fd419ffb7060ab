/** Every action that rules may demand is said in words, with what was seen and what is allowed. */
import { expect, test } from 'vitest'
import { type ExplainedDecision, explanationOf } from './explain.ts'

const decision = (changes: Partial<ExplainedDecision>): ExplainedDecision => ({
  cause: 'transaction',
  status: 'applied',
  reason: null,
  actor: 'shop',
  rules: [],
  ...changes,
})
const hit = (ruleId: string, action: string) => ({ ruleId, action, words: `${ruleId} words` })

test.each<[Partial<ExplainedDecision>, string]>([
  [{}, 'Applied.'],
  [{ rules: [hit('a', 'alert')] }, 'Applied. Found: alerting: a (a words).'],
  [
    { status: 'held', rules: [hit('a', 'alert'), hit('b', 'hold'), hit('c', 'hold')] },
    'Held for review. Found: demanding review: b (b words), c (c words); alerting: a (a words).',
  ],
  [
    { status: 'rejected', reason: 'fraud_rejected', rules: [hit('r', 'reject'), hit('s', 'shadow')] },
    'Rejected: a fraud rule rejects it. Found: demanding rejection: r (r words); in shadow, without effect: s (s words).',
  ],
  [{ rules: [hit('n', 'none')] }, 'Applied. Found: counting for a score: n (n words).'],
  [{ cause: 'review', actor: 'eve' }, 'Applied after a review by eve.'],
  [{ cause: 'tick', status: 'expired' }, 'Expired in its time.'],
  [
    { status: 'rejected', reason: 'unknown_account', rules: undefined },
    'Rejected: an account that it names was never opened.',
  ],
])('%j', (changes, words) => {
  expect(explanationOf(decision(changes))).toBe(words)
})
