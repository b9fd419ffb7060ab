/** The currency table: complete in itself, and right where exponents are known to go wrong. */
import { expect, test } from 'vitest'
import { CURRENCIES, currencyByCode, currencyByNumeric } from './currency.ts'

test('codes and numbers are well formed and unique', () => {
  expect(CURRENCIES.length).toBe(165)
  for (const currency of CURRENCIES) {
    expect(currency.code).toMatch(/^[A-Z]{3}$/)
    expect(Number.isInteger(currency.numeric) && currency.numeric > 0 && currency.numeric < 1000).toBe(true)
    expect(currencyByCode(currency.code)).toBe(currency)
    expect(currencyByNumeric(currency.numeric)).toBe(currency)
  }
})

test.each([
  ['EUR', 978, 2],
  ['USD', 840, 2],
  ['JPY', 392, 0],
  ['ISK', 352, 0],
  ['HUF', 348, 2],
  ['IDR', 360, 2],
  ['MGA', 969, 2],
  ['KWD', 414, 3],
  ['TND', 788, 3],
  ['CLF', 990, 4],
  ['UYW', 927, 4],
  ['XCG', 532, 2],
  ['ZWG', 924, 2],
  ['ALL', 8, 2],
])('%s is %i with %i decimals', (code, numeric, exponent) => {
  expect(currencyByCode(code)).toEqual({ code, numeric, exponent })
})

test('unknown, withdrawn, lower-case codes and codes without a minor unit are not found', () => {
  for (const code of ['', 'eur', 'DEM', 'HRK', 'BGN', 'XAU', 'XXX', 'XTS', 'XDR', '__proto__', 'EURO'])
    expect(currencyByCode(code)).toBeUndefined()
  expect(currencyByNumeric(0)).toBeUndefined()
  expect(currencyByNumeric(999)).toBeUndefined()
})
