/** Back-tests: what a candidate would have done, counted by hand; single rules stay; labels by file and by review. */
import { expect, test } from 'vitest'
import { parseRulebook } from '#domain/fraud/rulebook/parse.ts'
import { Backtest, type DecidedPayment } from './backtest.ts'

const START_MS = Date.UTC(2026, 0, 1)
const book = (action: string, above: number) =>
  parseRulebook({
    format: 1,
    name: 'candidate',
    version: 1,
    rules: [
      {
        id: 'large',
        version: 1,
        title: 'Large',
        words: '{value} above {threshold}',
        fires: { feature: 'amount', above },
        weight: 1,
        action,
        mode: 'live',
        onError: 'open',
        author: 'ann',
        approvedBy: 'ben',
      },
    ],
  })

let nextId = 0
const payment = (changes: Partial<DecidedPayment> & { amount: number }): DecidedPayment => ({
  name: `bank/${nextId++}`,
  shown: `bank/${nextId - 1}`,
  facts: {
    amount: changes.amount,
    at: START_MS + nextId * 1_000,
    account: 'a',
    counterparty: 'b',
    country: null,
  },
  currency: 'EUR',
  kind: 'post',
  subjects: {},
  parties: [],
  recordedAtMs: START_MS,
  isDeclined: false,
  hits: [],
  isFraud: null,
  isCounted: true,
  ...changes,
})
const large = { ruleId: 'large', action: 'alert' }
const single = { ruleId: 'limit', action: 'hold' }

test('actions, money, labels and rules of both are counted', () => {
  const backtest = new Backtest(book('hold', 100), (ruleId) => ruleId === 'limit')
  const held = payment({ amount: 50, hits: [single] })
  for (const each of [
    payment({ amount: 101, hits: [large], isFraud: true }),
    payment({ amount: 90, hits: [large], isFraud: false }),
    payment({ amount: 300, isFraud: true }),
    payment({ amount: 400, currency: 'USD', isFraud: false }),
    payment({ amount: 10, isFraud: true }),
    payment({ amount: 999, isCounted: false }),
    held,
  ])
    backtest.add(each)
  backtest.review(held.name, true)
  backtest.review('bank/nobody', true)
  const result = backtest.result()
  expect(result).toMatchObject({ payments: 6, labelled: 6, changed: 4 })
  expect(result.decided).toEqual({
    alerts: 2,
    holds: 1,
    rejects: 0,
    stoppedMinor: { EUR: 50n },
    caught: 2,
    missed: 2,
    falsePositives: 1,
  })
  expect(result.candidate).toEqual({
    alerts: 0,
    holds: 4,
    rejects: 0,
    stoppedMinor: { EUR: 451n, USD: 400n },
    caught: 3,
    missed: 1,
    falsePositives: 1,
  })
  expect(result.rules).toEqual([{ ruleId: 'large', decided: 2, candidate: 3 }])
  expect(result.examples[0]).toMatchObject({ decided: 'alert', candidate: 'hold', words: ['101 above 100'] })
})

test('what does not count fills the features', () => {
  const busy = parseRulebook({
    format: 1,
    name: 'candidate',
    version: 1,
    rules: [{ ...JSON.parse(RULE), fires: { feature: 'account_count_1h', above: 2 } }],
  })
  const backtest = new Backtest(busy, () => false)
  backtest.add(payment({ amount: 1, isCounted: false }))
  backtest.add(payment({ amount: 1, isCounted: false, isDeclined: true }))
  backtest.add(payment({ amount: 1 }))
  expect(backtest.result()).toMatchObject({ payments: 1, candidate: { alerts: 1 } })
})

const RULE = JSON.stringify({
  id: 'busy',
  version: 1,
  title: 'Busy',
  words: '{value}',
  weight: 1,
  action: 'alert',
  mode: 'live',
  onError: 'open',
  author: 'ann',
  approvedBy: 'ben',
})
