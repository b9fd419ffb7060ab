/**
 * Publishes a statement file to the topic `statements`: a record a line, then one for the statement.
 *
 * The file is read twice: first as a whole, because nothing of a file that is wrong anywhere may be published and because a statement's
 * key is known at its end; then again, sending lines while they are read. In between its bytes must not have changed.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { statementKeyOf } from '#domain/statements/identity.ts'
import type {
  StatementHeader,
  StatementLine,
  StatementSink,
  StatementSummary,
} from '#domain/statements/model.ts'
import { StatementError, type StatementProblem } from '#domain/statements/problems.ts'
import { OperatingError } from '#platform/errors.ts'
import type { OutgoingRecord, RecordPosition } from '#platform/kafka/producer.ts'
import type { StatementMapping } from './csv-mapping.ts'
import { readStatementFile } from './parse-file.ts'
import {
  headerValue,
  lineValue,
  type StatementSource,
  type StatementValue,
} from '#domain/statements/record.ts'

export interface StatementImportOptions {
  /** How CSV files are read; null = none is expected. */
  readonly mapping: StatementMapping | null
  readonly actor: string
  readonly signal: AbortSignal
  readonly encode: (value: StatementValue) => Buffer
  readonly topic: string
  /** Resolves when all replicas have the records. */
  readonly send: (records: readonly OutgoingRecord[]) => Promise<RecordPosition[]>
}

export interface StatementImport {
  readonly format: string | null
  /** What makes the file unusable: then nothing was published. */
  readonly error: StatementProblem | null
  readonly statements: readonly {
    readonly key: string
    readonly account: string
    readonly lines: number
    readonly proof: string
    readonly controls: string
  }[]
  /** Lines of the file that can't be read: the rest was published without them. */
  readonly rejected: number
  readonly published: number
  readonly last: RecordPosition | null
}

/** Records that are sent together. */
const CHUNK_RECORDS = 1_000

/** @throws OperatingError `file_changed`, or as sending */
export async function importStatementFile(
  path: string,
  options: StatementImportOptions,
): Promise<StatementImport> {
  const first = new FirstReading()
  let fileHash: string
  let format: string
  try {
    fileHash = await hashOf(path)
    format = await readStatementFile(path, first, options)
  } catch (error) {
    const problem = problemOf(error)
    if (problem === null) throw error
    return { format: null, error: problem, statements: [], rejected: 0, published: 0, last: null }
  }
  const statements = first.statements()
  const file = basename(path)
  const sources = statements.map(
    ({ summary }): StatementSource => ({
      statementKey: statementKeyOf(summary),
      file,
      fileHash,
      format,
      account: summary.account ?? file,
      currency: summary.currency,
      date: summary.closing?.date ?? summary.opening?.date ?? null,
      actor: options.actor,
    }),
  )
  const sender = new Sender(sources, statements, options)
  await readStatementFile(path, sender, { ...options, betweenPieces: () => sender.drain() })
  if ((await hashOf(path)) !== fileHash) {
    throw new OperatingError('file_changed', `${path} changed while it was read: import it again`, {
      retriable: true,
    })
  }
  await sender.finish()
  return {
    format,
    error: null,
    statements: statements.map(({ lines, summary }, at) => ({
      key: sources[at]!.statementKey,
      account: sources[at]!.account,
      lines,
      proof: summary.proof,
      controls: summary.controls,
    })),
    rejected: first.rejected,
    published: sender.published,
    last: sender.last,
  }
}

function problemOf(error: unknown): StatementProblem | null {
  if (error instanceof StatementError) return error.problem
  const code = (error as { code?: unknown }).code
  return code === 'ENOENT' || code === 'EISDIR' || code === 'EACCES'
    ? { code: 'file_unreadable', message: (error as Error).message }
    : null
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer)
  return hash.digest('hex')
}

interface Counted {
  readonly summary: StatementSummary
  readonly lines: number
}

/** Statements in the order in which they begin, with the number of their lines. */
class FirstReading implements StatementSink {
  readonly #order: StatementHeader[] = []
  readonly #lines = new Map<StatementHeader, number>()
  readonly #summaries = new Map<StatementHeader, StatementSummary>()
  rejected = 0

  statements(): Counted[] {
    return this.#order.map((header) => ({
      summary: this.#summaries.get(header)!,
      lines: this.#lines.get(header)!,
    }))
  }

  start(header: StatementHeader): void {
    this.#order.push(header)
    this.#lines.set(header, 0)
  }

  line(_line: StatementLine, header: StatementHeader): void {
    this.#lines.set(header, this.#lines.get(header)! + 1)
  }

  end(summary: StatementSummary, header: StatementHeader): void {
    this.#summaries.set(header, summary)
  }

  warn(): void {}

  reject(): void {
    this.rejected += 1
  }
}

/** Sends lines as they come, and the statements when the file has been read to its end. */
class Sender implements StatementSink {
  readonly #sources: readonly StatementSource[]
  readonly #statements: readonly Counted[]
  readonly #options: StatementImportOptions
  readonly #places = new Map<StatementHeader, number>()
  readonly #ordinals: number[]
  #waiting: StatementValue[] = []
  published = 0
  last: RecordPosition | null = null

  constructor(
    sources: readonly StatementSource[],
    statements: readonly Counted[],
    options: StatementImportOptions,
  ) {
    this.#sources = sources
    this.#statements = statements
    this.#options = options
    this.#ordinals = sources.map(() => 0)
  }

  start(header: StatementHeader): void {
    this.#places.set(header, this.#places.size)
  }

  line(line: StatementLine, header: StatementHeader): void {
    const place = this.#places.get(header)!
    const source = this.#sources[place]
    if (source === undefined) throw new OperatingError('file_changed', 'a file changed while it was read')
    this.#ordinals[place]! += 1
    this.#waiting.push(lineValue(source, this.#ordinals[place]!, line))
  }

  end(): void {}
  warn(): void {}
  reject(): void {}

  /** Sends what has gathered, so that no more than a piece of the file is in memory. */
  async drain(): Promise<void> {
    if (this.#waiting.length >= CHUNK_RECORDS) await this.#send()
  }

  async finish(): Promise<void> {
    this.#statements.forEach(({ summary, lines }, at) => {
      this.#waiting.push(headerValue(this.#sources[at]!, lines, summary))
    })
    await this.#send()
  }

  async #send(): Promise<void> {
    const values = this.#waiting
    this.#waiting = []
    for (let from = 0; from < values.length; from += CHUNK_RECORDS) {
      this.#options.signal.throwIfAborted()
      const chunk = values.slice(from, from + CHUNK_RECORDS)
      const positions = await this.#options.send(
        chunk.map((value) => ({
          topic: this.#options.topic,
          key: value.account,
          value: this.#options.encode(value),
        })),
      )
      this.published += positions.length
      this.last = positions.at(-1) ?? this.last
    }
  }
}
