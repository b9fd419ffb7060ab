/** Each kind of break by example, with its age and severity. */
import { describe, expect, test } from 'vitest'
import type { MatchItem } from '#domain/matching/item.ts'
import { bankItem, ledgerItem } from '#domain/matching/testing/item-fixture.ts'
import { ageBucket, ageInDays, BREAK_SETTINGS, classify, severityOf } from './classify.ts'

const reference = { endToEndId: 'A12' }
const open = (item: MatchItem) => ({ item, isOpen: true })
const matched = (item: MatchItem) => ({ item, isOpen: false })
const kindOf = (item: MatchItem, related: Parameters<typeof classify>[1] = [], today = 120) =>
  classify(item, related, today, BREAK_SETTINGS)

const ledger = ledgerItem('L1', 10_000, reference)
const bank = bankItem('B1', 10_000, reference)

describe('the kind of a break', () => {
  test('nothing on the other side: timing at first, then missing', () => {
    expect(kindOf(ledger, [], 105).kind).toBe('timing')
    expect(kindOf(ledger, [], 106).kind).toBe('missing_in_bank')
    expect(kindOf(bank, [], 106).kind).toBe('missing_in_ledger')
  })

  test('twice', () => {
    const again = bankItem('B2', 10_000, { ...reference, day: 104 })
    expect(kindOf(again, [matched(bank), matched(ledger)])).toEqual({ kind: 'duplicate', related: ['B1'] })
    // Two alike, one entry: nobody knows which one it is.
    expect(kindOf(ledger, [open(bank), open(again)])).toEqual({ kind: 'duplicate', related: ['B1', 'B2'] })
    expect(kindOf(bank, [open(ledger), open(again)])).toEqual({ kind: 'duplicate', related: ['B2'] })
  })

  test('came back', () => {
    const back = bankItem('B2', -10_000, { ...reference, isReturn: true, day: 103 })
    expect(kindOf(back, [matched(bank), matched(ledger)])).toEqual({ kind: 'return', related: ['B1'] })
  })

  test('otherwise on the other side', () => {
    const other = (amount: number, given = {}) => open(bankItem('B1', amount, { ...reference, ...given }))
    expect(kindOf(ledger, [other(10_000, { account: 'other' })]).kind).toBe('wrong_account')
    expect(kindOf(ledger, [other(10_000, { currency: 'USD' })]).kind).toBe('currency')
    expect(kindOf(ledger, [other(9_500)])).toEqual({ kind: 'fee', related: ['B1'] })
    expect(kindOf(ledger, [other(10_500)]).kind).toBe('amount')
    expect(kindOf(ledger, [other(4_000)]).kind).toBe('amount')
    expect(kindOf(ledger, [other(10_000, { day: 119 })]).kind).toBe('timing')
  })

  test('what is matched elsewhere is no partner', () => {
    expect(kindOf(ledger, [matched(bankItem('B1', 9_500, reference))]).kind).toBe('missing_in_bank')
  })

  test('is the same for both sides of a difference', () => {
    const less = bankItem('B1', 9_500, reference)
    expect(kindOf(less, [open(ledger)])).toEqual({ kind: 'fee', related: ['L1'] })
  })
})

test('ages fall into buckets', () => {
  expect([0, 1, 2, 5, 6, 30, 31, 90, 91, 4_000].map(ageBucket)).toEqual([
    '0-1',
    '0-1',
    '2-5',
    '2-5',
    '6-30',
    '6-30',
    '31-90',
    '31-90',
    '91+',
    '91+',
  ])
  expect(ageInDays({ valueDay: 130, bookingDay: null }, 120)).toBe(0)
})

test('severity follows amount and age', () => {
  expect(severityOf(-99_999n, 5, BREAK_SETTINGS)).toBe('low')
  expect(severityOf(-100_000n, 0, BREAK_SETTINGS)).toBe('medium')
  expect(severityOf(1n, 6, BREAK_SETTINGS)).toBe('medium')
  expect(severityOf(-10_000_000n, 0, BREAK_SETTINGS)).toBe('high')
  expect(severityOf(1n, 31, BREAK_SETTINGS)).toBe('high')
})
