/** Rulebooks in the ledger: in force only under four eyes, explained in the decision, the same wherever batches are cut. */
import { expect, test } from 'vitest'
import type { RuleChange } from '../transactions/command.ts'
import type { RuleInput } from './inputs.ts'
import { account, external, MemoryLedger, posting, START_MS, transaction } from './testing/memory-ledger.ts'

let nextOffset = 0n

const ruleRecord = (type: 'rulebook_proposal' | 'rulebook', changes: Partial<RuleChange>): RuleInput => ({
  type: 'rule',
  topic: 'rules',
  partition: 0,
  offset: nextOffset++,
  change: {
    ruleId: type,
    type,
    currency: null,
    threshold: 0n,
    windowMs: 0,
    action: 'alert',
    enabled: true,
    actor: 'ann',
    occurredAt: START_MS,
    ...changes,
  },
})
const rule = (changes: Record<string, unknown> = {}) => ({
  id: 'unusual',
  version: 2,
  title: 'Unusual amount',
  words: '{value} % of the usual amount, limit {threshold} %',
  fires: { feature: 'account_amount_percent', above: 300 },
  weight: 40,
  action: 'alert',
  mode: 'live',
  onError: 'open',
  author: 'ann',
  approvedBy: 'ben',
  ...changes,
})
const text = (rules: unknown[], typologies: unknown[] = []) =>
  JSON.stringify({ format: 1, name: 'book', version: 7, rules, typologies })
const propose = (definition: string, changes: Partial<RuleChange> = {}) =>
  ruleRecord('rulebook_proposal', { definition, ...changes })
const approve = (version: bigint, actor = 'ben') => ruleRecord('rulebook', { approves: version, actor })

const opened = (): MemoryLedger => {
  const ledger = new MemoryLedger()
  ledger.apply([external('bank'), account('alice', { limited: false }), account('bob')])
  return ledger
}
const pay = (id: string, amount: bigint, at = 0) =>
  transaction({ id, occurredAt: START_MS + at, postings: [posting({ amount })] })
const inForce = (definition: string): MemoryLedger => {
  const ledger = opened()
  ledger.apply([propose(definition)])
  ledger.apply([approve(ledger.sequence)])
  expect(ledger.refusals).toEqual([])
  return ledger
}

test('proposed by one, approved by another: only then it is in force', () => {
  const ledger = opened()
  const habit = [1, 2, 3, 4, 5].map((n) => pay(`habit-${n}`, 100n, n))
  ledger.apply([...habit, propose(text([rule()]))])
  const proposed = ledger.sequence
  ledger.apply([pay('early', 1_000n, 10)])
  ledger.apply([approve(proposed, 'ann'), approve(proposed + 9n)])
  ledger.apply([pay('still early', 1_000n, 20)])
  expect(ledger.refusals).toEqual(['approver_is_author', 'proposal_unknown'])
  expect(ledger.decisions.every(({ rules }) => rules.length === 0)).toBe(true)
  ledger.apply([approve(proposed)])
  ledger.apply([pay('late', 1_000n, 30)])
  const { rules, status } = ledger.decisions.at(-1)!
  expect(status).toBe('applied')
  // The payment of 1,000 before it counts as twice the usual amount: that is 133 now.
  expect(rules).toEqual([
    {
      ruleId: 'unusual',
      version: 2n,
      value: 748n,
      threshold: 300n,
      action: 'alert',
      points: 40,
      words: '748 % of the usual amount, limit 300 %',
    },
  ])
})

test('typologies hold; shadow rules are told and do nothing; the payer is what is looked at', () => {
  const ledger = inForce(
    text(
      [
        rule({ id: 'large', fires: { feature: 'amount', above: 500 }, action: 'none', words: 'large' }),
        rule({
          id: 'new',
          fires: { feature: 'counterparty_is_new', atLeast: 1 },
          action: 'none',
          words: 'new',
        }),
        rule({ id: 'dark', fires: { feature: 'amount', above: 0 }, action: 'reject', mode: 'shadow' }),
      ],
      [{ id: 'both', title: 'Both', rules: ['large', 'new'], bands: [{ from: 80, action: 'hold' }] }],
    ),
  )
  ledger.apply([pay('p1', 501n), pay('p2', 501n, 1)])
  const [held, applied] = ledger.decisions
  expect(held!.status).toBe('held')
  expect(held!.rules.map(({ ruleId, action, points }) => [ruleId, action, points])).toEqual([
    ['dark', 'shadow', 40],
    ['large', 'none', 40],
    ['new', 'none', 40],
    ['typology:both', 'hold', 80],
  ])
  expect(applied!.status).toBe('applied')
  expect(applied!.rules.map(({ ruleId }) => ruleId)).toEqual(['dark', 'large'])
})

test('a rule that cannot be worked out raises an alert, and holds where it is closed', () => {
  const byCurrency = { fires: { feature: 'amount', above: { USD: 1 } } }
  const look = (onError: string) => {
    const ledger = inForce(text([rule({ ...byCurrency, onError, action: 'hold' })]))
    const effects = ledger.decide([pay('p', 5n)])
    return [effects.decisions[0]!.status, effects.alerts.map(({ action }) => action)]
  }
  expect(look('open')).toEqual(['applied', ['alert']])
  expect(look('closed')).toEqual(['held', ['hold']])
})

test.each([
  ['no JSON', propose('{'), 'rulebook_invalid'],
  ['a rule that is wrong', propose(text([rule({ action: 'shout' })])), 'rulebook_invalid'],
  [
    'a feature that the engine does not keep',
    propose(text([rule({ when: { not: { feature: 'terminal_risk_permille', above: 5 } } })])),
    'rulebook_invalid',
  ],
  ['no text', ruleRecord('rulebook_proposal', {}), 'rulebook_invalid'],
  ['too long a text', propose(`${text([])}${' '.repeat(131_072)}`), 'field_too_long'],
  ['a card number', propose(text([rule({ title: '4111111111111111' })])), 'card_number_refused'],
  ['an approval of nothing', approve(1n), 'proposal_unknown'],
  ['another name', propose(text([]), { ruleId: 'mine' }), 'rule_invalid'],
  ['switched off', propose(text([]), { enabled: false }), 'rule_invalid'],
])('%s is refused', (_name, record, reason) => {
  const ledger = opened()
  ledger.apply([record])
  expect(ledger.refusals).toEqual([reason])
})

test('wherever batches are cut, decisions and profiles are the same', () => {
  const inputs = Array.from({ length: 60 }, (_, n) =>
    pay(`p${n}`, BigInt(((n * 7_919) % 900) + 1), (n - 60) * 777_000),
  )
  const book = text([
    rule({ action: 'hold' }),
    rule({ id: 'busy', fires: { feature: 'account_count_1h', above: 4 } }),
  ])
  const outcome = (cuts: number[]) => {
    const ledger = inForce(book)
    ledger.apply(inputs, cuts)
    return ledger.decisions.map(({ status, rules }) => [status, rules.map(({ words }) => words)])
  }
  const whole = outcome([60])
  expect(outcome([1])).toEqual(whole)
  expect(outcome([7, 13])).toEqual(whole)
  expect(new Set(whole.map(([status]) => status))).toEqual(new Set(['applied', 'held']))
})
