/**
 * What a replay remembers of every transaction, in about a hundred bytes each: its id and content, and what a later capture,
 * void, reverse or review may need of it: the postings with what was given back, and whether it once was a hold.
 */
import type { HoldState, PostedParent } from '#domain/ledger/state.ts'
import { KINDS, type TransactionKind } from '#domain/transactions/outcomes.ts'
import { GrowingInt64, GrowingUint32 } from './growing-list.ts'
import { IdTable, type TakenId } from './id-table.ts'

/** Account and card numbers to their names: the lists keep numbers only. */
export interface Names {
  account(no: number): { readonly id: string; readonly currency: string }
  card(no: number): string
}

export interface RememberedPosting {
  readonly debitNo: number
  readonly creditNo: number
  readonly amount: bigint
  readonly reversed: bigint
}

/** All that is known of an id, as a checkpoint keeps it. */
export interface RememberedTransaction extends TakenId {
  readonly key: string
  /** Null where nothing was posted. */
  readonly posted: TransactionKind | null
  /** Of a hold that is over; null where it never was one, or still is. */
  readonly closedHold: HoldState['kind'] | null
  readonly cardNo: number | null
  readonly postings: readonly RememberedPosting[]
}

// The low byte of a fact: kind + 1 (0 = nothing posted), and two bits; above it the number of postings.
const KIND_BITS = 15
const CLOSED_AUTHORIZATION = 16
const CLOSED_REVIEW = 32
const POSTING = 256
/** Number of an id of which nothing more is known; others are the place of their fact + 1. */
const NOTHING = 0

export class TransactionMemory {
  private readonly ids = new IdTable()
  /** Three words each: what (see above), card number + 1, place of the first posting. */
  private readonly facts = new GrowingUint32()
  private readonly debits = new GrowingUint32()
  private readonly credits = new GrowingUint32()
  private readonly amounts = new GrowingInt64()
  /** By place of the posting; few are ever reversed. */
  private readonly reversed = new Map<number, bigint>()

  get size(): number {
    return this.ids.size
  }

  /** Who took an id, or null. */
  takenId(key: string): TakenId | null {
    return this.ids.get(key)
  }

  /** Takes an id. */
  claim(key: string, taken: TakenId): void {
    this.ids.set(key, taken, NOTHING)
  }

  /** Frees an id that was taken too long ago, with all that is known of it. */
  forget(key: string): void {
    this.ids.forget(key)
  }

  /** Notes that the money of a taken id was posted. */
  post(
    key: string,
    kind: TransactionKind,
    cardNo: number | null,
    postings: readonly Omit<RememberedPosting, 'reversed'>[],
  ): void {
    const first = this.debits.length
    for (const { debitNo, creditNo, amount } of postings) {
      this.debits.push(debitNo)
      this.credits.push(creditNo)
      this.amounts.push(amount)
    }
    this.note(key, KINDS.indexOf(kind) + 1 + POSTING * postings.length, cardNo, first)
  }

  /** Notes that a hold is over: nothing is left to capture or to review. */
  closeHold(key: string, kind: HoldState['kind'], cardNo: number | null): void {
    const bit = kind === 'authorization' ? CLOSED_AUTHORIZATION : CLOSED_REVIEW
    const fact = this.factOf(key)
    if (fact < 0) this.note(key, bit, cardNo, 0)
    else this.facts.set(fact, this.facts.at(fact) | bit)
  }

  /** How much of a posting was given back by now. */
  setReversed(key: string, posting: number, reversed: bigint): void {
    this.reversed.set(this.facts.at(this.factOf(key) + 2) + posting, reversed)
  }

  /** The hold that an id was, if it is over. */
  closedHold(key: string): { readonly kind: HoldState['kind']; readonly cardNo: number | null } | null {
    const fact = this.factOf(key)
    const kind = fact < 0 ? null : holdKind(this.facts.at(fact))
    return kind === null ? null : { kind, cardNo: this.cardNoAt(fact) }
  }

  /** The posted transaction of an id as deciding takes it, or null. */
  parent(key: string, names: Names): PostedParent | null {
    const fact = this.factOf(key)
    const kind = fact < 0 ? null : postedKind(this.facts.at(fact))
    if (kind === null) return null
    const cardNo = this.cardNoAt(fact)
    return {
      key,
      kind,
      card: cardNo === null ? null : names.card(cardNo),
      postings: this.postingsAt(fact).map((posting, place) => {
        const debit = names.account(posting.debitNo)
        return {
          posting: place,
          debit: debit.id,
          credit: names.account(posting.creditNo).id,
          amount: posting.amount,
          currency: debit.currency,
          reversed: posting.reversed,
          changed: false,
        }
      }),
    }
  }

  /** Everything, in no order. */
  *entries(): Generator<RememberedTransaction> {
    for (const { number, ...id } of this.ids.entries()) {
      const fact = number - 1
      const what = fact < 0 ? 0 : this.facts.at(fact)
      yield {
        ...id,
        posted: postedKind(what),
        closedHold: holdKind(what),
        cardNo: fact < 0 ? null : this.cardNoAt(fact),
        postings: fact < 0 ? [] : this.postingsAt(fact),
      }
    }
  }

  /** Takes back what `entries` gave. */
  restore(entry: RememberedTransaction): void {
    this.claim(entry.key, entry)
    if (entry.posted !== null) this.post(entry.key, entry.posted, entry.cardNo, entry.postings)
    for (const [place, { reversed }] of entry.postings.entries()) {
      if (reversed !== 0n) this.setReversed(entry.key, place, reversed)
    }
    if (entry.closedHold !== null) this.closeHold(entry.key, entry.closedHold, entry.cardNo)
  }

  private note(key: string, what: number, cardNo: number | null, firstPosting: number): void {
    const fact = this.facts.push(what)
    this.facts.push(cardNo === null ? 0 : cardNo + 1)
    this.facts.push(firstPosting)
    this.ids.setNumber(key, fact + 1)
  }

  /** Where the facts of an id are; negative where there are none. */
  private factOf(key: string): number {
    return Math.max(this.ids.numberOf(key), NOTHING) - 1
  }

  private cardNoAt(fact: number): number | null {
    const no = this.facts.at(fact + 1)
    return no === 0 ? null : no - 1
  }

  private postingsAt(fact: number): RememberedPosting[] {
    const count = Math.floor(this.facts.at(fact) / POSTING)
    const first = this.facts.at(fact + 2)
    return Array.from({ length: count }, (_, place) => ({
      debitNo: this.debits.at(first + place),
      creditNo: this.credits.at(first + place),
      amount: this.amounts.at(first + place),
      reversed: this.reversed.get(first + place) ?? 0n,
    }))
  }
}

const postedKind = (what: number): TransactionKind | null => KINDS[(what & KIND_BITS) - 1] ?? null

const holdKind = (what: number): HoldState['kind'] | null => {
  if ((what & CLOSED_AUTHORIZATION) !== 0) return 'authorization'
  return (what & CLOSED_REVIEW) === 0 ? null : 'review'
}
