/** What the cases build their records with: seeded choices, names, times, and a place for records that come later. */
import { blankCommand, type Posting, type TransactionCommand } from '#domain/transactions/command.ts'
import { eventTimeAt, logNormal } from './distributions.ts'
import { type Customer, type Market, RULE_DOLLARS } from './population.ts'
import { Random } from './random.ts'
import { ACTOR, type GeneratedRecord, type Malformation, type Outcome, type WireForm } from './records.ts'

export interface WorkshopOptions {
  readonly run: string
  readonly source: string
  readonly seed: number
  readonly transactions: number
  readonly endTimeMs: number
  /** Over how many days the event times spread. */
  readonly days: number
  readonly markets: readonly Market[]
}

/** What a record says besides its postings. */
export interface RecordOptions {
  readonly intended: Outcome
  readonly key?: string
  readonly isParent?: boolean
  readonly malformation?: Malformation
  readonly form?: WireForm
}

/** Median of ordinary payments, dollars, and the spread of the logarithm. */
const MEDIAN_DOLLARS = 28
const SIGMA = 1.15
/** Ordinary payments end here: above would be held. Multi-posting payers pay several of them. */
const ORDINARY_DOLLARS_MAX = RULE_DOLLARS.hold * 0.9
/** Follow-ups come within so many records after their parent. */
const DELAY_MAX = 1_500
/** Shares of records that are written as JSON. */
const JSON_SHARE = 0.03
const FLAT_SHARE = 0.01

export class Workshop {
  readonly random: Random
  readonly options: WorkshopOptions
  /** Money that limited accounts may need at most, whatever the order: what the funding covers. */
  readonly outgoing = new Map<string, bigint>()
  readonly #emit: (record: GeneratedRecord) => void
  readonly #later = new Map<number, (() => void)[]>()
  #ids = 0
  bursts = 0
  /** Records given out so far. */
  step = 0

  constructor(options: WorkshopOptions, emit: (record: GeneratedRecord) => void) {
    this.options = options
    this.random = new Random(options.seed)
    this.#emit = emit
  }

  /** A market, by its share of customers. */
  market(): Market {
    let left = this.random.unit()
    for (const market of this.options.markets) {
      left -= market.share
      if (left < 0) return market
    }
    return this.options.markets[0]!
  }

  payer(market: Market): Customer {
    return market.customers[market.customerRank.draw(this.random)]!
  }

  /** Another customer: payees are spread more evenly than payers. */
  payee(market: Market, payer: Customer): Customer {
    const found = this.random.pick(market.customers)
    return found === payer
      ? market.customers[(market.customers.indexOf(payer) + 1) % market.customers.length]!
      : found
  }

  /** An ordinary amount, minor units. */
  amount(market: Market, parts = 1): bigint {
    const dollars = Math.min(logNormal(this.random, MEDIAN_DOLLARS, SIGMA), ORDINARY_DOLLARS_MAX / parts)
    return this.dollars(market, dollars)
  }

  /** Dollars to minor units of the market, at least 2 (so that a part of it is smaller and not zero). */
  dollars(market: Market, dollars: number): bigint {
    return BigInt(Math.max(2, Math.round(dollars * market.minorPerDollar)))
  }

  /** A part of an amount: at least 1, less than all of it. */
  partOf(amount: bigint): bigint {
    return 1n + ((amount - 2n) * BigInt(this.random.integer(0, 1000))) / 1000n
  }

  /** Event time by the progress of the run, ms. */
  now(): number {
    const { transactions, days, endTimeMs } = this.options
    const progress = Math.min(1, (this.step + this.random.unit()) / transactions)
    return eventTimeAt(progress, days, endTimeMs)
  }

  /** A transaction with defaults for all that the case doesn't say. */
  command(fields: Partial<TransactionCommand>): TransactionCommand {
    this.#ids += 1
    return blankCommand({
      id: `${this.options.run}-${this.#ids.toString(36)}`,
      source: this.options.source,
      postings: [],
      occurredAt: this.now(),
      actor: ACTOR,
      ...fields,
    })
  }

  /** Gives out a record now. Its key is the payer's account unless said otherwise. */
  emit(caseName: string, command: TransactionCommand, options: RecordOptions): GeneratedRecord {
    const record: GeneratedRecord = {
      caseName,
      key: options.key ?? command.postings[0]?.debit ?? command.id,
      command,
      form: options.form ?? this.#formOf(command, options.intended),
      malformation: options.malformation ?? null,
      intended: options.intended,
      isParent: options.isParent ?? false,
    }
    this.#emit(record)
    return record
  }

  /** Lets something happen some records later. */
  later(happen: () => void): void {
    const step = this.step + 1 + this.random.integer(0, DELAY_MAX)
    const due = this.#later.get(step)
    if (due === undefined) this.#later.set(step, [happen])
    else due.push(happen)
  }

  /** What is due at the present step. */
  takeDue(): readonly (() => void)[] {
    const due = this.#later.get(this.step) ?? []
    this.#later.delete(this.step)
    return due
  }

  /** Counts money that leaves a limited account for good or for a while. */
  spend(account: string, amount: bigint): void {
    this.outgoing.set(account, (this.outgoing.get(account) ?? 0n) + amount)
  }

  posting(market: Market, debit: string, credit: string, amount: bigint): Posting {
    return { debit, credit, amount, currency: market.currency }
  }

  #formOf(command: TransactionCommand, intended: Outcome): WireForm {
    const drawn = this.random.unit()
    if (drawn >= JSON_SHARE) return 'avro'
    // The flat form has exactly one posting, and an amount in major units of a currency that exists.
    const isPlain = intended === 'applied' && command.postings.length === 1
    return drawn < FLAT_SHARE && isPlain ? 'flat' : 'json'
  }
}
