/** Amounts: exact both ways, and everything that isn't a plain decimal is refused. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatMinorAmount, parseDecimalAmount } from './amount.ts'

test.each([
  ['12.75', 2, 1275n],
  ['12.7', 2, 1270n],
  ['12', 2, 1200n],
  ['-0.01', 2, -1n],
  ['0', 0, 0n],
  ['-0', 2, 0n],
  ['007', 2, 700n],
  ['1.234', 3, 1234n],
  ['1.2345', 4, 12345n],
  ['10000000000000', 2, 1000000000000000n],
  ['99999999999999999999.99', 2, 9999999999999999999999n],
  [100, 2, 10000n],
  [12.75, 2, 1275n],
  [0.1, 2, 10n],
  [0.1 + 0.2, 2, null],
  [1.005, 2, null],
  [1.005, 3, 1005n],
  [8.41, 2, 841n],
  [9999999999999.99, 2, 999999999999999n],
  [10000000000000.01, 2, null],
  [Number.MAX_SAFE_INTEGER, 0, null],
  [1e21, 0, null],
  [1e-7, 4, null],
  [Number.NaN, 2, null],
  [Number.POSITIVE_INFINITY, 2, null],
  [-0, 2, 0n],
] as const)('%s with %i decimals', (input, exponent, expected) => {
  expect(parseDecimalAmount(input, exponent)).toBe(expected)
})

test.each([
  '',
  '-',
  '.',
  '.5',
  '5.',
  '1.2.3',
  '1e3',
  '0x10',
  '+1',
  ' 1',
  '1 ',
  '1,5',
  '1_000',
  '--1',
  '1-',
  'NaN',
  '١',
  '1.000',
  '1'.repeat(41),
])('text %j is refused', (text) => {
  expect(parseDecimalAmount(text, 2)).toBeNull()
})

test('what is written is read back, for every exponent', () => {
  fc.assert(
    fc.property(fc.bigInt(-(10n ** 20n), 10n ** 20n), fc.integer({ min: 0, max: 4 }), (amount, exponent) => {
      expect(parseDecimalAmount(formatMinorAmount(amount, exponent), exponent)).toBe(amount)
    }),
  )
})

test('a JSON number of up to 15 digits means what its text means', () => {
  fc.assert(
    fc.property(
      fc.bigInt(-999_999_999_999_999n, 999_999_999_999_999n),
      fc.integer({ min: 0, max: 4 }),
      (amount, exponent) => {
        const text = formatMinorAmount(amount, exponent)
        expect(parseDecimalAmount(JSON.parse(text) as number, exponent)).toBe(amount)
      },
    ),
  )
})
