/**
 * Reads a CSV file (plain or gzip) as blocks of records with their line numbers, in bounded memory. A line that can't be read
 * costs that line only: records are cut here, by line and balanced quotes, and csv-parse reads the fields of each block, so
 * a stray quote never swallows the rest of the file (which is what one parser over the whole stream does).
 */
import { parse } from 'csv-parse/sync'
import { openUnzipped } from '#connectors/unzipped-file.ts'
import { ConfigurationError } from '#platform/errors.ts'

/** How the file is written. */
export interface CsvFormat {
  readonly delimiter: string
  /** The quote character; empty = the file has none. */
  readonly quote: string
  /** true: the first line names the columns. A list: the file has no such line and these are the names. */
  readonly header: true | readonly string[]
  readonly encoding: 'utf-8' | 'windows-1252' | 'utf-16le'
  /** Lines before the header (or the first record) to pass over. */
  readonly skipLines: number
}

export interface CsvRecord {
  /** Physical line on which the record starts, from 1. */
  readonly line: number
  /** The record's text as in the file, without its line end. */
  readonly text: string
  readonly fields: readonly string[]
}

/** A record that couldn't be read. */
export interface CsvProblem {
  readonly line: number
  readonly text: string
  /** The line's bytes as in the file, where `text` is not what they say (UTF-8 only). */
  readonly bytes?: Buffer | undefined
  readonly reason: 'line_too_long' | 'quotes_invalid' | 'column_count' | 'encoding_invalid'
}

export interface CsvBlock {
  readonly header: readonly string[]
  readonly records: readonly CsvRecord[]
  readonly problems: readonly CsvProblem[]
}

/** Longest record, UTF-16 units: what an ingest topic takes and more. */
const RECORD_LENGTH_MAX = 1_048_576
/** Most lines of one quoted record: more means a stray quote. */
const RECORD_LINES_MAX = 200
/** Records a block: large enough that a parser call's set-up doesn't count (measured: 1,000 records/ms at 2,000). */
const BLOCK_RECORDS_MAX = 2_000
const PIECE_BYTES = 262_144

/** The file's bytes, unpacked. @throws ConfigurationError where it can't be read to its end */
async function* bytesOf(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of await openUnzipped(path, PIECE_BYTES)) yield chunk as Buffer
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    const isDamaged = /^(Z_|ERR_ZLIB)/.test(code)
    if (!isDamaged && !/^E[A-Z]+$/.test(code)) throw error
    const expected = isDamaged ? 'a whole gzip file' : 'a readable file'
    throw new ConfigurationError(`file: expected ${expected}, found ${path} (${message})`, { cause: error })
  }
}

interface Line {
  readonly line: number
  readonly text: string
  /** Only where the text has a replacement character. */
  readonly bytes?: Buffer | undefined
}

/**
 * Reads the file from its start.
 * @throws ConfigurationError where the file can't be read, is a damaged or cut gzip file, or has no header line.
 */
export async function* readCsv(path: string, format: CsvFormat): AsyncGenerator<CsvBlock> {
  const assembler = new BlockAssembler(format)
  const decoder = new TextDecoder(format.encoding)
  let rest = ''
  let lineNumber = 0
  const raw = new RawLines(format.encoding === 'utf-8')
  for await (const chunk of bytesOf(path)) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const text of lines) {
      const bytes = raw.next(chunk, text)
      assembler.add({ line: ++lineNumber, text: withoutReturn(text), bytes })
    }
    raw.endChunk(chunk)
    // A line that never ends must not fill the memory: keep enough of it to be refused as too long.
    if (rest.length > 2 * RECORD_LENGTH_MAX) rest = rest.slice(0, RECORD_LENGTH_MAX + 1)
    while (assembler.size >= BLOCK_RECORDS_MAX) yield assembler.take(false)
  }
  rest += decoder.decode()
  if (rest !== '') assembler.add({ line: ++lineNumber, text: withoutReturn(rest), bytes: raw.last(rest) })
  while (assembler.size > 0) yield assembler.take(true)
  assembler.assertHeader(path)
}

