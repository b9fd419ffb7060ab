/** Bytes to text: encodings, gzip, and files that are none. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseStatementFile } from './parse-file.ts'
import { openText } from './source.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'statement-source-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const write = (bytes: Buffer): string => {
  const path = join(folder, 'file')
  writeFileSync(path, bytes)
  return path
}
const read = async (bytes: Buffer): Promise<[string, string]> => {
  const source = await openText(write(bytes))
  let text = ''
  for await (const piece of source.pieces()) text += piece
  return [source.encoding, text]
}
const utf16be = (text: string) => Buffer.from(text, 'utf16le').swap16()
const XML = (encoding: string) =>
  `<?xml version="1.0"${encoding === '' ? '' : ` encoding="${encoding}"`}?><a>é€</a>`
const MT = ':20:Zürich é\n'

test.each<[string, Buffer, string, string]>([
  ['XML in UTF-8 with a mark', Buffer.from(`\ufeff${XML('')}`), 'utf-8', XML('')],
  ['XML without a declaration', Buffer.from('<a>é</a>'), 'utf-8', '<a>é</a>'],
  [
    'XML in Latin-1',
    Buffer.from('<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>', 'latin1'),
    'windows-1252',
    '<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>',
  ],
  ['XML in UTF-16 with a mark', Buffer.from(`\ufeff${XML('UTF-16')}`, 'utf16le'), 'utf-16le', XML('UTF-16')],
  ['XML in UTF-16, big end first, with a mark', utf16be(`\ufeff${XML('UTF-16')}`), 'utf-16be', XML('UTF-16')],
  ['XML in UTF-16 without a mark', Buffer.from(XML('UTF-16LE'), 'utf16le'), 'utf-16le', XML('UTF-16LE')],
  ['MT in UTF-8', Buffer.from(MT), 'utf-8', MT],
  ['MT in Latin-1', Buffer.from(MT, 'latin1'), 'windows-1252', MT],
  ['MT in UTF-16', Buffer.from(MT, 'utf16le'), 'utf-16le', MT],
  ['gzip', gzipSync(MT), 'utf-8', MT],
  [
    'OFX that names 1252 and is UTF-8',
    Buffer.from('OFXHEADER:100\nCHARSET:1252\n<OFX>é'),
    'utf-8',
    'OFXHEADER:100\nCHARSET:1252\n<OFX>é',
  ],
])('%s', async (_name, bytes, encoding, text) => {
  expect(await read(bytes)).toEqual([encoding, text])
})

test('UTF-8 whose characters are cut at every border of a piece', async () => {
  // Pieces have 16,384 bytes: with each shift another byte of a character is the last one.
  for (const shift of [0, 1, 2, 3]) {
    const text = 'x'.repeat(shift) + '😀'.repeat(70_000)
    expect(await read(Buffer.from(text))).toEqual(['utf-8', text])
  }
})

test.each<[string, Buffer, string]>([
  ['an empty file', Buffer.alloc(0), 'file_empty'],
  ['an empty gzip file', gzipSync(''), 'file_empty'],
  ['a gzip file cut short', gzipSync(MT.repeat(50)).subarray(0, 30), 'gzip_damaged'],
  [
    'a gzip file with a wrong byte',
    Buffer.concat([gzipSync(MT).subarray(0, 12), Buffer.from('xxxxxxxxxxxxxxxx')]),
    'gzip_damaged',
  ],
  ['XML that is not the UTF-8 it declares', Buffer.from(XML('UTF-8'), 'latin1'), 'encoding_invalid'],
  ['XML of an encoding that is none', Buffer.from(XML('x-none')), 'encoding_invalid'],
  ['single bytes that declare UTF-16', Buffer.from(XML('UTF-16')), 'encoding_invalid'],
  ['a picture', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13]), 'format_unknown'],
  ['zeros', Buffer.alloc(100_000), 'format_unknown'],
  ['a letter', Buffer.from('Dear customer,\n'), 'format_unknown'],
])('%s is refused', async (_name, bytes, code) => {
  const options = { collectLines: false, mapping: null, signal: new AbortController().signal }
  const { error, statements } = await parseStatementFile(write(bytes), options)
  expect(error?.code).toBe(code)
  expect(statements).toEqual([])
})

test('bytes that are no text are told with their line', async () => {
  const lines = Array.from({ length: 3_000 }, (_, index) => `<!-- line ${index + 1} é -->`)
  const bytes = Buffer.from(`<a>\n${lines.join('\n')}\n</a>`)
  const at = bytes.indexOf('line 2500')
  bytes[at] = 0xff
  const options = { collectLines: false, mapping: null, signal: new AbortController().signal }
  const { error } = await parseStatementFile(write(bytes), options)
  expect(error).toMatchObject({ code: 'encoding_invalid', line: 2_501 })
})

test('a file that is wrong somewhere is not believed elsewhere', async () => {
  const good = ':20:R\n:25:1\n:28C:1\n:60F:C260101EUR1,\n:62F:C260101EUR1,\n-\n'
  const options = { collectLines: false, mapping: null, signal: new AbortController().signal }
  expect((await parseStatementFile(write(Buffer.from(good)), options)).statements).toHaveLength(1)
  const { error, statements } = await parseStatementFile(write(Buffer.from(`${good}:20:S\n:61:x`)), options)
  expect({ code: error?.code, statements }).toEqual({ code: 'tag_missing', statements: [] })
})

test('a file that is not there, and a folder', async () => {
  await expect(openText(join(folder, 'nothing'))).rejects.toMatchObject({
    problem: { code: 'file_unreadable' },
  })
  await expect(openText(folder)).rejects.toMatchObject({ problem: { code: 'file_unreadable' } })
})
