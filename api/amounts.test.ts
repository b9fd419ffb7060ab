/** Amounts come in and go out exactly. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readAmount, showAmount, showCompatibleAmount, shownBalance } from '#api/amounts.ts'

const amounts = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const currencies = fc.constantFrom('EUR', 'JPY', 'KWD', 'CLF')

test('what is shown reads back as the same amount, as text and as the number that a client parses', () => {
  fc.assert(
    fc.property(amounts, currencies, (amountMinor, currency) => {
      expect(readAmount(showAmount(amountMinor, currency), currency)).toBe(amountMinor)
      const shown: unknown = JSON.parse(JSON.stringify(showCompatibleAmount(amountMinor, currency)))
      expect(readAmount(shown as string | number, currency)).toBe(amountMinor)
    }),
  )
})

test('ordinary amounts are JSON numbers', () => {
  expect(showCompatibleAmount(1275n, 'USD')).toBe(12.75)
  expect(showCompatibleAmount(10_000n, 'USD')).toBe(100)
  expect(showCompatibleAmount(-5n, 'USD')).toBe(-0.05)
  expect(showCompatibleAmount(100n, 'JPY')).toBe(100)
  expect(showCompatibleAmount(2n ** 62n, 'USD')).toBe('46116860184273879.04')
})

test.each([
  ['12.755', 'EUR'],
  [12.755, 'EUR'],
  ['1.5', 'JPY'],
  ['1,5', 'EUR'],
  ['1e2', 'EUR'],
  ['', 'EUR'],
  ['1', 'XXX'],
])('%j %s is refused', (amount, currency) => {
  expect(() => readAmount(amount, currency)).toThrow()
})

test.each([
  [1e15, 'USD'],
  [1e20, 'USD'],
  [1e21, 'USD'],
  [10_000_000_000_001, 'USD'],
  ['9'.repeat(41), 'JPY'],
])('%j %s is too large, not wrong', (amount, currency) => {
  expect(() => readAmount(amount, currency)).toThrow(expect.objectContaining({ code: 'amount_too_large' }))
})

test('a balance is shown on its normal side; no limit means nothing to run out of', () => {
  const base = { reserved: 30n, limited: true, overdraftLimit: 50n }
  expect(shownBalance({ ...base, posted: 100n, normalSide: 'credit' })).toEqual({
    balanceMinor: 100n,
    reservedMinor: 30n,
    availableMinor: 120n,
  })
  expect(shownBalance({ ...base, posted: -100n, normalSide: 'debit' }).balanceMinor).toBe(100n)
  expect(
    shownBalance({ ...base, posted: 0n, normalSide: 'credit', limited: false }).availableMinor,
  ).toBeNull()
})
