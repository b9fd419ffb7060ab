/** MT940 and MT942 by the rules of their fields, and what is no such message. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatDecimal, fromMinor } from '../decimal.ts'
import { amounts, readText } from '../testing/read.ts'
import { MtParser } from './reader.ts'

const read = (text: string, cuts?: readonly number[]) => readText((sink) => new MtParser(sink), text, cuts)

const STATEMENT = `:20:REF1
:25:12345678/0001
:28C:7/1
:60F:C260101EUR1000,
:61:2601020102C250,50NTRFORDER 7//BANK9
second line
:86:166?00CREDIT?20EREF+E2E-1?21SVWZ+Invoice?22 77?30BANKDEFF?31DE02?32Ann?33a Example
:61:260103D50,NCHGNONREF
:62F:C260103EUR1200,50
:64:C260103EUR1200,50
-
`
const message = (lines: string, closing = 'C260103EUR1000,') =>
  `:20:R\n:25:1\n:28C:1\n:60F:C260101EUR1000,\n${lines}\n:62F:${closing}\n-\n`

test('a statement with its entries, references and details', () => {
  const { format, error, statements, warnings } = read(STATEMENT)
  expect({ format, error, warnings }).toEqual({ format: 'MT940', error: null, warnings: [] })
  expect(statements).toHaveLength(1)
  const { lines, ...statement } = statements[0]!
  expect(statement).toEqual({
    id: 'REF1',
    account: '12345678/0001',
    currency: 'EUR',
    sequence: '7/1',
    opening: '1000',
    closing: '1200.5',
    entries: 2,
    sumCredits: '250.5',
    sumDebits: '50',
    unbooked: 0,
    rejected: 0,
    proof: 'ok',
    controls: 'n/a',
  })
  expect(lines[0]).toMatchObject({
    line: 5,
    status: 'booked',
    bookingDate: '2026-01-02',
    valueDate: '2026-01-02',
    reference: 'ORDER 7',
    bankReference: 'BANK9',
    code: 'NTRF',
    reversal: false,
  })
  expect(lines[0]!.text).toContain('second line')
  expect(lines[0]!.details).toMatchObject([
    {
      endToEndId: 'E2E-1',
      remittance: 'Invoice 77',
      counterpartyName: 'Anna Example',
      counterpartyAccount: 'DE02',
      counterpartyAgent: 'BANKDEFF',
    },
  ])
  expect(lines[1]).toMatchObject({ bookingDate: null, reference: null, text: null, details: [] })
})

test.each([
  ['C1,', '1', false],
  ['D1,', '-1', false],
  ['CR1,', '1', false],
  ['DR1,', '-1', false],
  ['RC1,', '-1', true],
  ['RD1,', '1', true],
  ['RCR1,', '-1', true],
  ['RDR1,', '1', true],
  ['DD2000,', '-2000', false],
  ['D,5', '-0.5', false],
  ['C12', '12', false],
  ['C12,345', '12.345', false],
  ['D12,35 ', '-12.35', false],
])('the mark and amount %s are %s, reversal %s', (marked, amount, reversal) => {
  const { statements, error } = read(message(`:61:2601020102${marked}NTRFX`))
  expect(error).toBeNull()
  expect(amounts(statements[0])).toEqual([amount])
  expect(statements[0]!.lines[0]!.reversal).toBe(reversal)
})

test('expected entries of an MT942 are not booked', () => {
  const { format, statements } = read(`:20:R\n:25:1\n:28C:1\n:34F:EUR0,\n:13D:2601021200+0100
:61:2601020102C5,NTRFX\n:61:2601020102EC7,NTRFX\n:61:2601020102ED8,NTRFX\n:90D:0EUR0,\n:90C:1EUR5,\n-\n`)
  expect(format).toBe('MT942')
  expect(statements[0]).toMatchObject({
    entries: 1,
    unbooked: 2,
    sumCredits: '5',
    sumDebits: '0',
    currency: 'EUR',
  })
  expect(statements[0]).toMatchObject({ proof: 'n/a', controls: 'ok', opening: null, closing: null })
})

test('totals of an MT942 that disagree with its entries are a mismatch', () => {
  const { statements } = read(`:20:R\n:25:1\n:28C:1\n:34F:EUR0,\n:61:2601020102C5,NTRFX\n:90C:1EUR6,\n-\n`)
  expect(statements[0]!.controls).toBe('mismatch')
})

test('arithmetic that does not hold is a mismatch, by one cent too', () => {
  expect(read(message(':61:260102C,01NTRFX', 'C260103EUR1000,01')).statements[0]!.proof).toBe('ok')
  expect(read(message(':61:260102C,01NTRFX', 'C260103EUR1000,02')).statements[0]!.proof).toBe('mismatch')
  expect(read(message('', 'D260103EUR1000,')).statements[0]!.proof).toBe('mismatch')
})

test('the entry date lies within half a year of the value date', () => {
  const dates = ['2512310102', '2601021231', '2602290301', '2602300301'].map(
    (both) => read(message(`:61:${both}C1,NTRFX`)).statements[0]?.lines[0],
  )
  expect(dates.map((line) => [line?.valueDate, line?.bookingDate])).toEqual([
    ['2025-12-31', '2026-01-02'],
    ['2026-01-02', '2025-12-31'],
    ['2026-02-28', '2026-03-01'],
    ['2026-02-28', '2026-03-01'],
  ])
})

test('a time cut behind its first colon, and unknown tags, stay text of field 86', () => {
  const { statements, error } = read(
    message(':61:260102C1,NTRFX\n:86:at 13\n:12:11 o clock\n:23E:XYZ\n:28C:no'),
  )
  expect(error).toBeNull()
  expect(statements[0]!.lines[0]!.text).toBe('at 13\n:12:11 o clock\n:23E:XYZ\n:28C:no')
  expect(statements[0]!.sequence).toBe('1')
})

test('pages are statements of their own, with intermediate balances; blocks and words around messages are passed over', () => {
  const page = (number: number, from: string, to: string) =>
    `{1:F01BANKDEFFAXXX0000000000}{2:I940BANKDEFFXXXXN}{4:\r\n:20:R\r\n:25:1\r\n:28C:3/${number}\r\n:60${from}\r\n:61:260102C1,NTRFX\r\n:62${to}\r\n:86:closing words\r\n-}{5:}\r\n`
  const { statements, error, warnings } = read(
    `\u0001${page(1, 'F:C260101EUR1,', 'M:C260102EUR2,')}\u0003\r\nBANK WORDS\r\n${page(2, 'M:C260102EUR2,', 'F:C260102EUR3,')}`,
  )
  expect({ error, warnings }).toEqual({ error: null, warnings: [] })
  expect(
    statements.map(({ sequence, opening, closing, proof }) => [sequence, opening, closing, proof]),
  ).toEqual([
    ['3/1', '1', '2', 'ok'],
    ['3/2', '2', '3', 'ok'],
  ])
  expect(statements[0]!.lines[0]!.text).toBeNull()
})

test('what is missing and can be done without is warned of', () => {
  const { error, statements, warnings } = read(':20:R\n:60F:C260101EUR1,\n:61:260102C1,NTRFX\n')
  expect(error).toBeNull()
  expect(statements[0]).toMatchObject({
    account: null,
    sequence: null,
    closing: null,
    proof: 'n/a',
    entries: 1,
  })
  expect(warnings.map(({ code, message: text }) => `${code} ${text}`)).toEqual([
    'tag_missing expected :25:',
    'tag_missing expected :28C:',
    'tag_missing expected :62F:',
    'truncated the file ends without closing balance and end of message: it may be cut short',
  ])
  const ended = read(':20:R\n:25:1\n:28C:1\n:60F:C260101EUR1,\n-\n')
  expect(ended.warnings.map(({ code }) => code)).toEqual(['tag_missing'])
})

test.each([
  ['an entry before the opening balance', ':20:R\n:25:1\n:61:260102C1,NTRFX\n', 'tag_missing', 3],
  ['a field before the message', ':25:1\n:20:R\n', 'tag_missing', 1],
  [
    'an entry behind the closing balance',
    message('').replace('-\n', ':61:260102C1,NTRFX\n-\n'),
    'tag_unexpected',
    7,
  ],
  ['two opening balances', message(':60F:C260101EUR1,'), 'tag_unexpected', 5],
  ['a closing balance alone', ':20:R\n:25:1\n:62F:C260101EUR1,\n', 'tag_missing', 3],
  ['an entry cut short', ':20:R\n:25:1\n:60F:C260101EUR1,\n:61:2601', 'value_invalid', 4],
  ['an entry without a mark', message(':61:2601021,NTRFX'), 'value_invalid', 5],
  ['an entry without an amount', message(':61:260102C,NTRFX'), 'value_invalid', 5],
  ['an amount with a point', message(':61:260102C1.00NTRFX'), 'value_invalid', 5],
  ['a value date that is none', message(':61:261302C1,NTRFX'), 'value_invalid', 5],
  ['a balance without a currency', message('', 'C2601031000,'), 'value_invalid', 6],
  ['a balance without a mark', message('', '260103EUR1000,'), 'value_invalid', 6],
  ['a block without an end', '{1:F01X}{2:I940X}{4:\n:20:R\n:25:1\n:60F:C260101EUR1,\n', 'truncated', 4],
  ['another message', '{1:F01X}{2:I103XN}{4:\n:20:R\n:23B:CRED\n-}', 'format_unknown', 2],
  ['nothing', 'words\n', 'format_unknown', undefined],
  ['a field of an MT942 in an MT940', message(':90C:1EUR1,'), 'tag_unexpected', 5],
])('%s is refused with its place', (_name, text, code, line) => {
  const { error } = read(text)
  expect(error).toMatchObject({ code, ...(line === undefined ? {} : { line }) })
})

test('any cut of the text gives the same', () => {
  const text = STATEMENT.replaceAll('\n', '\r\n') + message(':61:260102RC,10NTRFX\n:86:/EREF/X/REMI/USTD//Y/')
  const whole = read(text)
  expect(whole.statements).toHaveLength(2)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 40 }), (cuts) => {
      expect(read(text, cuts)).toEqual(whole)
    }),
  )
})

test('what is written is read back, and proven', () => {
  const entry = fc.record({
    minor: fc.bigInt(0n, 10n ** 14n),
    mark: fc.constantFrom('C', 'D', 'RC', 'RD'),
    funds: fc.constantFrom('', 'R'),
    reference: fc.stringMatching(/^[A-Z0-9]{1,16}$/),
  })
  fc.assert(
    fc.property(
      fc.bigInt(-(10n ** 14n), 10n ** 14n),
      fc.array(entry, { maxLength: 20 }),
      (opening, entries) => {
        const signed = entries.map(({ minor, mark }) => (mark === 'C' || mark === 'RD' ? minor : -minor))
        const closing = signed.reduce((sum, minor) => sum + minor, opening)
        const { statements, error } = read(
          [
            ':20:R',
            ':25:1',
            ':28C:1',
            `:60F:${balance(opening)}`,
            ...entries.map(
              ({ minor, mark, funds, reference }) =>
                `:61:260102${mark}${funds}${comma(minor)}NTRF${reference}`,
            ),
            `:62F:${balance(closing)}`,
          ].join('\n'),
        )
        expect(error).toBeNull()
        expect(amounts(statements[0])).toEqual(signed.map((minor) => formatDecimal(fromMinor(minor, 2), 0)))
        expect(statements[0]).toMatchObject({ proof: 'ok', entries: entries.length })
      },
    ),
  )
})

const comma = (minor: bigint) => formatDecimal(fromMinor(minor, 2), 2).replace('.', ',')
const balance = (minor: bigint) => `${minor < 0n ? 'D' : 'C'}260101EUR${comma(minor < 0n ? -minor : minor)}`
