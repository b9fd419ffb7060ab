/** Reading CSV: forms of files, line numbers, and that a broken line costs that line only. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type CsvFormat, type CsvProblem, type CsvRecord, readCsv } from './reader.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'csv-reader-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const FORMAT: CsvFormat = { delimiter: ',', quote: '"', header: true, encoding: 'utf-8', skipLines: 0 }

const read = async (content: string | Buffer, changes: Partial<CsvFormat> = {}) => {
  const path = join(folder, 'file.csv')
  writeFileSync(path, content)
  const records: CsvRecord[] = []
  const problems: CsvProblem[] = []
  let header: readonly string[] = []
  for await (const block of readCsv(path, { ...FORMAT, ...changes })) {
    header = block.header
    records.push(...block.records)
    problems.push(...block.problems)
  }
  return {
    header,
    rows: records.map(({ line, fields }) => [line, ...fields]),
    problems: problems.map(({ line, reason }) => [line, reason]),
    texts: records.map(({ text }) => text),
  }
}

test('header, quotes, empty fields, blank lines, CRLF, no line end at the end', async () => {
  const { header, rows, texts } = await read('a, b ,c\r\n1,"x, ""y""",\r\n\r\n2,,"z"')
  expect(header).toEqual(['a', 'b', 'c'])
  expect(rows).toEqual([
    [2, '1', 'x, "y"', ''],
    [4, '2', '', 'z'],
  ])
  expect(texts[0]).toBe('1,"x, ""y""",')
})

test('gzip is known by its first bytes, members one after the other included', async () => {
  const zipped = Buffer.concat([gzipSync('a,b\n1,2\n'), gzipSync('3,4\n')])
  expect((await read(zipped)).rows).toEqual([
    [2, '1', '2'],
    [3, '3', '4'],
  ])
})

test('byte order mark, other delimiter and quote, header from the mapping, lines to skip, an old code page', async () => {
  expect((await read('\ufeffa;b\n1;2\n', { delimiter: ';' })).header).toEqual(['a', 'b'])
  expect((await read("'a,1',2\n", { quote: "'", header: ['x', 'y'] })).rows).toEqual([[1, 'a,1', '2']])
  expect((await read('Export of today\n\na,b\n1,2\n', { skipLines: 2 })).rows).toEqual([[4, '1', '2']])
  const latin = Buffer.from('a,b\nM\u00fcller,\u20ac\n'.replace('\u20ac', '\x80'), 'latin1')
  expect((await read(latin, { encoding: 'windows-1252' })).rows).toEqual([[2, 'M\u00fcller', '\u20ac']])
  expect((await read('a,b\n5" screen,2\n', { quote: '' })).rows).toEqual([[2, '5" screen', '2']])
})

test('quoted fields over several lines, blank ones included', async () => {
  expect((await read('a,b\n1,"x\n\ny"\n2,z\n')).rows).toEqual([
    [2, '1', 'x\n\ny'],
    [5, '2', 'z'],
  ])
})

test('a broken line costs that line only', async () => {
  const { rows, problems } = await read('a,b\n1,2\n3,"4\n5,6\n7,8"\n9\n1,2,3\n1,2,\n10,1"1\n12,13\n')
  // Line 3's quote is closed by line 5's end: that reads as one record, as the format allows.
  expect(rows).toEqual([
    [2, '1', '2'],
    [3, '3', '4\n5,6\n7,8'],
    [8, '1', '2', ''],
    [10, '12', '13'],
  ])
  expect(problems.sort(([a], [b]) => Number(a) - Number(b))).toEqual([
    [6, 'column_count'],
    [7, 'column_count'],
    [9, 'quotes_invalid'],
  ])
})

test('a stray quote far from any other does not swallow what follows', async () => {
  const lines = Array.from({ length: 5_000 }, (_, index) => `${index},x`)
  lines[100] = '100,"x'
  lines[4_000] = '4000,x"'
  const { rows, problems } = await read(`a,b\n${lines.join('\n')}\n`)
  expect(problems).toEqual([
    [102, 'quotes_invalid'],
    [4_002, 'quotes_invalid'],
  ])
  expect(rows).toHaveLength(4_998)
})

test('bytes that are no UTF-8, and lines without an end, are refused', async () => {
  const broken = Buffer.concat([Buffer.from('a,b\n1,'), Buffer.from([0xff]), Buffer.from('\n2,3\n')])
  expect(await read(broken)).toMatchObject({ problems: [[2, 'encoding_invalid']], rows: [[3, '2', '3']] })
  const long = `a,b\n1,${'x'.repeat(5_000_000)}\n2,3\n`
  expect(await read(long)).toMatchObject({ problems: [[2, 'line_too_long']], rows: [[3, '2', '3']] })
})

test('text that no table could hold costs its line only', async () => {
  expect(await read('a,b\n1,x\0y\n2,3\n')).toMatchObject({
    problems: [[2, 'encoding_invalid']],
    rows: [[3, '2', '3']],
  })
})

test('a gzip file that was cut or damaged, and a folder, are told as such', async () => {
  const zipped = gzipSync(`a,b\n${'1,2\n'.repeat(1_000)}`)
  const isConfiguration = { code: 'configuration_invalid' }
  await expect(read(zipped.subarray(0, zipped.length - 10))).rejects.toMatchObject(isConfiguration)
  const damaged = Buffer.from(zipped)
  damaged.fill(0xff, 12)
  await expect(read(damaged)).rejects.toThrow(/expected a whole gzip file/)
  await expect(async () => {
    for await (const _block of readCsv(folder, FORMAT));
  }).rejects.toMatchObject(isConfiguration)
})

test('a file that is not there, and one without a header', async () => {
  await expect(async () => {
    for await (const _block of readCsv(join(folder, 'missing.csv'), FORMAT));
  }).rejects.toThrow(/expected a readable file/)
  await expect(read('')).rejects.toThrow(/expected a header line/)
})

test('what is written as CSV is read back with its line numbers, whatever the fields', async () => {
  const field = fc.string({ unit: fc.constantFrom('a', '1', ',', '"', '\n', ' ', '\u00e4') })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(field, field), { maxLength: 30 }), async (rows) => {
      const quoted = (value: string) => `"${value.replaceAll('"', '""')}"`
      const result = await read(`a,b\n${rows.map((row) => `${row.map(quoted).join(',')}\n`).join('')}`)
      let line = 2
      const expected = rows.map((row) => {
        const start = line
        line += 1 + row.join('').split('\n').length - 1
        return [start, ...row]
      })
      expect(result).toMatchObject({ rows: expected, problems: [] })
    }),
    { numRuns: 60 },
  )
})
