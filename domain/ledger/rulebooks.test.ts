/** Rulebooks in the ledger: in force only under four eyes, explained in the decision, the same wherever batches are cut. */
import { expect, test } from 'vitest'
import { encodeParty } from '../fraud/parties.ts'
import type { RuleChange } from '../transactions/command.ts'
import {
  account,
  external,
  MemoryLedger,
  posting,
  putRulebook,
  review,
  rulebook,
  START_MS,
  tick,
  transaction,
} from './testing/memory-ledger.ts'

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
  rulebook('rulebook_proposal', { definition, ...changes })
const approve = (version: bigint, actor = 'ben') => rulebook('rulebook', { approves: version, actor })

const opened = (): MemoryLedger => {
  const ledger = new MemoryLedger()
  ledger.apply([external('bank'), account('alice', { limited: false }), account('bob')])
  return ledger
}
const pay = (id: string, amount: bigint, at = 0) =>
  transaction({ id, occurredAt: START_MS + at, postings: [posting({ amount })] })
const inForce = (definition: string): MemoryLedger => {
  const ledger = opened()
  putRulebook(ledger, JSON.parse(definition))
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
  ['an unknown feature', propose(text([rule({ fires: { feature: 'mood', above: 5 } })])), 'rulebook_invalid'],
  ['no text', rulebook('rulebook_proposal', {}), 'rulebook_invalid'],
  [
    'no model for its score',
    propose(text([rule({ fires: { feature: 'model_score', above: 5 } })])),
    'rulebook_invalid',
  ],
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

const counted = (feature: string, above: number, changes: Record<string, unknown> = {}) =>
  rule({ id: feature, fires: { feature, above }, action: 'alert', words: '{value}', ...changes })
const seenBy = (ledger: MemoryLedger) =>
  ledger.decisions.map(({ rules }) => rules.map(({ ruleId, value }) => `${ruleId}=${value}`).join(' '))

test("the model's score decides; what its features need is kept though no rule names it", () => {
  const model = {
    format: 1,
    name: 'm',
    version: '1',
    training: {},
    features: ['terminal_count_1d'],
    base: -50,
    trees: ['0,2,1,2,0 v-10 v90'],
  }
  const ledger = inForce(
    JSON.stringify({
      ...(JSON.parse(
        text([rule({ fires: { feature: 'model_score', above: 0 }, action: 'hold' })]),
      ) as object),
      model,
    }),
  )
  const at = (id: string, terminal: string | null) =>
    transaction({ id, terminal, postings: [posting({ amount: 1n })] })
  ledger.apply([at('1', 'x'), at('2', 'x'), at('3', null), at('4', 'x')])
  expect(ledger.decisions.map(({ status }) => status)).toEqual(['applied', 'applied', 'applied', 'held'])
  expect(ledger.decisions.at(-1)!.rules).toMatchObject([{ value: 40n, threshold: 0n, action: 'hold' }])
})

test('terminals, merchants and devices are known beyond their payer, each by its own name', () => {
  const ledger = inForce(
    text([
      counted('terminal_count_1d', 1),
      counted('device_accounts_60d', 0),
      counted('card_count_1h', 1, { mode: 'shadow' }),
    ]),
  )
  const payBy = (id: string, debit: string, changes: Parameters<typeof transaction>[0]) =>
    transaction({ id, postings: [posting({ debit, credit: 'bank', amount: 1n })], ...changes })
  ledger.apply([account('carol', { limited: false })])
  ledger.apply([
    payBy('1', 'alice', { terminal: 'x', device: 'd' }),
    payBy('2', 'carol', { terminal: 'x', device: 'd' }),
    payBy('3', 'carol', { merchant: 'x', device: 'e' }),
    payBy('4', 'carol', { merchant: 'x', terminal: 'y' }),
    payBy('5', 'alice', { merchant: 'x', device: 'd' }),
  ])
  expect(seenBy(ledger)).toEqual([
    '',
    'device_accounts_60d=1 terminal_count_1d=2',
    '',
    '',
    'device_accounts_60d=2 terminal_count_1d=2',
  ])
  expect([...ledger.parties.keys()].sort()).toEqual([
    'device:d',
    'device:e',
    'merchant:x',
    'terminal:x',
    'terminal:y',
  ])
})

test('nobody is kept whom no rule looks at', () => {
  const ledger = inForce(text([counted('account_count_1d', 1)]))
  ledger.apply([transaction({ id: '1', terminal: 'x', device: 'd', merchant: 'm' })])
  expect(ledger.parties.size).toBe(0)
})

test('a party that nobody used for 62 days counts as never seen', () => {
  const counts = (days: number) => {
    const ledger = inForce(text([counted('terminal_amount_percent', 100)]))
    const payAt = (id: string, amount: bigint, at: number) =>
      transaction({ id, terminal: 'x', occurredAt: at, postings: [posting({ amount })] }, at)
    ledger.apply([payAt('1', 10n, START_MS)])
    const later = START_MS + days * 86_400_000
    ledger.apply([tick(later)])
    ledger.apply([payAt('2', 30n, later)])
    return seenBy(ledger)
  }
  expect(counts(62)).toEqual(['', 'terminal_amount_percent=300'])
  expect(counts(63)).toEqual(['', ''])
})

test('money that came in is seen once it has come: posted, captured or released, never what was given back', () => {
  const ledger = inForce(
    text([
      counted('account_received_1d', 0),
      counted('amount', 400, { action: 'hold', scope: { kinds: ['post'] } }),
    ]),
  )
  const received = (id: string): string => {
    ledger.apply([
      transaction({
        id,
        occurredAt: START_MS + 10,
        postings: [posting({ debit: 'bob', credit: 'bank', amount: 1n })],
      }),
    ])
    return seenBy(ledger).at(-1)!
  }
  ledger.apply([pay('posted', 100n)])
  expect(received('1')).toBe('account_received_1d=100')
  ledger.apply([pay('held', 500n)])
  expect(received('2')).toBe('account_received_1d=100')
  ledger.apply([review('held', 'release')])
  expect(received('3')).toBe('account_received_1d=600')
  ledger.apply([transaction({ id: 'auth', kind: 'authorize', postings: [posting({ amount: 20n })] })])
  expect(received('4')).toBe('account_received_1d=600')
  ledger.apply([transaction({ id: 'capture', kind: 'capture', parentId: 'auth', postings: [] })])
  expect(received('5')).toBe('account_received_1d=620')
  ledger.apply([transaction({ id: 'back', kind: 'reverse', parentId: '1', postings: [] })])
  expect(received('6')).toBe('account_received_1d=620')
})

test('an approval and payments in one batch: the same is kept wherever it is cut', () => {
  const book = text([counted('terminal_count_1d', 1), counted('device_count_1d', 1)])
  const run = (cuts: number[]) => {
    const ledger = opened()
    ledger.apply([propose(book)])
    const payBy = (id: string) => transaction({ id, terminal: 'x', device: 'd' })
    const inputs = [payBy('1'), payBy('2'), approve(ledger.sequence), payBy('3'), payBy('4')]
    ledger.apply([account('rich', { limited: false })])
    ledger.apply(inputs, cuts)
    const parties = [...ledger.parties.values()].map((party) => [party.name, encodeParty(party)])
    return [seenBy(ledger), parties]
  }
  const whole = run([5])
  expect(whole[0]).toEqual(['', '', '', 'device_count_1d=2 terminal_count_1d=2'])
  expect(run([1])).toEqual(whole)
  expect(run([2, 2])).toEqual(whole)
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
