/** Card numbers: found in every usual notation, masked in text and bytes, and harmless numbers left alone. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { containsCardNumber, maskCardNumbers, maskCardNumbersInBytes } from './card-numbers.ts'

/** Appends the Luhn digit; written apart from the code under test (sum from the left, doubled by parity). */
const withLuhnDigit = (body: string): string => {
  let sum = 0
  for (let index = 0; index < body.length; index++) {
    const doubled = (body.length - index) % 2 === 1
    const digit = Number(body[index]) * (doubled ? 2 : 1)
    sum += Math.floor(digit / 10) + (digit % 10)
  }
  return body + String((10 - (sum % 10)) % 10)
}

/** Numbers that the brands publish for testing. */
const TEST_CARDS = [
  '4111111111111111',
  '4222222222222',
  '5555555555554444',
  '2223003122003222',
  '378282246310005',
  '6011111111111117',
  '3530111333300000',
  '30569309025904',
  '38520000023237',
  '6200000000000005',
  '6759649826438453',
]

test.each(TEST_CARDS)('%s is found, also in groups and within text', (card) => {
  expect(containsCardNumber(card)).toBe(true)
  expect(containsCardNumber(`pay ${card}.`)).toBe(true)
  expect(containsCardNumber(`x${card}x`)).toBe(true)
  expect(containsCardNumber(`${card.slice(0, 4)}-${card.slice(4, 10)}-${card.slice(10)}`)).toBe(true)
  expect(containsCardNumber(`12 ${card.replace(/(....)(?=.)/g, '$1 ')} 34`)).toBe(true)
})

test.each([
  ...['.', '_', '/', ',', '--', '\n', '\r\n', '\t', ', ', ' - ', '\u00a0', '\u2011'].map((separator) =>
    ['4111', '1111', '1111', '1111'].join(separator),
  ),
  '3782.822463.10005',
  [...'4111111111111111'].join('\u200b'),
  '4111\u200b-1111\u00ad1111-1111',
  '０４１１１１１１１１１１１１１１１'.slice(1),
  '٤١١١١١١١١١١١١١١١',
  '۴۱۱۱۱۱۱۱۱۱۱۱۱۱۱۱',
  '0004111111111111111',
  '0000000000004111111111111111',
  '000 4111 1111 1111 1111',
])('%j is found and masked', (text) => {
  expect(containsCardNumber(text)).toBe(true)
  const masked = maskCardNumbers(`<${text}>`)
  expect(masked).toHaveLength(text.length + 2)
  expect(containsCardNumber(masked)).toBe(false)
})

test('harmless values are not refused', () => {
  for (const text of [
    '',
    'account:42',
    '4111111111111112', // Luhn wrong
    '9111111111111111', // no issuer
    '411111111111', // 12 digits
    `4111111111111111${'0'.repeat(4)}`, // inside a longer run
    '1,234,567.89',
    '4,111,111,111,111,111',
    '41.11.11.11.11.11.11.11',
    '4111.1111,1111/1111', // separators that differ
    '2026/11/22, 2026/11/23, 2026/11/24',
    '2019,2020,2021,2022,2023',
    '2026-11-22T01:57:25.123456789Z',
    'DE89370400440532013000',
    '10.50, 20.30, 40.10, 12.99, 33.50',
    '4111 :: 1111 :: 1111 :: 1111',
    '1111-4111',
    '192.168.100.200, 192.168.100.201',
    '0000001732240000000',
    '41111111-1111-4111-8111-111111111111', // a UUID
    'txn-41111111-1111-4111-8111-111111111111-retry',
    'a4111111111111111bcdef0123456789', // a 32-digit hexadecimal id
    '2026-11-21 07:04:01',
  ])
    expect([text, containsCardNumber(text)]).toEqual([text, false])
})

test('times in ms, of 2001 to 2039, are never taken for cards', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1_000_000_000_000, max: 2_208_988_800_000 }), (timeMs) => {
      expect(containsCardNumber(String(timeMs))).toBe(false)
      expect(containsCardNumber(`gen-${timeMs}-1`)).toBe(false)
    }),
  )
})

const digits = (length: number) => fc.stringMatching(new RegExp(`^[0-9]{${length}}$`))

test('any number of a brand is found and masked, whatever the separators', () => {
  const card = fc
    .tuple(
      fc.constantFrom(
        '4',
        '51',
        '55',
        '2221',
        '2720',
        '34',
        '37',
        '6011',
        '65',
        '3528',
        '3589',
        '36',
        '62',
        '50',
        '58',
      ),
      fc.integer({ min: 12, max: 18 }),
    )
    .chain(([prefix, length]) => digits(length - prefix.length).map((rest) => withLuhnDigit(prefix + rest)))
  fc.assert(
    fc.property(
      card,
      fc.array(fc.constantFrom('', '', '', ' ', '-'), { minLength: 18, maxLength: 18 }),
      (number, separators) => {
        const written = [...number]
          .map((digit, index) => (index === 0 ? digit : separators[index - 1] + digit))
          .join('')
        const text = `see ${written}, please`
        expect(containsCardNumber(text)).toBe(true)
        const masked = maskCardNumbers(text)
        expect(masked).toHaveLength(text.length)
        expect(containsCardNumber(masked)).toBe(false)
        expect(masked.replace(/[^0-9]/g, '').length).toBeLessThanOrEqual(4)
        expect(maskCardNumbersInBytes(Buffer.from(text)).toString()).toBe(masked)
      },
    ),
  )
})

test('masking keeps the last four digits and everything around', () => {
  expect(maskCardNumbers('a 4111 1111-11111111 b')).toBe('a **** ****-****1111 b')
  expect(maskCardNumbers('nothing here')).toBe('nothing here')
  const bytes = Buffer.from('nothing')
  expect(maskCardNumbersInBytes(bytes)).toBe(bytes)
})

test('in binary data a digit-like length byte does not hide a number', () => {
  // 0x30 is Avro's length 24 and the character 0.
  const bytes = Buffer.concat([
    Buffer.from([0, 0, 0, 0, 1, 0x30]),
    Buffer.from('4111111111111111'),
    Buffer.from([0x36, 0xff]),
  ])
  const masked = maskCardNumbersInBytes(bytes)
  expect(masked.toString('latin1')).not.toContain('11111111')
  expect(masked.length).toBe(bytes.length)
  expect(masked[masked.length - 1]).toBe(0xff)
})

test('random text never breaks it and is masked into something clean', () => {
  const hostile = fc.string({
    unit: fc.constantFrom('4', '1', '5', '0', ' ', '-', '.', '\u200b', '٤', 'x'),
    maxLength: 60,
  })
  fc.assert(
    fc.property(hostile, (text) => {
      const masked = maskCardNumbers(text)
      expect(masked === text).toBe(!containsCardNumber(text))
      expect(containsCardNumber(masked)).toBe(false)
    }),
    { numRuns: 2000 },
  )
})
