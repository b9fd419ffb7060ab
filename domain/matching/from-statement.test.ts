/** Statement lines as items: which references count, minor units, and lines that book several transactions. */
import { describe, expect, test } from 'vitest'
import { fromMinor } from '#domain/statements/decimal.ts'
import { type LineDetail, NO_DETAIL, type StatementLine } from '#domain/statements/model.ts'
import { itemsOfLine, type LineOrigin } from './from-statement.ts'

const origin: LineOrigin = {
  statementKey: 'S',
  ordinal: 3,
  account: 'nostro',
  currency: 'EUR',
  date: '2026-03-04',
  provenance: 'file:7',
}

const line = (given: Partial<StatementLine> = {}): StatementLine => ({
  line: 7,
  path: null,
  status: 'booked',
  amount: fromMinor(1_250n, 2),
  currency: 'EUR',
  reversal: false,
  bookingDate: '2026-03-02',
  valueDate: '2026-03-03',
  bankReference: 'BANK1',
  reference: null,
  code: null,
  text: null,
  details: [],
  ...given,
})

const detail = (amountMinor: number, given: Partial<LineDetail> = {}): LineDetail => ({
  ...NO_DETAIL,
  amount: fromMinor(BigInt(amountMinor), 2),
  ...given,
})

const items = (given: Partial<StatementLine>, expand = true) => itemsOfLine(line(given), origin, expand)

describe('a line', () => {
  test('with one transaction', () => {
    const [item] = items({
      details: [
        detail(1_250, {
          endToEndId: 'e2e-1',
          uetr: 'u-1',
          counterpartyAccount: 'de12 34',
          remittance: 'RF18539007547034',
        }),
      ],
    }).items
    expect(item).toEqual({
      id: 'S:3',
      side: 'bank',
      account: 'nostro',
      currency: 'EUR',
      amountMinor: 1_250n,
      original: null,
      bookingDay: 20_514,
      valueDay: 20_515,
      references: {
        endToEndId: 'E2E-1',
        uetr: 'U-1',
        transactionId: null,
        creditorReference: 'RF18539007547034',
      },
      groupKey: null,
      counterpartyAccount: 'DE1234',
      remittance: 'RF18539007547034',
      isReturn: false,
      provenance: 'file:7',
    })
  })

  test('without transactions goes by its own reference', () => {
    const [item] = items({ reference: 'INV 42', text: 'thanks' }).items
    expect(item).toMatchObject({ references: { endToEndId: 'INV42' }, remittance: 'thanks' })
    expect(items({ reference: 'NONREF' }).items[0]!.references.endToEndId).toBeNull()
  })

  test("without dates is of its statement's day", () => {
    expect(items({ bookingDate: null, valueDate: null }).items[0]).toMatchObject({
      bookingDay: 20_516,
      valueDay: null,
    })
    expect(items({ bookingDate: null }).items[0]).toMatchObject({ bookingDay: null, valueDay: 20_515 })
  })

  test('that takes back, or returns', () => {
    expect(items({ reversal: true }).items[0]!.isReturn).toBe(true)
    expect(items({ details: [detail(1_250, { returnReason: 'AC04' })] }).items[0]!.isReturn).toBe(true)
  })
})

describe('a line that books several transactions', () => {
  const details = [detail(1_000, { endToEndId: 'A01' }), detail(250, { endToEndId: 'B01' })]

  test('is one item each, held together by a key, where they add up to it', () => {
    const found = items({ details, reference: 'BULK-1' }).items
    expect(found.map(({ id, amountMinor, groupKey }) => [id, amountMinor, groupKey])).toEqual([
      ['S:3:1', 1_000n, 'S:3'],
      ['S:3:2', 250n, 'S:3'],
    ])
    expect(found.map(({ references }) => references.endToEndId)).toEqual(['A01', 'B01'])
  })

  test('stays whole where that is asked for or they do not add up; then its reference names the bulk', () => {
    const whole = [{ id: 'S:3', amountMinor: 1_250n, groupKey: 'BULK-1', references: { endToEndId: null } }]
    expect(items({ details, reference: 'BULK-1' }, false).items).toMatchObject(whole)
    expect(items({ details: [details[0]!, detail(249)], reference: 'BULK-1' }).items).toMatchObject(whole)
    const foreign = [details[0]!, detail(250, { currency: 'USD' })]
    expect(items({ details: foreign, reference: 'BULK-1' }).items).toMatchObject(whole)
  })
})

test('minor units are exact or the line is refused', () => {
  expect(items({ amount: fromMinor(12_500n, 3) }).items[0]!.amountMinor).toBe(1_250n)
  expect(items({ amount: fromMinor(12n, 0) }).items[0]!.amountMinor).toBe(1_200n)
  expect(items({ amount: fromMinor(12_501n, 3) })).toEqual({ items: [], refusal: 'amount_inexact' })
  expect(items({ amount: fromMinor(0n, 2) })).toEqual({ items: [], refusal: 'amount_zero' })
  expect(items({ currency: 'XXX' })).toEqual({ items: [], refusal: 'currency_unknown' })
  expect(items({ status: 'pending' })).toEqual({ items: [], refusal: 'not_booked' })
})
