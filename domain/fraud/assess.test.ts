/** Rules: which are in force, when they fire, and which action counts. */
import { expect, test } from 'vitest'
import { ruleChange } from '../transactions/testing/fixtures.ts'
import { assessTransaction } from './assess.ts'
import { notePayment } from './features/payer.ts'
import { newProfile, payerOf } from './profile.ts'
import { activeRules, type Rule, withRule } from './rules.ts'

const AT = 1_767_225_600_000
const rule = (changes: Partial<Rule> = {}): Rule => ({ ...ruleChange(), version: 1n, ...changes })
const assess = (rules: Rule[], amountMinor: bigint, profile = newProfile(), currency = 'EUR') =>
  assessTransaction({ rules: activeRules(rules), amountMinor, currency, occurredAt: AT, profile })

test('an amount fires above its threshold, in its currency only, and is explained', () => {
  expect(assess([rule()], 10_000n)).toEqual({ action: 'none', hits: [] })
  expect(assess([rule()], 10_001n)).toEqual({
    action: 'alert',
    hits: [
      {
        ruleId: 'large-eur',
        version: 1n,
        value: 10_001n,
        threshold: 10_000n,
        action: 'alert',
        points: 0,
        words: 'amount 10001 minor units, limit 10000',
      },
    ],
  })
  expect(assess([rule()], 10_001n, newProfile(), 'USD').action).toBe('none')
})

test('velocity counts and sums include the transaction itself', () => {
  const profile = newProfile()
  const pay = (at: number, amount: number) =>
    notePayment(payerOf(profile), {
      at,
      amount,
      counterparty: null,
      country: 0,
      isNewCounterparty: false,
      isDeclined: false,
    })
  pay(AT - 3_000_000, 40)
  pay(AT - 20_000_000, 1_000)
  const count = rule({
    ruleId: 'n',
    type: 'velocity_count',
    windowMs: 3_600_000,
    threshold: 1n,
    currency: null,
  })
  const sum = rule({ ruleId: 's', type: 'velocity_sum', windowMs: 86_400_000, threshold: 1_049n })
  expect(assess([sum, count], 10n, profile).hits.map((hit) => [hit.ruleId, hit.value])).toEqual([
    ['n', 2n],
    ['s', 1_050n],
  ])
  expect(
    assess(
      [
        { ...sum, threshold: 1_050n },
        { ...count, threshold: 2n },
      ],
      10n,
      profile,
    ).action,
  ).toBe('none')
})

test('the strongest action counts, hits are sorted by rule id', () => {
  const rules = [
    rule({ ruleId: 'c', action: 'hold', threshold: 1n }),
    rule({ ruleId: 'a', action: 'reject', threshold: 1n }),
    rule({ ruleId: 'b', action: 'alert', threshold: 1n }),
  ]
  const assessment = assess(rules, 5n)
  expect(assessment.action).toBe('reject')
  expect(assessment.hits.map((hit) => hit.ruleId)).toEqual(['a', 'b', 'c'])
})

test('types, actions and windows that this code does not know do not fire', () => {
  const rules = [
    rule({ ruleId: 'a', type: 'unknown', threshold: 0n }),
    rule({ ruleId: 'b', action: 'unknown', threshold: 0n }),
    rule({ ruleId: 'c', type: 'velocity_count', windowMs: 1, threshold: 0n }),
  ]
  expect(assess(rules, 5n)).toEqual({ action: 'none', hits: [] })
})

test('the newest version is in force; switched off, the rule is gone', () => {
  const first = rule({ threshold: 1n })
  const second = rule({ threshold: 2n, version: 2n })
  const off = rule({ enabled: false, version: 3n })
  const other = rule({ ruleId: 'a', version: 2n })
  expect(activeRules([second, first, other])).toEqual([other, second])
  expect(activeRules([first, off, second])).toEqual([])
  expect(withRule(withRule([], first), other)).toEqual([other, first])
  expect(withRule([other, first], second)).toEqual([other, second])
  expect(withRule([other, second], off)).toEqual([other])
  // Twice in one batch: the later one.
  expect(activeRules([first, rule({ threshold: 9n })])[0]!.threshold).toBe(9n)
})
