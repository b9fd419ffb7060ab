/**
 * The closing of a period (a calendar month UTC of recorded time): its canonical text, and the hash that chains it to the one
 * before. docs/periods.md describes it for whoever wants to check it without this code.
 *
 * Format 1. Lines of UTF-8, each ended by \n, fields separated by \t (no id holds control characters), amounts in minor units:
 *
 *   tallystream-closing 1 LEDGER YYYY-MM FIRST_SEQUENCE LAST_SEQUENCE CHAIN_SEQUENCE CHAIN_HASH POSTINGS
 *   account ID CURRENCY OPENING DEBITS CREDITS DEBIT_COUNT CREDIT_COUNT CLOSING VERSION DAYS LATER    in order of opening
 *   card TOKEN DEBITS CREDITS SPENT                                                                     in order of issue
 *
 * Sequences of a period without records are `-`. DAYS: what the entries that took effect by the end of the period add up to, by
 * value day (days since 1970 UTC) as `day:net`, with commas. LATER: those that take effect after it, by value time, `ms:net`.
 * hash = SHA-256( hash of the closing before (32 bytes; before the first one 32 zero bytes) ‖ first line ‖ SHA-256( other lines ) ).
 */
import { createHash, type Hash } from 'node:crypto'

export const CLOSING_FORMAT = 1

export interface ClosingHead {
  readonly ledger: string
  /** YYYY-MM */
  readonly period: string
  /** Of the batches that recorded in it; null = none. One in which time passed the end of the month belongs to both periods. */
  readonly firstSequence: bigint | null
  readonly lastSequence: bigint | null
  /** The chain of batches at its end: the last batch whose decision time lies before it. */
  readonly chainSequence: bigint
  readonly chainHash: Buffer
}

/** What of an account's entries takes effect at a value day (days since 1970) or time (ms since 1970). */
export interface ValueNet {
  readonly at: bigint
  /** Credits less debits, minor units. */
  readonly net: bigint
}

/** Amounts in minor units; balances are credits less debits. */
export interface AccountClosing {
  readonly accountId: string
  readonly currency: string
  readonly opening: bigint
  readonly debits: bigint
  readonly credits: bigint
  readonly debitCount: bigint
  readonly creditCount: bigint
  readonly closing: bigint
  /** Sequence of the batch with its last entry up to the end. */
  readonly version: bigint
  readonly days: readonly ValueNet[]
  readonly later: readonly ValueNet[]
}

export interface CardClosing {
  readonly card: string
  readonly debits: bigint
  readonly credits: bigint
  /** Debits less credits since it was issued. */
  readonly spent: bigint
}

/** Per currency; closings add up to zero, and debits to credits. */
export interface CurrencyTotal {
  currency: string
  accounts: number
  opening: bigint
  debits: bigint
  credits: bigint
  closing: bigint
}

export interface ClosingSum {
  readonly hash: Buffer
  readonly accounts: number
  readonly cards: number
  readonly postings: bigint
  /** In order of the currency's code. */
  readonly totals: readonly CurrencyTotal[]
}

const netsText = (nets: readonly ValueNet[]): string => nets.map(({ at, net }) => `${at}:${net}`).join(',')

const line = (...fields: readonly (string | number | bigint)[]): string => `${fields.join('\t')}\n`

/** Takes a closing's rows in, in order, and ends with its hash and totals. */
export class ClosingDigest {
  private readonly head: ClosingHead
  private readonly rows: Hash = createHash('sha256')
  private readonly previousHash: Buffer
  private readonly totals = new Map<string, CurrencyTotal>()
  private readonly parts: string[] = []
  private accounts = 0
  private cards = 0
  private debitCount = 0n

  /** @param previousHash of the closing before; 32 zero bytes for the first */
  constructor(head: ClosingHead, previousHash: Buffer) {
    this.head = head
    this.previousHash = previousHash
  }

  addAccount(row: AccountClosing): void {
    this.accounts += 1
    this.debitCount += row.debitCount
    const total = this.totalOf(row.currency)
    total.accounts += 1
    total.opening += row.opening
    total.debits += row.debits
    total.credits += row.credits
    total.closing += row.closing
    this.add(
      line(
        'account',
        row.accountId,
        row.currency,
        row.opening,
        row.debits,
        row.credits,
        row.debitCount,
        row.creditCount,
        row.closing,
        row.version,
        netsText(row.days),
        netsText(row.later),
      ),
    )
  }

  addCard(row: CardClosing): void {
    this.cards += 1
    this.add(line('card', row.card, row.debits, row.credits, row.spent))
  }

  /** Once, after the last row. */
  finish(): ClosingSum {
    this.flush()
    const { head } = this
    const first = line(
      'tallystream-closing',
      CLOSING_FORMAT,
      head.ledger,
      head.period,
      head.firstSequence ?? '-',
      head.lastSequence ?? '-',
      head.chainSequence,
      head.chainHash.toString('hex'),
      // Each posting has one debit entry.
      this.debitCount,
    )
    // The count of postings is known at the end only, so the rows are hashed apart.
    const hash = createHash('sha256')
      .update(this.previousHash)
      .update(first)
      .update(this.rows.digest())
      .digest()
    const totals = [...this.totals.values()].sort((a, b) => (a.currency < b.currency ? -1 : 1))
    return { hash, accounts: this.accounts, cards: this.cards, postings: this.debitCount, totals }
  }

  private totalOf(currency: string): CurrencyTotal {
    let total = this.totals.get(currency)
    if (total === undefined) {
      total = { currency, accounts: 0, opening: 0n, debits: 0n, credits: 0n, closing: 0n }
      this.totals.set(currency, total)
    }
    return total
  }

  private add(text: string): void {
    this.parts.push(text)
    if (this.parts.length >= 1_000) this.flush()
  }

  private flush(): void {
    this.rows.update(this.parts.join(''), 'utf8')
    this.parts.length = 0
  }
}

/** What is wrong with totals that should balance, by currency; empty = nothing. */
export const unbalanced = (totals: readonly CurrencyTotal[]): string[] =>
  totals.flatMap(({ currency, debits, credits, closing }) =>
    closing === 0n && debits === credits ? [] : [currency],
  )