/** Follows the lines' bytes beside their text, and gives those of a line whose text has lost something. In UTF-8 a line ends at one byte. */
class RawLines {
  readonly #follows: boolean
  /** The beginning of the line that goes on in the next chunk. */
  #rest: Buffer = Buffer.alloc(0)
  #at = 0

  constructor(follows: boolean) {
    this.#follows = follows
  }

  /** The bytes of the next line that ends in this chunk. */
  next(chunk: Buffer, text: string): Buffer | undefined {
    if (!this.#follows) return undefined
    const end = chunk.indexOf(LINE_FEED, this.#at)
    const bytes = text.includes(REPLACEMENT)
      ? Buffer.concat([this.#rest, chunk.subarray(this.#at, end)])
      : undefined
    this.#rest = Buffer.alloc(0)
    this.#at = end + 1
    return bytes
  }

  endChunk(chunk: Buffer): void {
    if (!this.#follows) return
    // Kept as long as a line may be: longer ones are refused as too long.
    if (this.#rest.length <= RECORD_LENGTH_MAX)
      this.#rest = Buffer.concat([this.#rest, chunk.subarray(this.#at)])
    this.#at = 0
  }

  /** The bytes behind the last line end. */
  last(text: string): Buffer | undefined {
    return this.#follows && text.includes(REPLACEMENT) ? this.#rest : undefined
  }
}

const LINE_FEED = 10
/** What a decoder puts where bytes are none of the encoding's. */
const REPLACEMENT = '\ufffd'

const withoutReturn = (text: string): string => (text.endsWith('\r') ? text.slice(0, -1) : text)

/** Collects lines and turns them into blocks: header first, then records of balanced quotes. */
class BlockAssembler {
  readonly #format: CsvFormat
  #header: readonly string[] | undefined
  #toSkip: number
  #lines: Line[] = []

  constructor(format: CsvFormat) {
    this.#format = format
    this.#header = format.header === true ? undefined : format.header
    this.#toSkip = format.skipLines
  }

  get size(): number {
    return this.#lines.length
  }

  add(line: Line): void {
    if (this.#toSkip > 0) {
      this.#toSkip -= 1
      return
    }
    // Blank lines are no records, but they may belong to a quoted field: cutting decides.
    if (this.#header !== undefined) this.#lines.push(line)
    else if (line.text !== '') this.#header = this.#parseHeader(line.text)
  }

  #parseHeader(text: string): string[] {
    const names = parseAll([text], this.#format)?.[0]?.map((name) => name.trim())
    if (names === undefined) {
      throw new ConfigurationError(`file: expected a header line, found "${text.slice(0, 80)}"`)
    }
    return names
  }

  assertHeader(path: string): void {
    if (this.#header === undefined)
      throw new ConfigurationError(`file: expected a header line, found none in ${path}`)
  }

  /** The next block. `final`: nothing follows, so that a record still open is a problem. */
  take(final: boolean): CsvBlock {
    const { records, problems, used } = cutRecords(this.#lines, this.#format, final)
    this.#lines = this.#lines.slice(used)
    const header = this.#header ?? []
    const parsed = parseRecords(records, this.#format, header.length)
    // Lines of a joined record that turned out unreadable are looked at again, one by one, after its first line.
    if (parsed.again.length > 0) this.#lines.unshift(...parsed.again)
    return { header, records: parsed.records, problems: [...problems, ...parsed.problems] }
  }
}

function isBalanced(text: string, quote: string): boolean {
  if (quote === '') return true
  let count = 0
  for (let at = text.indexOf(quote); at >= 0; at = text.indexOf(quote, at + 1)) count += 1
  return count % 2 === 0
}

interface CutRecord {
  readonly lines: readonly Line[]
}

/** Joins lines until their quotes balance, up to a bound; what can't be balanced loses its first line. */
function cutRecords(
  lines: readonly Line[],
  format: CsvFormat,
  final: boolean,
): { records: CutRecord[]; problems: CsvProblem[]; used: number } {
  const records: CutRecord[] = []
  const problems: CsvProblem[] = []
  let at = 0
  while (at < lines.length && records.length < BLOCK_RECORDS_MAX) {
    const first = lines[at]!
    if (first.text.length > RECORD_LENGTH_MAX) {
      problems.push({ ...first, reason: 'line_too_long' })
      at += 1
    } else if (isBalanced(first.text, format.quote)) {
      if (first.text !== '') records.push({ lines: [first] })
      at += 1
    } else {
      const count = balancedCount(lines, at, format.quote)
      if (count === undefined && !final && lines.length - at < RECORD_LINES_MAX) break
      if (count === undefined) problems.push({ ...first, reason: 'quotes_invalid' })
      else records.push({ lines: lines.slice(at, at + count) })
      at += count ?? 1
    }
  }
  return { records, problems, used: at }
}

/** How many lines from `start` make the quotes balance; undefined where the bound (or what is read so far) doesn't suffice. */
function balancedCount(lines: readonly Line[], start: number, quote: string): number | undefined {
  let open = true
  let length = lines[start]!.text.length
  for (let count = 2; count <= RECORD_LINES_MAX && start + count <= lines.length; count += 1) {
    const text = lines[start + count - 1]!.text
    length += text.length
    if (length > RECORD_LENGTH_MAX) return undefined
    if (!isBalanced(text, quote)) open = !open
    if (!open) return count
  }
  return undefined
}

function parseRecords(
  cut: readonly CutRecord[],
  format: CsvFormat,
  columns: number,
): { records: CsvRecord[]; problems: CsvProblem[]; again: Line[] } {
  const records: CsvRecord[] = []
  const problems: CsvProblem[] = []
  const again: Line[] = []
  const texts = cut.map(({ lines }) => (lines.length === 1 ? lines[0]!.text : joined(lines)))
  const whole = parseAll(texts, format)
  for (const [index, { lines }] of cut.entries()) {
    if (again.length > 0) {
      again.push(...lines)
      continue
    }
    const text = texts[index]!
    const line = lines[0]!.line
    const fields = whole === undefined ? parseAll([text], format)?.[0] : whole[index]
    const reason = problemOf(text, fields, columns)
    if (reason === undefined) records.push({ line, text, fields: fields! })
    else {
      problems.push({ line, text: lines[0]!.text, bytes: lines[0]!.bytes, reason })
      again.push(...lines.slice(1))
    }
  }
  return { records, problems, again }
}

const joined = (lines: readonly Line[]): string => lines.map(({ text }) => text).join('\n')

function problemOf(
  text: string,
  fields: readonly string[] | undefined,
  columns: number,
): CsvProblem['reason'] | undefined {
  if (fields === undefined) return 'quotes_invalid'
  // Postgres holds no NUL: as a record it would be a dead letter.
  if (text.includes(REPLACEMENT) || text.includes('\0')) return 'encoding_invalid'
  // A delimiter at the line's end is common and harmless.
  const extra = fields.slice(columns)
  return fields.length < columns || extra.some((field) => field !== '') ? 'column_count' : undefined
}

/** The fields of each text, or undefined where one of them can't be read. */
function parseAll(texts: readonly string[], format: CsvFormat): string[][] | undefined {
  if (texts.length === 0) return []
  try {
    const parsed = parse(texts.join('\n'), {
      delimiter: format.delimiter,
      quote: format.quote === '' ? null : format.quote,
      escape: format.quote === '' ? null : format.quote,
      record_delimiter: '\n',
      relax_column_count: true,
    }) as string[][]
    return parsed.length === texts.length ? parsed : undefined
  } catch {
    // Every error of the parser means that a record isn't CSV; the caller finds out which one.
    return undefined
  }
}
