/**
 * Two-sided data for reconciliation with the truth about it: what a ledger posted on its nostro accounts and what the banks report,
 * with everything that goes wrong between the two. Pure: the same seed gives the same data on every machine.
 *
 * The truth names the items that belong together, whether or not anybody could find out: undecidable twins are in it, so recall is
 * never flattered. What belongs to nothing is listed as the break that it should become.
 */
import { type MatchItem, NO_REFERENCES, type Side } from '#domain/matching/item.ts'
import { Random } from '#loadtest/generator/random.ts'

/** Kinds of what happened, each with its share in thousandths of all that happens. */
export const DEFAULT_MIX = {
  /** References on both sides. */
  reference: 715,
  /** The same reference every month. */
  standing_order: 20,
  /** The bank's line has no reference but the other party's account. */
  without_reference: 90,
  /** Neither reference nor account, only the text. */
  text_only: 30,
  /** As MT field 61: 16 characters of the reference, no account. */
  cut_reference: 30,
  /** The bank took a fee of the schedule. */
  fee: 20,
  /** Off by a few minor units. */
  rounding: 5,
  /** One entry, several lines: by a key, by one reference. */
  split: 15,
  /** Several entries, one line, by a key. */
  merge: 25,
  /** Several entries, one line of the same party, without a key. */
  merge_without_key: 6,
  /** Several entries, several lines, by a key. */
  settlement: 4,
  /** Two alike (amount, days apart, no reference) of different parties, and of the same one: these can't be told apart. */
  collision: 10,
  twins: 3,
  /** Two alike of which the ledger knows only one and the bank only the other. */
  trap: 5,
  duplicate_in_bank: 3,
  duplicate_in_ledger: 2,
  missing_in_bank: 6,
  missing_in_ledger: 6,
  /** Paid, and come back later: both movements on both sides. */
  returned: 5,
} as const

export type Kind = keyof typeof DEFAULT_MIX

/** Items that are the same money. */
export interface TrueMatch {
  readonly kind: Kind
  readonly ledger: readonly string[]
  readonly bank: readonly string[]
}

/** An item that belongs to nothing. */
export interface TrueBreak {
  readonly kind: 'missing_in_ledger' | 'missing_in_bank' | 'duplicate'
  readonly item: string
}

export interface TwoSides {
  readonly ledger: readonly MatchItem[]
  readonly bank: readonly MatchItem[]
  readonly matches: readonly TrueMatch[]
  readonly breaks: readonly TrueBreak[]
}

export interface GeneratorOptions {
  readonly seed: number
  /** Things that happen; each makes one item a side, a few make more. */
  readonly events: number
  readonly days: number
}

/** Fees that banks take on the way, minor units: what a pair's configuration lists. */
export const FEES_MINOR = [150n, 350n, 500n, 1200n] as const
export const ROUNDING_MAX_MINOR = 2n

/** 2026-01-05, a Monday. */
const FIRST_DAY = 20_458
const ACCOUNTS = [
  { account: 'nostro-eur-1', currency: 'EUR' },
  { account: 'nostro-eur-2', currency: 'EUR' },
  { account: 'nostro-usd', currency: 'USD' },
  { account: 'nostro-jpy', currency: 'JPY' },
] as const
const NAMES = [
  'Miller',
  'Okafor',
  'Tanaka',
  'Rossi',
  'Novak',
  'Silva',
  'Kaya',
  'Jensen',
  'Dubois',
  'Kowalski',
] as const

/** Makes the data. @throws nothing */
export function generateTwoSides(options: GeneratorOptions): TwoSides {
  const maker = new Maker(options)
  for (let event = 0; event < options.events; event += 1) maker.happen()
  return maker.result()
}

type Draft = Partial<Omit<MatchItem, 'references' | 'side' | 'id'>> & {
  readonly references?: Partial<MatchItem['references']>
}

/** A payment before either side has written it down. */
interface Payment {
  readonly account: string
  readonly currency: string
  readonly amountMinor: bigint
  readonly day: number
  readonly counterpartyAccount: string
  readonly remittance: string
}

class Maker {
  readonly #random: Random
  readonly #days: number
  readonly #sides: Record<Side, MatchItem[]> = { ledger: [], bank: [] }
  readonly #matches: TrueMatch[] = []
  readonly #breaks: TrueBreak[] = []
  readonly #kinds: readonly Kind[]
  readonly #parties: readonly string[]
  #references = 0

