/** BAI2 by the rules of its records, its control totals, and what is no such file. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatDecimal, fromMinor } from '../decimal.ts'
import { amounts, readText } from '../testing/read.ts'
import { Bai2Parser } from './reader.ts'
import { isCreditCode } from './type-codes.ts'

const read = (text: string, cuts?: readonly number[]) => readText((sink) => new Bai2Parser(sink), text, cuts)

interface Options {
  currency?: string
  accountCurrency?: string
  status?: string
  summaries?: string
  control?: bigint
}

/** A file of one account with right trailers, from its records 16 and 88. */
function file(records: readonly string[], options: Options = {}): string {
  const {
    currency = 'USD',
    accountCurrency = '',
    status = '1',
    summaries = '010,1000,,,015,1000,,',
    control = 2000n,
  } = options
  const account = [`03,ACC,${accountCurrency},${summaries}/`, ...records]
  const count = account.length
  return [
    '01,SEND,RECV,260102,0800,1,80,1,2/',
    `02,RECV,ORIG,${status},260101,,${currency},2/`,
    ...account,
    `49,${control},${count + 1}/`,
    `98,${control},1,${count + 3}/`,
    `99,${control},1,${count + 5}/`,
    '',
  ].join('\n')
}

test('an account with balances, credits, debits, references and text', () => {
  const text = file(
    [
      '16,195,500,V,260103,1200,BANK1,CUST1,WIRE, OF ACME',
      '88,SECOND, LINE',
      '16,495,500,S,100,200,200,BANK2,CUST2/',
    ],
    { control: 3000n },
  )
  const { format, error, statements, warnings } = read(text)
  expect({ format, error, warnings }).toEqual({ format: 'BAI2', error: null, warnings: [] })
  expect(statements[0]).toMatchObject({
    id: null,
    account: 'ACC',
    currency: 'USD',
    opening: '10',
    closing: '10',
    entries: 2,
    sumCredits: '5',
    sumDebits: '5',
    proof: 'ok',
    controls: 'ok',
  })
  expect(statements[0]!.lines).toMatchObject([
    {
      line: 4,
      code: '195',
      bookingDate: '2026-01-01',
      valueDate: '2026-01-03',
      bankReference: 'BANK1',
      reference: 'CUST1',
      text: 'WIRE, OF ACME\nSECOND, LINE',
    },
    { line: 6, bankReference: 'BANK2', reference: 'CUST2', text: null },
  ])
})

test('continuations go on with the next field, wherever the record is cut', () => {
  const whole = read(file(['16,195,500,D,2,0,200,1,300,BANK,CUST,TEXT/'], { control: 2500n }))
  const fields = '16,195,500,D,2,0,200,1,300,BANK,CUST,TEXT'.split(',')
  for (let at = 2; at < fields.length; at += 1) {
    const cut = [`${fields.slice(0, at).join(',')}/`, `88,${fields.slice(at).join(',')}/`]
    const { statements, error, warnings } = read(file(cut, { control: 2500n }))
    expect({ error, warnings }).toEqual({ error: null, warnings: [] })
    expect(statements).toEqual(whole.statements)
  }
})

test.each([
  ['USD', '5'],
  ['JPY', '500'],
  ['BHD', '0.5'],
])('the currency %s says where the point is', (currency, amount) => {
  for (const options of [{ currency }, { accountCurrency: currency }]) {
    const { statements } = read(file(['16,195,500,,,,/'], { ...options, control: 2500n }))
    expect(statements[0]!.currency).toBe(currency)
    expect(amounts(statements[0])).toEqual([amount])
  }
})

test('type codes say the direction; codes without one, deletions and tests book nothing', () => {
  const codes = [
    '100',
    '399',
    '400',
    '699',
    '720',
    '760',
    '890',
    '905',
    '920',
    '959',
    '960',
    '999',
    '015',
    'abc',
  ]
  expect(codes.map(isCreditCode)).toEqual([
    true,
    true,
    false,
    false,
    true,
    false,
    null,
    null,
    true,
    true,
    false,
    false,
    null,
    null,
  ])
  const information = read(file(['16,890,,,,,TEXT/'])).statements[0]!
  expect(information).toMatchObject({ entries: 0, unbooked: 1 })
  const deletion = read(file(['16,195,500,,,,/'], { status: '2', control: 2500n }))
  expect(deletion.statements[0]).toMatchObject({ entries: 0, unbooked: 1, sumCredits: '0' })
  expect(deletion.warnings).toHaveLength(1)
})

