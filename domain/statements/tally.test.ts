/** What counts towards a statement's proof. */
import { expect, test } from 'vitest'
import { parseDecimal } from './decimal.ts'
import type { StatementSummary } from './model.ts'
import { StatementTally } from './tally.ts'

const SINK = { start() {}, line() {}, end() {}, warn() {}, reject() {} }
const balance = (amount: string, currency: string | null = 'EUR') => ({
  amount: parseDecimal(amount, '.')!,
  currency,
  date: null,
  code: 'X',
})
const summaryOf = (use: (tally: StatementTally) => void): StatementSummary => {
  const tally = new StatementTally(SINK, { id: null, account: 'A', currency: null, sequence: null })
  use(tally)
  return tally.end()
}

test('the first opening and the last closing balance count', () => {
  const summary = summaryOf((tally) => {
    tally.opening(balance('1'))
    tally.opening(balance('2'))
    tally.closing(balance('5'))
    tally.closing(balance('1'))
  })
  expect(summary).toMatchObject({ proof: 'ok', currency: 'EUR' })
})

test('balances of several currencies prove nothing, equal or not', () => {
  const summary = summaryOf((tally) => {
    tally.opening(balance('1'))
    tally.closing(balance('1', 'USD'))
  })
  expect(summary.proof).toBe('mismatch')
})

test('one declared total that disagrees is enough', () => {
  const controls = (...all: boolean[]) =>
    summaryOf((tally) => {
      for (const agrees of all) tally.control(agrees)
    }).controls
  expect([controls(), controls(true), controls(true, false), controls(false, true)]).toEqual([
    'n/a',
    'ok',
    'mismatch',
    'mismatch',
  ])
})