  constructor({ seed, days, events }: GeneratorOptions) {
    this.#random = new Random(seed)
    this.#days = days
    this.#kinds = (Object.keys(DEFAULT_MIX) as Kind[]).flatMap((kind) =>
      new Array<Kind>(DEFAULT_MIX[kind]).fill(kind),
    )
    // A party pays now and then: more events, more parties, as in a bank that grows.
    this.#parties = Array.from({ length: Math.max(50, Math.floor(events / 10)) }, (_, at) => this.#iban(at))
  }

  result(): TwoSides {
    return { ...this.#sides, matches: this.#matches, breaks: this.#breaks }
  }

  happen(): void {
    const kind = this.#random.pick(this.#kinds)
    const payment = this.#payment()
    this.#makers[kind](payment, kind)
  }

  readonly #makers: Record<Kind, (payment: Payment, kind: Kind) => void> = {
    reference: (payment, kind) => {
      const references = this.#someReference()
      this.#pair(kind, this.#ledger(payment, { references }), this.#bank(payment, { references }))
    },
    standing_order: (payment, kind) => {
      const references = { endToEndId: this.#reference('SO') }
      for (let month = 0; month < 3; month += 1) {
        const due = { ...payment, day: payment.day + month * 30 }
        this.#pair(kind, this.#ledger(due, { references }), this.#bank(due, { references }))
      }
    },
    without_reference: (payment, kind) => {
      const ledger = this.#ledger(payment, { references: { endToEndId: this.#reference('E2E') } })
      this.#pair(kind, ledger, this.#bank(payment, {}))
    },
    text_only: (payment, kind) => {
      const ledger = this.#ledger(payment, { references: { endToEndId: this.#reference('E2E') } })
      const remittance = payment.remittance.toUpperCase().replace('INVOICE', 'INV')
      this.#pair(kind, ledger, this.#bank(payment, { counterpartyAccount: null, remittance }))
    },
    cut_reference: (payment, kind) => {
      const endToEndId = this.#reference('PAYRUN')
      const cut = { endToEndId: endToEndId.slice(0, 16) }
      const ledger = this.#ledger(payment, { references: { endToEndId } })
      this.#pair(kind, ledger, this.#bank(payment, { references: cut, counterpartyAccount: null }))
    },
    fee: (payment, kind) => this.#differing(kind, payment, this.#random.pick(FEES_MINOR)),
    rounding: (payment, kind) =>
      this.#differing(kind, payment, BigInt(this.#random.integer(1, Number(ROUNDING_MAX_MINOR)))),
    split: (payment, kind) => {
      const by = this.#random.chance(0.6)
        ? { groupKey: this.#reference('BULK') }
        : { references: { endToEndId: this.#reference('E2E') } }
      const ledger = this.#ledger(payment, by)
      const lines = this.#parts(payment.amountMinor).map((part) =>
        this.#bank({ ...payment, amountMinor: part }, by),
      )
      this.#matched(kind, [ledger], lines)
    },
    merge: (payment, kind) => {
      const groupKey = this.#reference('BULK')
      const entries = this.#parts(payment.amountMinor).map((part) =>
        this.#ledger({ ...payment, amountMinor: part }, { groupKey, counterpartyAccount: this.#party() }),
      )
      this.#matched(kind, entries, [this.#bank(payment, { groupKey, counterpartyAccount: null })])
    },
    merge_without_key: (payment, kind) => {
      const entries = this.#parts(payment.amountMinor).map((part) =>
        this.#ledger({ ...payment, amountMinor: part }, {}),
      )
      this.#matched(kind, entries, [this.#bank(payment, {})])
    },
    settlement: (payment, kind) => {
      const groupKey = this.#reference('SETTLE')
      const each = (side: '#ledger' | '#bank') =>
        this.#parts(payment.amountMinor).map((part) => {
          const of = { ...payment, amountMinor: part }
          return side === '#ledger' ? this.#ledger(of, { groupKey }) : this.#bank(of, { groupKey })
        })
      this.#matched(kind, each('#ledger'), each('#bank'))
    },
    collision: (payment, kind) => {
      const other = {
        ...payment,
        day: payment.day + this.#random.integer(0, 2),
        counterpartyAccount: this.#party(),
      }
      for (const one of [payment, other]) this.#pair(kind, this.#ledger(one, {}), this.#bank(one, {}))
    },
    twins: (payment, kind) => {
      const other = { ...payment, day: payment.day + this.#random.integer(0, 2) }
      for (const one of [payment, other]) this.#pair(kind, this.#ledger(one, {}), this.#bank(one, {}))
    },
    trap: (payment) => {
      const other = {
        ...payment,
        day: payment.day + this.#random.integer(0, 2),
        counterpartyAccount: this.#party(),
      }
      this.#missing('missing_in_bank', this.#ledger(payment, {}))
      this.#missing('missing_in_ledger', this.#bank(other, {}))
    },
    duplicate_in_bank: (payment, kind) => {
      const references = this.#someReference()
      this.#pair(kind, this.#ledger(payment, { references }), this.#bank(payment, { references }))
      this.#missing('duplicate', this.#bank({ ...payment, day: payment.day + 4 }, { references }))
    },
    duplicate_in_ledger: (payment, kind) => {
      const references = this.#someReference()
      this.#pair(kind, this.#ledger(payment, { references }), this.#bank(payment, { references }))
      this.#missing('duplicate', this.#ledger({ ...payment, day: payment.day + 5 }, { references }))
    },
    missing_in_bank: (payment) =>
      this.#missing('missing_in_bank', this.#ledger(payment, { references: this.#someReference() })),
    missing_in_ledger: (payment) =>
      this.#missing('missing_in_ledger', this.#bank(payment, { references: this.#someReference() })),
    returned: (payment, kind) => {
      const references = { endToEndId: this.#reference('E2E') }
      const back = {
        ...payment,
        amountMinor: -payment.amountMinor,
        day: payment.day + this.#random.integer(2, 6),
      }
      this.#pair(kind, this.#ledger(payment, { references }), this.#bank(payment, { references }))
      const isReturn = { references, isReturn: true }
      this.#pair(kind, this.#ledger(back, isReturn), this.#bank(back, isReturn))
    },
  }

  #differing(kind: Kind, payment: Payment, feeMinor: bigint): void {
    const references = { endToEndId: this.#reference('E2E') }
    // So small a payment would be turned round by its fee.
    const sent = {
      ...payment,
      amountMinor: payment.amountMinor + (payment.amountMinor < 0n ? -5_000n : 5_000n),
    }
    const arrived = { ...sent, amountMinor: sent.amountMinor - feeMinor }
    this.#pair(kind, this.#ledger(sent, { references }), this.#bank(arrived, { references }))
  }

  #pair(kind: Kind, ledger: string, bank: string): void {
    this.#matched(kind, [ledger], [bank])
  }

  #matched(kind: Kind, ledger: readonly string[], bank: readonly string[]): void {
    this.#matches.push({ kind, ledger: [...ledger].sort(), bank: [...bank].sort() })
  }

  #missing(kind: TrueBreak['kind'], item: string): void {
    this.#breaks.push({ kind, item })
  }

  #ledger(payment: Payment, draft: Draft): string {
    return this.#item('ledger', payment, payment.day, draft)
  }

  /** The bank books later: mostly on the same or the next day, seldom up to three after it. */
  #bank(payment: Payment, draft: Draft): string {
    const late = this.#random.pick([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3])
    return this.#item('bank', payment, payment.day + late, draft)
  }

  #item(side: Side, payment: Payment, day: number, { references, ...draft }: Draft): string {
    const items = this.#sides[side]
    const id = `${side === 'ledger' ? 'L' : 'B'}${String(items.length + 1).padStart(8, '0')}`
    const { account, currency, amountMinor, counterpartyAccount, remittance } = payment
    items.push({
      id,
      side,
      account,
      currency,
      amountMinor,
      original: null,
      bookingDay: day,
      valueDay: day,
      references: references === undefined ? NO_REFERENCES : { ...NO_REFERENCES, ...references },
      groupKey: null,
      counterpartyAccount,
      remittance,
      isReturn: false,
      provenance: `${side}:${items.length + 1}`,
      ...draft,
    })
    return id
  }

  #payment(): Payment {
    const random = this.#random
    const { account, currency } = random.pick(ACCOUNTS)
    // Log-normal around 90.00, in steps that people like now and then.
    const size = Math.max(100, Math.round(9_000 * Math.exp(1.3 * random.normal())))
    const amount = random.chance(0.15) ? Math.max(500, Math.round(size / 500) * 500) : size
    const invoice = random.integer(10_000, 9_999_999)
    return {
      account,
      currency,
      amountMinor: BigInt(random.chance(0.5) ? amount : -amount),
      day: FIRST_DAY + random.integer(0, this.#days - 1),
      counterpartyAccount: this.#party(),
      remittance: `Invoice ${invoice} ${random.pick(NAMES)}`,
    }
  }

  #someReference(): Partial<MatchItem['references']> {
    const random = this.#random
    const which = random.integer(0, 9)
    if (which < 7) return { endToEndId: this.#reference('E2E') }
    return which < 9 ? { uetr: random.uuid().toUpperCase() } : { creditorReference: this.#reference('RF00') }
  }

  #reference(prefix: string): string {
    this.#references += 1
    return `${prefix}-${String(this.#references).padStart(8, '0')}-${this.#random.hex(4).toUpperCase()}`
  }

  #party(): string {
    return this.#random.pick(this.#parties)
  }

  #iban(at: number): string {
    return `DE${String(10 + (at % 89))}1203${this.#random.integer(1000, 9999)}${String(at).padStart(10, '0')}`
  }

  /** 2 to 5 parts of one sign that add up. */
  #parts(amountMinor: bigint): bigint[] {
    const count = this.#random.integer(2, 5)
    const parts: bigint[] = []
    let rest = amountMinor
    for (let at = 1; at < count; at += 1) {
      const part = (rest * BigInt(this.#random.integer(15, 60))) / 100n
      if (part === 0n) break
      parts.push(part)
      rest -= part
    }
    return [...parts, rest]
  }
}
