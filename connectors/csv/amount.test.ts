/** Amounts as files write them: every form that is read, and everything that must not be guessed. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatMinorAmount } from '#domain/money/amount.ts'
import { type AmountFormat, amountReader } from './amount.ts'

const POINT: AmountFormat = { unit: 'major', decimal: '.', thousands: '' }
const GERMAN: AmountFormat = { unit: 'major', decimal: ',', thousands: '.' }
const ENGLISH: AmountFormat = { unit: 'major', decimal: '.', thousands: ',' }
const FRENCH: AmountFormat = { unit: 'major', decimal: ',', thousands: ' ' }
const SWISS: AmountFormat = { unit: 'major', decimal: '.', thousands: "'" }
const MINOR: AmountFormat = { unit: 'minor', decimal: '.', thousands: '' }

test.each<[string, AmountFormat, number, bigint | string]>([
  ['12.34', POINT, 2, 1234n],
  ['12', POINT, 2, 1200n],
  ['12.', POINT, 2, 1200n],
  ['12.3', POINT, 2, 1230n],
  ['12.340', POINT, 2, 1234n],
  ['12.345', POINT, 2, 'amount_too_precise'],
  ['12.345', POINT, 3, 12345n],
  ['100', POINT, 0, 100n],
  ['100.00', POINT, 0, 100n],
  ['100.50', POINT, 0, 'amount_too_precise'],
  ['-12.34', POINT, 2, -1234n],
  ['12.34-', POINT, 2, -1234n],
  ['\u221212.34', POINT, 2, -1234n],
  ['(12.34)', POINT, 2, -1234n],
  ['+12.34', POINT, 2, 1234n],
  ['-12.34-', POINT, 2, 'amount_invalid'],
  ['(12.34', POINT, 2, 'amount_invalid'],
  ['12,34', POINT, 2, 'amount_invalid'],
  ['1,234.50', POINT, 2, 'amount_invalid'],
  ['.50', POINT, 2, 'amount_invalid'],
  ['1e3', POINT, 2, 'amount_invalid'],
  ['', POINT, 2, 'amount_invalid'],
  ['12.34 EUR', POINT, 2, 'amount_invalid'],
  ['1.234.567,89', GERMAN, 2, 123456789n],
  ['1234567,89', GERMAN, 2, 123456789n],
  ['1.23', GERMAN, 2, 'amount_invalid'],
  ['12.34.567,8', GERMAN, 2, 123456780n],
  ['12.34,5', GERMAN, 2, 'amount_invalid'],
  ['1,234,567.89', ENGLISH, 2, 123456789n],
  ['1\u00a0234,5', FRENCH, 2, 123450n],
  ['1\u202f234,50', FRENCH, 2, 123450n],
  ["1'234.50", SWISS, 2, 123450n],
  ['8180', MINOR, 2, 8180n],
  ['8180.0', MINOR, 2, 8180n],
  ['-8180', MINOR, 2, -8180n],
  ['8180.5', MINOR, 2, 'amount_too_precise'],
  ['9223372036854775807', MINOR, 2, 9223372036854775807n],
  ['9223372036854775808', MINOR, 2, 'amount_too_large'],
  ['9'.repeat(10_000), MINOR, 2, 'amount_too_large'],
])('%j as %o with %i decimals', (text, format, exponent, expected) => {
  expect(amountReader(format)(text, exponent)).toBe(expected)
})

test('what is written in a format is read back, grouped or not', () => {
  const formats = [POINT, GERMAN, ENGLISH, FRENCH, SWISS]
  fc.assert(
    fc.property(
      fc.bigInt(-(10n ** 15n), 10n ** 15n),
      fc.integer({ min: 0, max: 4 }),
      fc.constantFrom(...formats),
      fc.boolean(),
      (amount, exponent, format, grouped) => {
        const [whole, fraction] = formatMinorAmount(amount, exponent).split('.')
        const separated = grouped ? whole!.replace(/\B(?=(\d{3})+$)/g, format.thousands) : whole!
        const text = fraction === undefined ? separated : `${separated}${format.decimal}${fraction}`
        expect(amountReader(format)(text, exponent)).toBe(amount)
      },
    ),
  )
})
