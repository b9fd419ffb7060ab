/** The demo's summary: every outcome is shown once, in a group that says what it is about. */
import { expect, test } from 'vitest'
import { REASONS } from '#domain/transactions/outcomes.ts'
import { type DemoReport, REASON_GROUPS, reportText } from './report.ts'

const report = (changes: Partial<DemoReport>): DemoReport => ({
  ok: true,
  transactions: 10,
  outcomes: {},
  followUps: {},
  fraud: { actions: {}, rules: [] },
  funding: 2,
  perSecond: 1,
  firstAppliedMs: 1,
  latency: { samples: 1, p50Ms: 1, p99Ms: 1 },
  sums: [],
  accounts: 1,
  foldMismatches: 0,
  servedAccounts: 1,
  servedFromRedis: 1,
  servedMismatches: 0,
  modelDifferences: 0,
  urls: { api: '', docs: '', metrics: '', balance: '' },
  ...changes,
})

test('every reason is in one group', () => {
  const grouped = Object.values(REASON_GROUPS).flat()
  expect(grouped.toSorted()).toEqual([...REASONS].toSorted())
})

test('the parts add up to the transactions, and what followed is said to be no part of them', () => {
  const text = reportText(
    report({
      outcomes: {
        applied: 4,
        held: 1,
        'rejected:account_frozen': 2,
        'rejected:card_expired': 1,
        'rejected:insufficient_funds': 1,
        'dead:json_invalid': 1,
      },
      followUps: { expired: 3 },
    }),
    { staysUp: false },
  )
  expect(text).toMatch(/each of the 10 counts once below.*2 more funded/)
  expect(text).toContain('accepted: 5\n')
  expect(text).toContain('rejected: 4,')
  expect(text).toMatch(/ 3 {2}accounts and cards +account_frozen 2, card_expired 1\n/)
  expect(text).toContain('could not be read: 1\n')
  expect(text).toMatch(/decided afterwards.*: 3\n +3 {2}expired/)
})

test('what fraud rules did is told by action, with the rules that asked for it, most often first', () => {
  const fraud = {
    actions: { alert: 1_500, hold: 7 },
    rules: [
      { ruleId: 'model_risk', action: 'alert', count: 900 },
      { ruleId: 'velocity_sum', action: 'alert', count: 1_000 },
      { ruleId: 'generator-amount-hold-EUR', action: 'hold', count: 7 },
    ],
  }
  const text = reportText(report({ fraud }), { staysUp: false })
  expect(text).toContain('fraud rules spoke of 1,507 of them')
  expect(text).toMatch(/ 1,500 {2}alert: .* velocity_sum 1,000, model_risk 900\n/)
  expect(text).toMatch(/ 7 {2}hold: .* generator-amount-hold-EUR 7\n/)
  expect(text).not.toMatch(/reject {2}/)
})

test('a reason that no group has is shown all the same', () => {
  expect(reportText(report({ outcomes: { 'rejected:brand_new': 2 } }), { staysUp: false })).toMatch(
    / 2 {2}other +brand_new 2/,
  )
})
