/** Reads one statement file of any known format, in bounded memory: text is pushed piece by piece, lines go to a sink. */
import { Bai2Parser } from '#domain/statements/bai2/reader.ts'
import { detectFormat, type FormatFamily, HEAD_LENGTH } from '#domain/statements/detect.ts'
import type {
  StatementHeader,
  StatementLine,
  StatementParser,
  StatementSink,
  StatementSummary,
} from '#domain/statements/model.ts'
import { MtParser } from '#domain/statements/mt/reader.ts'
import { OfxParser } from '#domain/statements/ofx/reader.ts'
import { StatementError, type StatementProblem, shown } from '#domain/statements/problems.ts'
import { parseCsvStatement } from './csv.ts'
import type { StatementMapping } from './csv-mapping.ts'
import { openText } from './source.ts'
import { CamtParser } from './xml.ts'

const parsers: Readonly<Record<FormatFamily, (sink: StatementSink) => StatementParser>> = {
  camt: (sink) => new CamtParser(sink),
  mt: (sink) => new MtParser(sink),
  bai2: (sink) => new Bai2Parser(sink),
  ofx: (sink) => new OfxParser(sink),
}

/** Most warnings and rejects that are kept of a file; all are counted. */
const PROBLEMS_MAX = 100

export interface ParsedStatement extends StatementSummary {
  /** Only where they were asked for. */
  readonly lines?: readonly StatementLine[]
}

export interface ParsedFile {
  /** Null where the file was not read so far. */
  readonly format: string | null
  readonly error: StatementProblem | null
  /** None where there is an error: a file that is wrong somewhere isn't believed elsewhere. */
  readonly statements: readonly ParsedStatement[]
  readonly warnings: readonly StatementProblem[]
  readonly warningCount: number
  readonly rejects: readonly StatementProblem[]
  readonly rejectCount: number
}

export interface ParseOptions {
  /** Whether lines are kept; a large file's lines take memory. */
  readonly collectLines: boolean
  /** How a CSV file is to be read; null = none is expected. */
  readonly mapping: StatementMapping | null
  readonly signal: AbortSignal
}

/**
 * Reads a file as a whole.
 * @returns What was read, or the problem that makes the file unusable.
 */
export async function parseStatementFile(path: string, options: ParseOptions): Promise<ParsedFile> {
  const collector = new Collector(options.collectLines)
  let formatOf = (): string | null => null
  let error: StatementProblem | null = null
  try {
    await parseInto(path, collector, options, (found) => {
      formatOf = found
    })
  } catch (thrown) {
    if (!(thrown instanceof StatementError)) throw thrown
    error = thrown.problem
  }
  return { format: formatOf(), error, ...collector.result(), ...(error === null ? {} : { statements: [] }) }
}

/**
 * Reads a file into a sink, in bounded memory. What the sink was told before an error counts for nothing.
 * @returns the format
 * @throws StatementError
 */
export async function readStatementFile(
  path: string,
  sink: StatementSink,
  options: Pick<ParseOptions, 'mapping' | 'signal'> & {
    /** Awaited between the pieces of the file, so that a sink that sends its lines away can hold reading back. Not for CSV. */
    readonly betweenPieces?: () => Promise<void>
  },
): Promise<string> {
  let formatOf = (): string => 'unknown'
  await parseInto(path, sink, options, (found) => {
    formatOf = found
  })
  return formatOf()
}

/** @param noteFormat Told how to ask for the format, once it is known. @throws StatementError */
async function parseInto(
  path: string,
  sink: StatementSink,
  { mapping, signal, betweenPieces }: Parameters<typeof readStatementFile>[2],
  noteFormat: (formatOf: () => string) => void,
): Promise<void> {
  const pieces = (await openText(path)).pieces()
  try {
    const head = await readHead(pieces)
    const family = detectFormat(head.slice(0, HEAD_LENGTH))
    if (family === null) {
      if (mapping === null) {
        throw new StatementError(
          'format_unknown',
          `expected camt, MT940, MT942, BAI2 or OFX, found ${shown(head)}`,
          { line: 1 },
        )
      }
      noteFormat(() => 'CSV')
      return await parseCsvStatement(path, { mapping, sink, signal })
    }
    const parser = parsers[family](sink)
    noteFormat(() => parser.format)
    parser.push(head)
    for await (const piece of pieces) {
      signal.throwIfAborted()
      parser.push(piece)
      await betweenPieces?.()
    }
    parser.end()
  } finally {
    await pieces.return(undefined)
  }
}

async function readHead(pieces: AsyncGenerator<string>): Promise<string> {
  let head = ''
  while (head.length < HEAD_LENGTH) {
    const piece = await pieces.next()
    if (piece.done) break
    head += piece.value
  }
  return head
}

/** Keeps what a file's parser tells. */
class Collector implements StatementSink {
  readonly #collectLines: boolean
  readonly #statements: ParsedStatement[] = []
  readonly #warnings: StatementProblem[] = []
  readonly #rejects: StatementProblem[] = []
  #warningCount = 0
  #rejectCount = 0
  /** Lines of the statements that are open. */
  readonly #lines = new Map<StatementHeader, StatementLine[]>()

  constructor(collectLines: boolean) {
    this.#collectLines = collectLines
  }

  result() {
    return {
      statements: this.#statements,
      warnings: this.#warnings,
      warningCount: this.#warningCount,
      rejects: this.#rejects,
      rejectCount: this.#rejectCount,
    }
  }

  start(header: StatementHeader): void {
    if (this.#collectLines) this.#lines.set(header, [])
  }

  line(line: StatementLine, header: StatementHeader): void {
    this.#lines.get(header)?.push(line)
  }

  end(summary: StatementSummary, header: StatementHeader): void {
    const lines = this.#lines.get(header)
    this.#lines.delete(header)
    this.#statements.push(lines === undefined ? summary : { ...summary, lines })
  }

  warn(problem: StatementProblem): void {
    this.#warningCount += 1
    if (this.#warnings.length < PROBLEMS_MAX) this.#warnings.push(problem)
  }

  reject(problem: StatementProblem): void {
    this.#rejectCount += 1
    if (this.#rejects.length < PROBLEMS_MAX) this.#rejects.push(problem)
  }
}
