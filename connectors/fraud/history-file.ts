/**
 * Reads histories of card payments for `fraud score` and `fraud train`: CSV, plain or gzip, with the columns tx_id, epoch (seconds),
 * customer_id, terminal_id, amount_cents and, where there are labels, fraud (0 or 1). Other columns are passed over.
 */
import { type CsvFormat, type CsvRecord, readCsv } from '#connectors/csv/reader.ts'
import { ConfigurationError } from '#platform/errors.ts'

export interface HistoryRow {
  readonly id: string
  /** Event time, ms since 1970. */
  readonly at: number
  readonly account: string
  readonly terminal: string
  /** Minor units. */
  readonly amount: number
  /** null where the file has no labels, or none for this row. */
  readonly isFraud: boolean | null
}

/** Commas, names in the first line, no quotes. */
export const HISTORY_FORMAT: CsvFormat = {
  delimiter: ',',
  quote: '',
  header: true,
  encoding: 'utf-8',
  skipLines: 0,
}
const NEEDED = ['tx_id', 'epoch', 'customer_id', 'terminal_id', 'amount_cents'] as const
const EPOCH_MAX = 253_402_300_799

/** Rows in the file's order, in blocks. @throws ConfigurationError where the file or a line can't be read: a score needs all that came before */
export async function* readHistoryFile(path: string): AsyncGenerator<HistoryRow[]> {
  for await (const { header, records, problems } of readCsv(path, HISTORY_FORMAT)) {
    const problem = problems[0]
    if (problem !== undefined)
      throw new ConfigurationError(
        `${path}, line ${problem.line}: expected a record, found ${problem.reason}`,
      )
    const columns = columnsOf(header, path)
    yield records.map((record) => rowOf(record, columns, path))
  }
}

type Columns = Record<(typeof NEEDED)[number] | 'fraud', number>

function columnsOf(header: readonly string[], path: string): Columns {
  const missing = NEEDED.filter((name) => !header.includes(name))
  if (missing.length > 0)
    throw new ConfigurationError(
      `${path}: expected the columns ${NEEDED.join(', ')}, without: ${missing.join(', ')}`,
    )
  const [tx_id, epoch, customer_id, terminal_id, amount_cents] = NEEDED.map((name) => header.indexOf(name))
  return {
    tx_id: tx_id!,
    epoch: epoch!,
    customer_id: customer_id!,
    terminal_id: terminal_id!,
    amount_cents: amount_cents!,
    fraud: header.indexOf('fraud'),
  }
}

function rowOf({ fields, line }: CsvRecord, columns: Columns, path: string): HistoryRow {
  const whole = (column: keyof Columns, max: number): number => {
    const text = fields[columns[column]]!
    const value = Number(text)
    if (!/^\d{1,16}$/.test(text) || value > max)
      throw new ConfigurationError(
        `${path}, line ${line}: ${column}: expected a whole number up to ${max}, found ${text.slice(0, 40)}`,
      )
    return value
  }
  return {
    id: fields[columns.tx_id]!,
    at: whole('epoch', EPOCH_MAX) * 1_000,
    account: fields[columns.customer_id]!,
    terminal: fields[columns.terminal_id]!,
    amount: whole('amount_cents', Number.MAX_SAFE_INTEGER),
    isFraud: columns.fraud < 0 || fields[columns.fraud] === '' ? null : whole('fraud', 1) === 1,
  }
}

/**
 * Two files as one stream in event order, each row with which file it is of. Within a file the order is kept: what comes late there
 * is late.
 */
export async function* mergeHistories(
  files: readonly [AsyncIterable<HistoryRow[]>, AsyncIterable<HistoryRow[]>],
): AsyncGenerator<{ readonly row: HistoryRow; readonly file: 0 | 1 }[]> {
  const [first, second] = files.map((file) => new RowReader(file)) as [RowReader, RowReader]
  let block: { row: HistoryRow; file: 0 | 1 }[] = []
  for (;;) {
    const [a, b] = [first.peek() ?? (await first.load()), second.peek() ?? (await second.load())]
    if (a === null && b === null) break
    const file = b === null || (a !== null && a.at <= b.at) ? 0 : 1
    block.push({ row: file === 0 ? a! : b!, file })
    ;(file === 0 ? first : second).skip()
    if (block.length < BLOCK_ROWS) continue
    yield block
    block = []
  }
  yield block
}

const BLOCK_ROWS = 2_000

class RowReader {
  readonly #blocks: AsyncIterator<HistoryRow[]>
  #block: HistoryRow[] = []
  #at = 0
  #isOver = false

  constructor(rows: AsyncIterable<HistoryRow[]>) {
    this.#blocks = rows[Symbol.asyncIterator]()
  }

  peek(): HistoryRow | null {
    return this.#block[this.#at] ?? null
  }

  /** The next row, from the next blocks where this one is over; null at the end. */
  async load(): Promise<HistoryRow | null> {
    while (!this.#isOver && this.#at >= this.#block.length) {
      const next = await this.#blocks.next()
      this.#isOver = next.done === true
      this.#block = next.done === true ? [] : next.value
      this.#at = 0
    }
    return this.peek()
  }

  skip(): void {
    this.#at += 1
  }
}
