/** Releases under four eyes are kept to by the ledger itself, whoever writes the reviews. */
import { expect, test } from 'vitest'
import type { RuleChange } from '../transactions/command.ts'
import { validateRuleChange } from '../transactions/validate.ts'
import {
  account,
  external,
  MemoryLedger,
  posting,
  review,
  ruled,
  START_MS,
  transaction,
} from './testing/memory-ledger.ts'

const second = (changes: Partial<RuleChange> = {}): RuleChange => ({
  ruleId: 'large_releases',
  type: 'second_reviewer',
  currency: 'EUR',
  threshold: 5_000n,
  windowMs: 0,
  action: 'hold',
  enabled: true,
  actor: 'head of risk',
  occurredAt: START_MS,
  ...changes,
})
const limit = (ruleId: string, threshold: bigint): RuleChange =>
  second({ ruleId, type: 'amount_limit', threshold })

/** Above 10.00 a payment is held. */
const holding = (...changes: RuleChange[]): MemoryLedger => {
  const ledger = new MemoryLedger()
  ledger.apply([external('bank'), account('alice', { limited: false }), account('bob')])
  ledger.apply([limit('big', 1_000n), ...changes].map(ruled))
  return ledger
}
const pay = (id: string, amount: bigint) => transaction({ id, postings: [posting({ amount })] })
const release = (id: string, actor: string) => by(review(id, 'release'), actor)
const decline = (id: string, actor: string) => by(review(id, 'decline'), actor)
const by = (input: ReturnType<typeof review>, actor: string) => ({
  ...input,
  review: { ...input.review, actor },
})
const statuses = (ledger: MemoryLedger) => ledger.decisions.map(({ status }) => status)

test.each([[[100]], [[1]]])('above the threshold another person must release too (cut %j)', (cuts) => {
  const ledger = holding(second())
  ledger.apply([pay('p', 5_001n), release('p', 'ann'), release('p', 'ann'), release('p', 'ben')], cuts)
  expect(ledger.refusals).toEqual(['second_reviewer_needed', 'second_reviewer_needed'])
  expect(statuses(ledger)).toEqual(['held', 'applied'])
  expect(ledger.decisions.at(-1)!.actor).toBe('ben')
  expect([...ledger.holds.values()]).toMatchObject([{ reviewers: 2, releasedBy: 'ann', status: 'released' }])
})

test('up to the threshold, and in another currency, one is enough', () => {
  const ledger = holding(second(), second({ ruleId: 'dollars', currency: 'USD', threshold: 0n }))
  ledger.apply([pay('p', 5_000n), release('p', 'ann')])
  expect(statuses(ledger)).toEqual(['held', 'applied'])
})

test('to decline, one is enough, also after another has released', () => {
  const ledger = holding(second())
  ledger.apply([pay('p', 6_000n), release('p', 'ann'), decline('p', 'ben'), release('p', 'cat')])
  expect(statuses(ledger)).toEqual(['held', 'declined'])
  expect(ledger.refusals).toEqual(['second_reviewer_needed', 'not_held'])
})

test('for what one fraud rule demanded, whatever the amount', () => {
  const ledger = holding(
    limit('bigger', 3_000n),
    second({ currency: null, threshold: 0n, definition: 'bigger' }),
  )
  ledger.apply([pay('small', 2_000n), pay('large', 3_001n), release('small', 'ann'), release('large', 'ann')])
  expect(statuses(ledger)).toEqual(['held', 'held', 'applied'])
  expect(ledger.refusals).toEqual(['second_reviewer_needed'])
})

test('what was held before keeps what applied then', () => {
  const ledger = holding(second())
  ledger.apply([pay('before', 6_000n), ruled(second({ enabled: false })), pay('after', 6_000n)])
  ledger.apply([release('before', 'ann'), release('after', 'ann')])
  expect(ledger.refusals).toEqual(['second_reviewer_needed'])
  expect(statuses(ledger)).toEqual(['held', 'held', 'applied'])
})

test.each<[Partial<RuleChange>, string | null]>([
  [{}, null],
  [{ currency: null, threshold: 0n, definition: 'big' }, null],
  [{ definition: 'big' }, null],
  [{ currency: null, threshold: 0n }, 'rule_invalid'],
  [{ currency: null, definition: 'big' }, 'rule_invalid'],
  [{ definition: '' }, 'rule_invalid'],
  [{ definition: 'x'.repeat(65) }, 'rule_invalid'],
  [{ action: 'alert' }, 'rule_invalid'],
  [{ windowMs: 3_600_000 }, 'rule_invalid'],
  [{ approves: 1n }, 'rule_invalid'],
  [{ threshold: -1n }, 'rule_invalid'],
  [{ ruleId: 'rulebook' }, 'rule_invalid'],
])('a rule that is said so (%#)', (changes, refusal) => {
  expect(validateRuleChange(second(changes))).toBe(refusal)
})
