/** `statements parse`: the one document, the text and the exit code, over good and bad files of one call. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseStatements } from './statements.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'statements-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const write = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}
const mt940 = (closing: string, currency = 'EUR') =>
  `:20:R\n:25:A\n:28C:7/1\n:60F:C260101${currency}10,\n:61:260102C2,NTRFX//B\n:86:Hello\n:62F:C260103${currency}${closing}\n-\n`
const parse = (files: readonly string[], options = {}) =>
  parseStatements(files, options, new AbortController().signal)

test('a good file: exact decimals of the currency, no lines unless asked for', async () => {
  const file = write('a.sta', mt940('12,'))
  expect(await parse([file])).toMatchObject({
    exitCode: 0,
    json: [
      {
        file,
        format: 'MT940',
        error: null,
        statements: [
          {
            id: 'R',
            account: 'A',
            currency: 'EUR',
            sequence: '7/1',
            opening: '10.00',
            openingDate: '2026-01-01',
            openingCode: '60F',
            closing: '12.00',
            entries: 1,
            sumCredits: '2.00',
            sumDebits: '0.00',
            proof: 'ok',
          },
        ],
      },
    ],
  })
  const [plain] = (await parse([file])).json as { statements: object[] }[]
  expect(plain!.statements[0]).not.toHaveProperty('lines')
  const [detailed] = (await parse([file], { lines: true })).json as { statements: { lines: object[] }[] }[]
  expect(detailed!.statements[0]!.lines).toMatchObject([
    { amount: '2.00', bankReference: 'B', text: 'Hello' },
  ])
})

test('places after the point follow the currency', async () => {
  const sums = async (currency: string) => {
    const [file] = (await parse([write(currency, mt940('12,', currency))])).json as {
      statements: { closing: string }[]
    }[]
    return file!.statements[0]!.closing
  }
  expect(await Promise.all(['JPY', 'EUR', 'BHD'].map(sums))).toEqual(['12', '12.00', '12.000'])
})

test('a bad file between good ones costs itself only', async () => {
  const files = [
    write('a', mt940('12,')),
    write('b', ':20:R\n:61:x\n'),
    join(folder, 'nothing'),
    write('c', mt940('12,')),
  ]
  const { json, text, exitCode } = await parse(files)
  const read = json as { file: string; error: { code: string; line?: number } | null; statements: object[] }[]
  expect(
    read.map(({ file, error, statements }) => [file, error?.code, error?.line, statements.length]),
  ).toEqual([
    [files[0], undefined, undefined, 1],
    [files[1], 'tag_missing', 2, 0],
    [files[2], 'file_unreadable', undefined, 0],
    [files[3], undefined, undefined, 1],
  ])
  expect(exitCode).toBe(1)
  expect(text).toContain('line 2, :61:: expected :60F:, :60M: or :34F: before the first :61: (tag_missing)')
})

test('arithmetic that does not hold is exit code 1', async () => {
  const { json, exitCode } = await parse([write('a', mt940('12,01'))])
  expect(json).toMatchObject([{ error: null, statements: [{ proof: 'mismatch' }] }])
  expect(exitCode).toBe(1)
})

test('lines that cannot be read are exit code 1', async () => {
  const file = write('a', 'date,amount\n2026-01-02,x\n')
  const amount = { value: '{amount}', unit: 'major' }
  const mapping = write(
    'm.json',
    JSON.stringify({
      account: 'A',
      currency: 'EUR',
      bookingDate: { value: '{date}', format: 'iso' },
      amount,
    }),
  )
  expect(await parse([file], { mapping })).toMatchObject({
    exitCode: 1,
    json: [{ error: null, rejectCount: 1 }],
  })
  await expect(parse([file], { mapping: file })).rejects.toMatchObject({ code: 'configuration_invalid' })
})
