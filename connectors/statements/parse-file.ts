/** Reads one statement file of any known format, in bounded memory: text is pushed piece by piece, lines go to a sink. */
import { Bai2Parser } from '#domain/statements/bai2/reader.ts'
import { detectFormat, type FormatFamily, HEAD_LENGTH } from '#domain/statements/detect.ts'
import type {
  StatementLine,
  StatementParser,
  StatementSink,
  StatementSummary,
} from '#domain/statements/model.ts'
import { MtParser } from '#domain/statements/mt/reader.ts'
import { OfxParser } from '#domain/statements/ofx/reader.ts'
import { StatementError, type StatementProblem, shown } from '#domain/statements/problems.ts'
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

/** Pushes a file through the parser of its format. @throws StatementError */
async function parseInto(
  path: string,
  sink: StatementSink,
  noteFormat: (parser: StatementParser) => void,
): Promise<void> {
  const source = await openText(path)
  let head = ''
  let parser: StatementParser | null = null
  const begin = (): StatementParser => {
    const family = detectFormat(head.slice(0, HEAD_LENGTH))
    if (family === null) {
      throw new StatementError(
        'format_unknown',
        `expected camt, MT940, MT942, BAI2 or OFX, found ${shown(head)}`,
      )
    }
    const made = parsers[family](sink)
    noteFormat(made)
    made.push(head)
    return made
  }
  for await (const piece of source.pieces()) {
    if (parser !== null) parser.push(piece)
    else {
      head += piece
      if (head.length >= HEAD_LENGTH) parser = begin()
    }
  }
  parser ??= begin()
  parser.end()
}

/**
 * Reads a file as a whole.
 * @param collectLines Whether lines are kept; a large file's lines take memory.
 * @returns What was read, or the problem that makes the file unusable.
 */
export async function parseStatementFile(path: string, collectLines: boolean): Promise<ParsedFile> {
  const collector = new Collector(collectLines)
  let parser: StatementParser | null = null
  let error: StatementProblem | null = null
  try {
    await parseInto(path, collector, (made) => {
      parser = made
    })
  } catch (thrown) {
    if (!(thrown instanceof StatementError)) throw thrown
    error = thrown.problem
  }
  const format = (parser as StatementParser | null)?.format ?? null
  return { format, error, ...collector.result(), ...(error === null ? {} : { statements: [] }) }
}

/** Keeps what a file's parser tells. */
class Collector implements StatementSink {
  readonly #collectLines: boolean
  readonly #statements: ParsedStatement[] = []
  readonly #warnings: StatementProblem[] = []
  readonly #rejects: StatementProblem[] = []
  #warningCount = 0
  #rejectCount = 0
  #lines: StatementLine[] = []

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

  start(): void {
    this.#lines = []
  }

  line(line: StatementLine): void {
    if (this.#collectLines) this.#lines.push(line)
  }

  end(summary: StatementSummary): void {
    this.#statements.push(this.#collectLines ? { ...summary, lines: this.#lines } : summary)
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
