/**
 * Imports a CSV file: opens the accounts that it names and waits for them, then publishes its transactions in bounded memory.
 * Ids come from the lines, so importing again changes nothing: every transaction is then a duplicate.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AccountChange, TransactionCommand } from '#domain/transactions/command.ts'
import { OperatingError } from '#platform/errors.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import { noteLast } from '../ingest/applied.ts'
import type { CsvMapping } from './mapping.ts'
import { type CsvBlock, type CsvProblem, type CsvRecord, readCsv } from './reader.ts'
import type { RejectWriter } from './rejects.ts'
import { bindMapping, type MappedLine, openingsOf, type RejectReason, type Transform } from './transform.ts'

export interface CsvImportOptions {
  readonly path: string
  readonly mapping: CsvMapping
  readonly actor: string
  readonly rejects: RejectWriter
  /** Publishes and resolves when all replicas have the records. */
  readonly publish: {
    accounts(changes: readonly AccountChange[]): Promise<RecordPosition[]>
    transactions(commands: readonly TransactionCommand[]): Promise<RecordPosition[]>
  }
  /** Resolves when the records at these positions are applied. */
  readonly awaitApplied: (positions: Iterable<RecordPosition>) => Promise<void>
  /** Records of the file to look at; all where absent. */
  readonly limit?: number | undefined
  /** Lines published a second; as fast as possible where absent. */
  readonly ratePerSecond?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((message: string) => void) | undefined
}

export interface CsvImportSummary {
  /** Records read: published and rejected. */
  readonly records: number
  readonly published: number
  readonly rejected: number
  readonly rejectedByReason: Readonly<Record<string, number>>
  readonly accounts: number
  /** Sum of the published amounts by currency, minor units. */
  readonly sums: Readonly<Record<string, bigint>>
  /** Wall time of publishing the transactions, and what it makes a second. */
  readonly publishMs: number
  readonly publishedPerSecond: number
  /** Last position of each partition that was written to. */
  readonly positions: readonly RecordPosition[]
}

/** Blocks under way at once: enough that reading never waits for the broker, few enough for bounded memory. */
const BLOCKS_IN_FLIGHT_MAX = 8
/** Distinct accounts that one import may open: what fits into memory with room to spare. */
const ACCOUNTS_MAX = 5_000_000
const ACCOUNTS_PER_SEND = 5_000
const PROGRESS_EVERY_MS = 2_000

type Visitor = (lines: readonly MappedLine[]) => Promise<void> | void
type OnRejected = (
  record: Pick<CsvProblem, 'line' | 'text' | 'bytes'>,
  reason: RejectReason,
) => Promise<void> | void

/** Reads the file once and hands on its lines, block by block. @returns records read */
async function visitFile(
  options: Pick<CsvImportOptions, 'path' | 'mapping' | 'actor' | 'limit' | 'signal'>,
  onLines: Visitor,
  onRejected: OnRejected,
): Promise<number> {
  const limit = options.limit ?? Number.POSITIVE_INFINITY
  let transform: Transform | undefined
  let seen = 0
  for await (const block of readCsv(options.path, options.mapping.file)) {
    options.signal?.throwIfAborted()
    transform ??= bindMapping(options.mapping, block.header, options.actor)
    const items = inFileOrder(block).slice(0, limit - seen)
    const lines: MappedLine[] = []
    for (const item of items) {
      const line = 'reason' in item ? item.reason : transform(item)
      if (typeof line === 'string') await onRejected(item, line)
      else lines.push(line)
    }
    await onLines(lines)
    seen += items.length
    if (seen >= limit) break
  }
  return seen
}

/** Records and problems by line; nearly every block has no problems. */
const inFileOrder = ({ records, problems }: CsvBlock): readonly (CsvRecord | CsvProblem)[] =>
  problems.length === 0 ? records : [...records, ...problems].sort((a, b) => a.line - b.line)

/** The first records as they would be published, and those that would be rejected; nothing is sent. */
export async function previewCsv(
  options: Pick<CsvImportOptions, 'path' | 'mapping' | 'actor' | 'signal'> & { readonly limit: number },
): Promise<{
  transactions: TransactionCommand[]
  accounts: AccountChange[]
  rejected: { line: number; reason: RejectReason }[]
}> {
  const transactions: TransactionCommand[] = []
  const accounts = new Map<string, AccountChange>()
  const rejected: { line: number; reason: RejectReason }[] = []
  await visitFile(
    options,
    (lines) => {
      for (const line of lines) {
        transactions.push(line.command)
        noteAccounts(accounts, options.mapping, line)
      }
    },
    (record, reason) => {
      rejected.push({ line: record.line, reason })
    },
  )
  return { transactions, accounts: [...accounts.values()], rejected }
}

/**
 * Imports the file.
 * @throws ConfigurationError (file, columns, reject file), errors of publishing and waiting; what was published stays, and
 * importing again goes over it harmlessly
 */
