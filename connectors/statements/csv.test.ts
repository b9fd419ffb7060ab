/** CSV statements by their mapping: signs, columns, dates, balances, several accounts, and lines that can't be read. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { formatDecimal } from '#domain/statements/decimal.ts'
import { parseStatementMapping } from './csv-mapping.ts'
import { type ParsedStatement, parseStatementFile } from './parse-file.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'csv-statement-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const BASE = {
  account: 'A1',
  currency: '{ccy}',
  bookingDate: { value: '{date}', format: 'iso' },
  amount: { value: '{amount}', unit: 'major' },
}

const parse = async (text: string | Buffer, mapping: Record<string, unknown> | string) => {
  const path = join(folder, 'in.csv')
  writeFileSync(path, text)
  return await parseStatementFile(path, {
    collectLines: true,
    mapping: parseStatementMapping(typeof mapping === 'string' ? mapping : JSON.stringify(mapping)),
    signal: new AbortController().signal,
  })
}
const amounts = (statement: ParsedStatement | undefined) =>
  statement?.lines?.map(({ amount }) => formatDecimal(amount, 0))
const text = (rows: readonly string[]) => `date,amount,ccy,mark,balance,note\n${rows.join('\n')}\n`

test('the whole example: decimal comma, columns for both sides, balances, an account a statement', async () => {
  const example = readFileSync(new URL('./examples/bank-statement.json', import.meta.url), 'utf8')
  const { format, error, statements, rejects } = await parse(
    Buffer.from(
      `IBAN;Waehrung;Buchungstag;Valuta;Name;Verwendungszweck;Soll;Haben;Saldo;Referenz
DE1;EUR;02.01.2026;01.01.2026;Ärzte;Hi;;1.000,50;1.100,50;R1
DE2;JPY;03.01.2026;02.01.2026;Bob;Rent;100;;1.000;R2
DE1;EUR;03.01.2026;02.01.2026;Bob;Rent;100,50;;1.000,00;R3
DE2;JPY;03.01.2026;02.01.2026;Bob;Rent;1x0;;1.000;R4
`,
      'latin1',
    ),
    example,
  )
  expect({ format, error }).toEqual({ format: 'CSV', error: null })
  expect(rejects).toMatchObject([{ code: 'value_invalid', line: 5 }])
  expect(
    statements.map((statement) => [
      statement.account,
      statement.currency,
      amounts(statement),
      statement.proof,
    ]),
  ).toEqual([
    ['DE1', 'EUR', ['1000.5', '-100.5'], 'ok'],
    ['DE2', 'JPY', ['-100'], 'ok'],
  ])
  expect(formatDecimal(statements[0]!.opening!.amount, 2)).toBe('100.00')
  expect(formatDecimal(statements[0]!.closing!.amount, 2)).toBe('1000.00')
  expect(statements[0]!.lines![0]).toMatchObject({
    bookingDate: '2026-01-02',
    valueDate: '2026-01-01',
    reference: 'R1',
  })
  expect(statements[0]!.lines![0]!.details[0]!.counterpartyName).toBe('Ärzte')
})

test('a balance column that does not follow from the lines is a mismatch; newest first is turned around', async () => {
  const rows = ['2026-01-02,1,EUR,,1,', '2026-01-03,2,EUR,,3,', '2026-01-04,3,EUR,,6,']
  const proofOf = async (lines: readonly string[], order: string) =>
    (await parse(text(lines), { ...BASE, balance: '{balance}', order })).statements[0]!
  expect(await proofOf(rows, 'oldest-first')).toMatchObject({ proof: 'ok' })
  expect(await proofOf(rows.toReversed(), 'newest-first')).toMatchObject({ proof: 'ok' })
  expect(await proofOf(rows.toReversed(), 'oldest-first')).toMatchObject({ proof: 'mismatch' })
  expect(await proofOf([rows[0]!, rows[2]!], 'oldest-first')).toMatchObject({ proof: 'mismatch' })
})

test.each([
  [{}, ['5', '-3'], 0],
  [{ positive: 'debit' }, ['-5', '3'], 0],
  [{ direction: { value: '{mark}', credit: ['H'], debit: ['S'] } }, ['-5', '-3'], 0],
  [{ direction: { value: '{mark}', credit: ['H'], debit: ['X'] } }, ['-3'], 1],
])('signs by %j', async (more, expected, rejected) => {
  const { statements, rejectCount } = await parse(text(['2026-01-02,5,EUR,s,,', '2026-01-02,-3,EUR,H,,']), {
    ...BASE,
    ...more,
  })
  expect(amounts(statements[0])).toEqual(expected)
  expect(rejectCount).toBe(rejected)
})

test('words of a status column tell what is not booked', async () => {
  const { statements } = await parse(text(['2026-01-02,5,EUR,booked,,', '2026-01-02,3,EUR,Vorgemerkt,,']), {
    ...BASE,
    status: { value: '{mark}', pending: ['vorgemerkt'] },
  })
  expect(statements[0]).toMatchObject({ entries: 1, unbooked: 1 })
})

test('a pending line does not carry the balance on', async () => {
  const rows = ['2026-01-02,5,EUR,booked,5,', '2026-01-02,3,EUR,pending,8,']
  const { statements } = await parse(text(rows), {
    ...BASE,
    balance: '{balance}',
    status: { value: '{mark}', pending: ['pending'] },
  })
  expect(formatDecimal(statements[0]!.closing!.amount, 0)).toBe('5')
  expect(statements[0]!.proof).toBe('ok')
})

test('the day stays the day of the bank', async () => {
  const { statements } = await parse(
    text(['2026-01-02T00:30:00+02:00,5,EUR,,,', '2026-01-02 23:59,5,EUR,,,']),
    BASE,
  )
  expect(statements[0]!.lines!.map(({ bookingDate }) => bookingDate)).toEqual(['2026-01-02', '2026-01-02'])
})

test('tabs and UTF-16, as spreadsheets write them', async () => {
  const content = '\ufeffdate\tamount\tccy\n2026-01-02\t5\tEUR\n'
  const { error, statements } = await parse(Buffer.from(content, 'utf16le'), {
    ...BASE,
    file: { delimiter: '\t', encoding: 'utf-16le' },
  })
  expect(error).toBeNull()
  expect(amounts(statements[0])).toEqual(['5'])
})

test.each([
  ['5,0,EUR'],
  ['2026-02-30,5,EUR,,,'],
  [',5,EUR,,,'],
  ['2026-01-02,,EUR,,,'],
  ['2026-01-02,5.001,EUR,,,'],
  ['2026-01-02,5,XXX,,,'],
  ['2026-01-02,5,EUR,,"x,'],
])('the line %s is rejected with its number, the others stay', async (row) => {
  const { error, statements, rejects } = await parse(
    text(['2026-01-02,1,EUR,,,', row, '2026-01-02,2,EUR,,,']),
    BASE,
  )
  expect(error).toBeNull()
  expect(amounts(statements[0])).toEqual(['1', '2'])
  expect(rejects).toMatchObject([{ code: 'value_invalid', line: 3 }])
})

test('a column that is not there is the problem of that file', async () => {
  const { error } = await parse(text([]).concat('2026-01-02,1,EUR,,,\n'), { ...BASE, account: '{IBAN}' })
  expect(error).toMatchObject({ code: 'tag_missing' })
  expect(error!.message).toContain('{IBAN}')
})

test('a known format is read as that, whatever mapping there is', async () => {
  expect((await parse(':20:R\n:25:1\n:28C:1\n:60F:C260101EUR1,\n:62F:C260101EUR1,\n', BASE)).format).toBe(
    'MT940',
  )
})

test('every wrong key of a mapping is named', () => {
  const mapping = {
    ...BASE,
    positive: 'up',
    colour: 1,
    amount: { debit: '{d}', credit: '{c}', unit: 'major' },
    direction: { value: '{m}' },
  }
  expect(() => parseStatementMapping(JSON.stringify(mapping))).toThrow(
    /positive[\s\S]*direction[\s\S]*colour/,
  )
  expect(() => parseStatementMapping('{')).toThrow('expected JSON')
})
