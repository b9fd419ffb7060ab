/** Exact decimals, dates and lines of text: what every format stands on. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compactDate, isoDate, shortDate } from './dates.ts'
import { add, formatDecimal, isEqual, negate, parseDecimal } from './decimal.ts'
import { detectFormat } from './detect.ts'
import { TextLines } from './text-lines.ts'

test.each([
  ['12', '.', '12'],
  ['12.50', '.', '12.5'],
  ['12.', '.', '12'],
  ['.5', '.', '0.5'],
  ['-0.05', '.', '-0.05'],
  ['+7', '.', '7'],
  ['12,5', ',', '12.5'],
  ['12.5', ',', null],
  ['12,5', '.', null],
  ['12,5', '.,', '12.5'],
  ['1.2.3', '.', null],
  ['1.234,5', '.,', null],
  ['.', '.', null],
  ['', '.', null],
  ['-', '.', null],
  ['1e3', '.', null],
  ['0x1', '.', null],
  [' 1', '.', null],
  ['١', '.', null],
  ['9'.repeat(61), '.', null],
] as const)('%j with the mark %s is %s', (text, mark, expected) => {
  const read = parseDecimal(text, mark)
  expect(read === null ? null : formatDecimal(read, 0)).toBe(expected)
})

test.each([
  ['1', 2, '1.00'],
  ['1.5', 2, '1.50'],
  ['1.500', 2, '1.50'],
  ['1.505', 2, '1.505'],
  ['100', 0, '100'],
  ['100.0', 0, '100'],
  ['-0.001', 3, '-0.001'],
  ['0', 3, '0.000'],
] as const)('%s with at least %i places is written %s', (text, places, expected) => {
  expect(formatDecimal(parseDecimal(text, '.')!, places)).toBe(expected)
})

test('sums are those of whole numbers, and what is written is read back', () => {
  const decimal = fc.record({
    digits: fc.bigInt(-(10n ** 20n), 10n ** 20n),
    scale: fc.integer({ min: 0, max: 8 }),
  })
  fc.assert(
    fc.property(decimal, decimal, (left, right) => {
      const scaled = (value: typeof left) => value.digits * 10n ** BigInt(8 - value.scale)
      const sum = add(left, right)
      expect(scaled(sum)).toBe(scaled(left) + scaled(right))
      expect(isEqual(left, right)).toBe(scaled(left) === scaled(right))
      expect(isEqual(parseDecimal(formatDecimal(left, 2), '.')!, left)).toBe(true)
      expect(isEqual(add(left, negate(left)), { digits: 0n, scale: 0 })).toBe(true)
    }),
  )
})

test('dates are days of the calendar', () => {
  expect(['260131', '260132', '240229', '250229', '991231', '26013', '26x131'].map(shortDate)).toEqual([
    '2026-01-31',
    null,
    '2024-02-29',
    null,
    '1999-12-31',
    null,
    null,
  ])
  expect(
    [
      '2026-01-31',
      '2026-01-31T23:59:59+02:00',
      '2026-01-31+02:00',
      '2026-13-01',
      '2026-01-3',
      '2026-01-311',
    ].map(isoDate),
  ).toEqual(['2026-01-31', '2026-01-31', '2026-01-31', null, null, null])
  expect(['20260131', '20260131120000[-5:EST]', '00000000', '2026013'].map(compactDate)).toEqual([
    '2026-01-31',
    '2026-01-31',
    null,
    null,
  ])
})

test('lines are the same whatever ends them and wherever the text is cut', () => {
  const linesOf = (text: string, cuts: readonly number[] = []) => {
    const found: string[] = []
    const lines = new TextLines((line, number) => found.push(`${number}:${line}`))
    let at = 0
    for (const length of [...cuts, text.length]) {
      lines.push(text.slice(at, at + length))
      at += length
    }
    lines.end()
    return found
  }
  expect(linesOf('a\r\nb\nc\rd\n\ne')).toEqual(['1:a', '2:b', '3:c', '4:d', '5:', '6:e'])
  const text = fc
    .array(fc.constantFrom('a', 'b', '\r', '\n', '\r\n'), { maxLength: 30 })
    .map((parts) => parts.join(''))
  fc.assert(
    fc.property(text, fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 30 }), (content, cuts) => {
      expect(linesOf(content, cuts)).toEqual(linesOf(content))
    }),
  )
})

test.each([
  ['<?xml version="1.0"?><Document/>', 'camt'],
  ['\ufeff  <Document>', 'camt'],
  ['<?xml version="1.0"?>\n<?OFX OFXHEADER="200"?><OFX>', 'ofx'],
  ['<OFX>', 'ofx'],
  ['\r\n\r\nOFXHEADER:100', 'ofx'],
  ['{1:F01X}{2:I940X}{4:\n:20:A', 'mt'],
  ['\u0001{1:F01X}', 'mt'],
  ['BANK\n940\n:20:A\n', 'mt'],
  ['01,a,b,260101,0000,1,80,1,2/\n02,', 'bai2'],
  ['01,a,b,260101,0000,1,80,1/\n88,2/\n', 'bai2'],
  ['01,a,b/', 'bai2'],
  ['01,Anna,12.50\n02.01.2026,Bob,3\n', null],
  ['date;amount\n', null],
  ['%PDF-1.7', null],
  ['', null],
])('a file that begins with %j is %s', (head, family) => {
  expect(detectFormat(head)).toBe(family)
})
