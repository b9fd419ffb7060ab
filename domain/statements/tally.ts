/** Adds up a statement's lines while they are read, and proves its arithmetic at the end. */
import { add, type Decimal, isEqual, isNegative, negate, ZERO } from './decimal.ts'
import type {
  Balance,
  StatementHeader,
  StatementLine,
  StatementSink,
  StatementSummary,
  Verdict,
} from './model.ts'
import type { StatementProblem } from './problems.ts'

export class StatementTally {
  readonly #sink: StatementSink
  readonly #header: StatementHeader
  #opening: Balance | null = null
  #closing: Balance | null = null
  #entries = 0
  #unbooked = 0
  #rejected = 0
  #sumCredits = ZERO
  #sumDebits = ZERO
  #controls: Verdict = 'n/a'
  #currency: string | null
  #currencyMixed = false

  /** Tells the sink of the statement's start. */
  constructor(sink: StatementSink, header: StatementHeader) {
    this.#sink = sink
    this.#header = header
    this.#currency = header.currency
    sink.start(header)
  }

  get entries(): number {
    return this.#entries
  }

  get sumCredits(): Decimal {
    return this.#sumCredits
  }

  /** Positive. */
  get sumDebits(): Decimal {
    return this.#sumDebits
  }

  line(line: StatementLine): void {
    if (line.status === 'booked') {
      this.#entries += 1
      if (isNegative(line.amount)) this.#sumDebits = add(this.#sumDebits, negate(line.amount))
      else this.#sumCredits = add(this.#sumCredits, line.amount)
      this.#sameCurrency(line.currency, {
        line: line.line,
        ...(line.path === null ? {} : { path: line.path }),
      })
    } else {
      this.#unbooked += 1
    }
    this.#sink.line(line, this.#header)
  }

  /** A line that can't be read. */
  reject(problem: StatementProblem): void {
    this.#rejected += 1
    this.#sink.reject(problem)
  }

  /** The first opening balance counts. */
  opening(balance: Balance): void {
    this.#opening ??= balance
  }

  /** The last closing balance counts. */
  closing(balance: Balance): void {
    this.#closing = balance
  }

  /** A total that the file declares. One that disagrees is enough for a mismatch. */
  control(agrees: boolean): void {
    if (!agrees) this.#controls = 'mismatch'
    else if (this.#controls === 'n/a') this.#controls = 'ok'
  }

  end(): StatementSummary {
    for (const balance of [this.#opening, this.#closing]) this.#sameCurrency(balance?.currency ?? null, {})
    const summary: StatementSummary = {
      ...this.#header,
      currency: this.#currency,
      opening: this.#opening,
      closing: this.#closing,
      entries: this.#entries,
      sumCredits: this.#sumCredits,
      sumDebits: this.#sumDebits,
      unbooked: this.#unbooked,
      rejected: this.#rejected,
      proof: this.#proof(),
      controls: this.#controls,
    }
    this.#sink.end(summary, this.#header)
    return summary
  }

  /** Amounts of several currencies have no sum: such a statement is never proven. */
  #sameCurrency(currency: string | null, place: { line?: number; path?: string }): void {
    if (currency === null || currency === this.#currency) return
    if (this.#currency === null) {
      this.#currency = currency
      return
    }
    if (!this.#currencyMixed) {
      const message = `expected amounts in ${this.#currency}, found ${currency}`
      this.#sink.warn({ code: 'currency_mixed', message, ...place })
    }
    this.#currencyMixed = true
  }

  #proof(): Verdict {
    if (this.#opening === null || this.#closing === null) return 'n/a'
    if (this.#currencyMixed) return 'mismatch'
    const expected = add(add(this.#opening.amount, this.#sumCredits), negate(this.#sumDebits))
    return isEqual(expected, this.#closing.amount) ? 'ok' : 'mismatch'
  }
}