export async function importCsv(options: CsvImportOptions): Promise<CsvImportSummary> {
  const accounts = await openAccounts(options)
  const publisher = new LinePublisher(options)
  const records = await visitFile(
    options,
    (lines) => publisher.add(lines),
    (record, reason) => options.rejects.add({ ...record, reason }),
  )
  await publisher.finish()
  await options.rejects.close()
  return {
    records,
    published: publisher.published,
    rejected: options.rejects.count,
    rejectedByReason: Object.fromEntries(options.rejects.byReason),
    accounts,
    sums: Object.fromEntries(publisher.sums),
    publishMs: Math.round(publisher.elapsedMs),
    publishedPerSecond: Math.round((publisher.published * 1000) / Math.max(publisher.elapsedMs, 1)),
    positions: [...publisher.last.values()],
  }
}

function noteAccounts(accounts: Map<string, AccountChange>, mapping: CsvMapping, line: MappedLine): void {
  // Nearly every line names accounts that are known: look before building anything.
  const firstKnown = mapping.open.first === null || accounts.has(line.firstAccount)
  const secondKnown = mapping.open.second === null || accounts.has(line.secondAccount)
  if (firstKnown && secondKnown) return
  for (const opening of openingsOf(mapping, line)) {
    if (!accounts.has(opening.accountId)) accounts.set(opening.accountId, opening)
  }
  if (accounts.size > ACCOUNTS_MAX) {
    throw new OperatingError(
      'too_many_accounts',
      `the file names more than ${ACCOUNTS_MAX} accounts to open: split it, or open them by another way first`,
    )
  }
}

/** First pass: which accounts the lines name; then they are opened and awaited. @returns how many */
async function openAccounts(options: CsvImportOptions): Promise<number> {
  const { mapping } = options
  if (mapping.open.first === null && mapping.open.second === null) return 0
  const accounts = new Map<string, AccountChange>()
  await visitFile(
    options,
    (lines) => {
      for (const line of lines) noteAccounts(accounts, mapping, line)
    },
    () => undefined,
  )
  const openings = [...accounts.values()]
  options.onProgress?.(`opening ${openings.length} accounts`)
  const positions: RecordPosition[] = []
  for (let at = 0; at < openings.length; at += ACCOUNTS_PER_SEND) {
    positions.push(...(await options.publish.accounts(openings.slice(at, at + ACCOUNTS_PER_SEND))))
  }
  if (positions.length > 0) await options.awaitApplied(positions)
  return openings.length
}

/** Publishes blocks with a bounded number under way, at a given rate, and keeps the sums. */
class LinePublisher {
  readonly sums = new Map<string, bigint>()
  readonly last = new Map<string, RecordPosition>()
  published = 0
  elapsedMs = 0
  readonly #options: CsvImportOptions
  readonly #underWay = new Set<Promise<void>>()
  readonly #startMs = performance.now()
  #shownAtMs = performance.now()
  #failure: unknown

  constructor(options: CsvImportOptions) {
    this.#options = options
  }

  async add(lines: readonly MappedLine[]): Promise<void> {
    // At a low rate a whole block at once would be a burst.
    const { ratePerSecond } = this.#options
    const size = ratePerSecond === undefined ? lines.length : Math.max(1, Math.ceil(ratePerSecond / 20))
    for (let at = 0; at < lines.length; at += size) {
      await this.#keepRate()
      await this.#room()
      this.#send(lines.slice(at, at + size).map((line) => line.command))
    }
    this.#showProgress()
  }

  async finish(): Promise<void> {
    await Promise.all(this.#underWay)
    if (this.#failure !== undefined) throw this.#failure
    this.elapsedMs = performance.now() - this.#startMs
  }

  #send(commands: readonly TransactionCommand[]): void {
    this.published += commands.length
    for (const { postings } of commands) {
      const { currency, amount } = postings[0]!
      this.sums.set(currency, (this.sums.get(currency) ?? 0n) + amount)
    }
    const sending = this.#options.publish
      .transactions(commands)
      .then((positions) => {
        for (const position of positions) noteLast(this.last, position)
      })
      .catch((error: unknown) => {
        this.#failure ??= error
      })
      .finally(() => this.#underWay.delete(sending))
    this.#underWay.add(sending)
  }

  async #room(): Promise<void> {
    while (this.#underWay.size >= BLOCKS_IN_FLIGHT_MAX) await Promise.race(this.#underWay)
    if (this.#failure !== undefined) throw this.#failure
  }

  async #keepRate(): Promise<void> {
    const { ratePerSecond, signal } = this.#options
    if (ratePerSecond === undefined) return
    const aheadMs = (this.published * 1000) / ratePerSecond - (performance.now() - this.#startMs)
    if (aheadMs > 1) await sleep(aheadMs, undefined, signal === undefined ? {} : { signal })
  }

  #showProgress(): void {
    const nowMs = performance.now()
    if (nowMs - this.#shownAtMs < PROGRESS_EVERY_MS) return
    this.#shownAtMs = nowMs
    const perSecond = Math.round((this.published * 1000) / (nowMs - this.#startMs))
    this.#options.onProgress?.(`published ${this.published} transactions (${perSecond}/s)`)
  }
}