test('control totals and record counts are held against what was read', () => {
  const good = file(['16,195,500,,,,/'], { control: 2500n })
  expect(read(good).statements[0]!.controls).toBe('ok')
  expect(read(good.replace('49,2500,3/', '49,2501,3/')).statements[0]!.controls).toBe('mismatch')
  expect(read(good.replace('49,2500,3/', '49,2500,4/')).statements[0]!.controls).toBe('mismatch')
  const group = read(good.replace('98,2500,1,5/', '98,2500,2,5/'))
  expect(group.warnings).toMatchObject([{ code: 'value_invalid', path: '98' }])
})

const good = file(['16,195,500,,,,/'], { control: 2500n })
test.each([
  ['without a file trailer', good.replace(/99,.*\n/, ''), 'truncated', 6],
  ['cut inside a record', good.slice(0, good.indexOf('49,') + 4), 'truncated', 5],
  ['without a file header', good.replace(/01,.*\n/, ''), 'tag_missing', 1],
  ['without a group header', good.replace(/\n02,.*/, ''), 'tag_missing', 2],
  ['without an account header', good.replace(/\n03,.*/, ''), 'tag_missing', 3],
  ['without an account trailer', good.replace(/\n49,.*/, ''), 'tag_missing', 5],
  ['without a group trailer', good.replace(/\n98,.*/, ''), 'tag_missing', 6],
  ['an account without number', good.replace('03,ACC', '03,'), 'tag_missing', 3],
  ['a second file header', good.replace('\n02,', '\n01,a,b,260102,,1,,,2/\n02,'), 'tag_unexpected', 2],
  ['records behind the trailer', `${good}02,a,b,1,260101,,,/`, 'tag_unexpected', 8],
  ['an unknown record', good.replace('16,', '17,'), 'tag_unexpected', 4],
  ['a continuation of nothing', '88,a/\n', 'tag_unexpected', 1],
  ['an amount with a point', good.replace('195,500', '195,5.00'), 'value_invalid', 4],
  ['a type code that is none', good.replace('195,500', 'XYZ,500'), 'value_invalid', 4],
  ['a funds type that is none', good.replace('195,500,', '195,500,Q'), 'value_invalid', 4],
  ['another version', good.replace('80,1,2/', '80,1,3/'), 'version_unsupported', 1],
  ['a date that is none', good.replace('1,260101', '1,261301'), 'value_invalid', 2],
  ['words', '01,\nhello\n', 'value_invalid', 2],
])('%s is refused with its place', (_name, text, code, line) => {
  expect(read(text).error).toMatchObject({ code, line })
})

test('any cut of the text gives the same', () => {
  const text = file(['16,195,500,V,260103,,B,C,TEXT', '88,MORE', '16,495,500,,B,C/'], {
    control: 3000n,
  }).replaceAll('\n', '\r\n')
  const whole = read(text)
  expect(whole.error).toBeNull()
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 40 }), (cuts) => {
      expect(read(text, cuts)).toEqual(whole)
    }),
  )
})

test('what is written is read back, and proven', () => {
  const detail = fc.record({ minor: fc.bigInt(0n, 10n ** 14n), credit: fc.boolean() })
  fc.assert(
    fc.property(
      fc.bigInt(-(10n ** 14n), 10n ** 14n),
      fc.array(detail, { maxLength: 20 }),
      (opening, details) => {
        const signed = details.map(({ minor, credit }) => (credit ? minor : -minor))
        const closing = signed.reduce((sum, minor) => sum + minor, opening)
        const control = details.reduce((sum, { minor }) => sum + minor, opening + closing)
        const { statements, error, warnings } = read(
          file(
            details.map(({ minor, credit }) => `16,${credit ? 195 : 495},${minor},Z,B,C,T/`),
            { summaries: `010,${opening},,,015,${closing},,`, control },
          ),
        )
        expect({ error, warnings }).toEqual({ error: null, warnings: [] })
        expect(amounts(statements[0])).toEqual(signed.map((minor) => formatDecimal(fromMinor(minor, 2), 0)))
        expect(statements[0]).toMatchObject({ proof: 'ok', controls: 'ok' })
      },
    ),
  )
})
