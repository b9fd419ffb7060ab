/** Each reason for staying open, by example; and proposals by text. */
import { describe, expect, test } from 'vitest'
import { explainOpen } from './explain.ts'
import { creditorReferenceIn, type MatchItem, referenceOf } from './item.ts'
import { Matcher } from './matcher.ts'
import { defaultPasses, NO_TOLERANCE, passProblems } from './passes.ts'
import { proposals } from './proposals.ts'
import { bankItem, ledgerItem } from './testing/item-fixture.ts'

const passes = defaultPasses(NO_TOLERANCE)

function reasonsOf(items: readonly MatchItem[], id: string) {
  const matcher = new Matcher(passes)
  for (const item of items) matcher.add(item)
  matcher.settle()
  return Object.fromEntries(explainOpen(matcher, passes, id).map(({ pass, reason }) => [pass, reason]))
}

describe('why an item is open', () => {
  test('nothing on the other side', () => {
    const reasons = reasonsOf([bankItem('B1', 5, { endToEndId: 'A12' })], 'B1')
    expect(reasons).toMatchObject({
      'reference:uetr': 'no_key',
      'reference:endToEndId': 'alone',
      'amount:date': 'alone',
    })
  })

  test('twins', () => {
    const twins = [ledgerItem('L1', 5), ledgerItem('L2', 5), bankItem('B1', 5)]
    expect(reasonsOf(twins, 'B1')['amount:date']).toBe('ambiguous')
  })

  test('another reference, another day, another amount', () => {
    const bank = bankItem('B1', 5, { endToEndId: 'A12' })
    expect(reasonsOf([bank, ledgerItem('L1', 5, { endToEndId: 'A13' })], 'B1')['amount:date']).toBe(
      'contradicted',
    )
    expect(reasonsOf([bank, ledgerItem('L1', 5, { day: 120 })], 'B1')['amount:date']).toBe('out_of_window')
    const other = reasonsOf([bank, ledgerItem('L1', 6, { endToEndId: 'A12' })], 'B1')
    expect(other).toMatchObject({
      'tolerance:endToEndId': 'amounts_differ',
      'group:endToEndId': 'sums_differ',
    })
  })

  test('a matched item has no reasons', () => {
    expect(reasonsOf([ledgerItem('L1', 5), bankItem('B1', 5)], 'B1')).toEqual({})
  })
})

describe('proposals', () => {
  test('a shared invoice number with the same amount, before one with another amount', () => {
    const found = proposals([
      ledgerItem('L1', 500, { remittance: 'Invoice 2026-00042 Miller' }),
      ledgerItem('L2', 700, { remittance: 'Invoice 2026 reminder for 00042' }),
      ledgerItem('L3', 500, { remittance: 'something else' }),
      bankItem('B1', 500, { remittance: 'MILLER LTD INV 00042', day: 110 }),
    ])
    expect(found).toEqual([{ ledger: 'L1', bank: 'B1', confidence: 836, words: ['MILLER', '00042'] }])
  })

  test('none for words that everybody uses, nor against a reference that differs', () => {
    const many = Array.from({ length: 30 }, (_, n) => ledgerItem(`L${n}`, 500, { remittance: 'RENT 0001' }))
    expect(proposals([...many, bankItem('B1', 500, { remittance: 'RENT 0001' })])).toEqual([])
    const differing = [
      ledgerItem('L1', 500, { remittance: 'X 12345', endToEndId: 'A' }),
      bankItem('B1', 500, { remittance: 'X 12345', endToEndId: 'B' }),
    ]
    expect(proposals(differing)).toEqual([])
  })
})

test('references are compared without blanks and case; placeholders are none', () => {
  expect(referenceOf(' ab 12-c ')).toBe('AB12-C')
  for (const text of ['NOTPROVIDED', 'Not Provided', 'nonref', '0000', '---', 'ab', '', null]) {
    expect(referenceOf(text)).toBeNull()
  }
})

test('a creditor reference in a text counts where its check digits hold and it is the only one', () => {
  // ISO 11649's example.
  expect(creditorReferenceIn('paid RF18539007547034, thanks')).toBe('RF18539007547034')
  expect(creditorReferenceIn('paid RF19539007547034, thanks')).toBeNull()
  expect(creditorReferenceIn('RF18539007547034 RF18539007547034')).toBe('RF18539007547034')
})

test('passes that would match by chance are refused', () => {
  expect(passProblems(passes)).toEqual([])
  const amountDate = passes.at(-1)!
  expect(passProblems([{ ...amountDate, windowDays: null }])).toHaveLength(1)
  expect(passProblems([amountDate, amountDate])).toHaveLength(1)
  expect(passProblems([])).toHaveLength(1)
})
