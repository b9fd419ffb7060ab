/**
 * The daily report of a pair: for each account what both sides had at the day's begin and end, what moved, what of it is matched, what
 * is open by kind and age, and the proof that the difference between both sides is explained to the last minor unit. Pure.
 */
import { ageBucket } from '#domain/breaks/classify.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { add, type Decimal, formatDecimal, fromMinor, isEqual } from '#domain/statements/decimal.ts'

/** Items up to the day, added up by what they have in common. */
export interface ItemSum {
  readonly account: string
  readonly currency: string
  readonly side: 'ledger' | 'bank'
  readonly isOfDay: boolean
  /**
   * matched: with items up to the day. transit: with one of a later day. open: nothing, and nobody has decided. settled: people
   * decided about it.
   */
  readonly state: 'matched' | 'transit' | 'open' | 'settled'
  readonly pass: string | null
  readonly kind: string | null
  /** Days from the item's date to the day. */
  readonly ageDays: number
  readonly items: number
  readonly amountMinor: bigint
}

/** What a statement says of the day. */
export interface DayStatement {
  readonly account: string
  readonly currency: string | null
  readonly key: string
  readonly opening: Decimal | null
  readonly closing: Decimal | null
  readonly proof: 'ok' | 'mismatch' | 'n/a'
}

/** Differences that were accepted in matches up to the day: ledger less bank, minor units. */
export interface AcceptedDifference {
  readonly account: string
  readonly currency: string
  readonly differenceMinor: bigint
}

/** Amounts are exact decimal texts in major units, positive where money comes in. */
export interface SideOfDay {
  readonly opening: string
  readonly moved: string
  readonly items: number
  readonly closing: string
}

export interface AccountReport {
  readonly account: string
  readonly currency: string
  /** Sums of entries: the ledger's balance, as far as its history was read. */
  readonly ledger: SideOfDay
  /** Sums of lines. */
  readonly bank: SideOfDay
  /** What the statements of the day declare; null where none does. */
  readonly statement: { readonly opening: string | null; readonly closing: string | null } | null
  readonly matched: readonly { readonly pass: string; readonly items: number; readonly amount: string }[]
  readonly open: readonly {
    readonly side: 'ledger' | 'bank'
    readonly kind: string
    readonly age: string
    readonly items: number
    readonly amount: string
  }[]
  readonly proof: {
    /** Closing of the ledger less that of the bank, and what it is made of. */
    readonly difference: string
    readonly open: string
    readonly transit: string
    readonly settled: string
    readonly accepted: string
    readonly unexplained: string
    readonly isExplained: boolean
    /** Opening + lines = closing, as the bank declares them. */
    readonly statement: 'ok' | 'mismatch' | 'n/a'
  }
}

export interface DailyReport {
  readonly pair: string
  /** ISO 8601 date. */
  readonly date: string
  readonly accounts: readonly AccountReport[]
}

/** Makes the report. @param sums of items up to the day */
export function dailyReport(input: {
  readonly pair: string
  readonly date: string
  readonly sums: readonly ItemSum[]
  readonly statements: readonly DayStatement[]
  readonly accepted: readonly AcceptedDifference[]
}): DailyReport {
  const { pair, date, sums, statements, accepted } = input
  const names = new Map(
    sums.map(({ account, currency }) => [`${account}\u0001${currency}`, { account, currency }]),
  )
  const accounts = [...names.keys()].sort().map((name) => {
    const of = names.get(name)!
    const isOf = (one: { account: string; currency: string | null }) =>
      one.account === of.account && (one.currency === null || one.currency === of.currency)
    return accountReport(of, sums.filter(isOf), statements.filter(isOf), accepted.filter(isOf))
  })
  return { pair, date, accounts }
}

function accountReport(
  { account, currency }: { readonly account: string; readonly currency: string },
  sums: readonly ItemSum[],
  statements: readonly DayStatement[],
  accepted: readonly AcceptedDifference[],
): AccountReport {
  const show = shownIn(currency)
  const net = (state: ItemSum['state']) =>
    total(sums.filter((sum) => sum.state === state && sum.side === 'ledger')) -
    total(sums.filter((sum) => sum.state === state && sum.side === 'bank'))
  const difference = total(ofSide(sums, 'ledger')) - total(ofSide(sums, 'bank'))
  const parts = { open: net('open'), transit: net('transit'), settled: net('settled') }
  const acceptedMinor = accepted.reduce((sum, { differenceMinor }) => sum + differenceMinor, 0n)
  const unexplained = difference - parts.open - parts.transit - parts.settled - acceptedMinor
  return {
    account,
    currency,
    ledger: sideOf(ofSide(sums, 'ledger'), show),
    bank: sideOf(ofSide(sums, 'bank'), show),
    statement: declared(statements, currency),
    matched: grouped(
      sums.filter(({ isOfDay, pass }) => isOfDay && pass !== null),
      ({ pass }) => pass!,
    ).map(([pass, group]) => ({ pass, items: count(group), amount: show(total(group)) })),
    open: grouped(
      sums.filter(({ state }) => state === 'open'),
      ({ side, kind, ageDays }) => JSON.stringify([side, kind, ageBucket(ageDays)]),
    ).map(([key, group]) => {
      const [side, kind, age] = JSON.parse(key) as ['ledger' | 'bank', string, string]
      return { side, kind, age, items: count(group), amount: show(total(group)) }
    }),
    proof: {
      difference: show(difference),
      open: show(parts.open),
      transit: show(parts.transit),
      settled: show(parts.settled),
      accepted: show(acceptedMinor),
      unexplained: show(unexplained),
      isExplained: unexplained === 0n,
      statement: statementProof(
        statements,
        total(ofSide(sums, 'bank').filter(({ isOfDay }) => isOfDay)),
        currency,
      ),
    },
  }
}

const ofSide = (sums: readonly ItemSum[], side: 'ledger' | 'bank') => sums.filter((sum) => sum.side === side)
const total = (sums: readonly ItemSum[]): bigint =>
  sums.reduce((sum, { amountMinor }) => sum + amountMinor, 0n)
const count = (sums: readonly ItemSum[]): number => sums.reduce((sum, { items }) => sum + items, 0)

const exponentOf = (currency: string): number => currencyByCode(currency)?.exponent ?? 0

const shownIn = (currency: string) => {
  const exponent = exponentOf(currency)
  return (minor: bigint): string => formatDecimal(fromMinor(minor, exponent), exponent)
}

function sideOf(sums: readonly ItemSum[], show: (minor: bigint) => string): SideOfDay {
  const moved = sums.filter(({ isOfDay }) => isOfDay)
  const closing = total(sums)
  return {
    opening: show(closing - total(moved)),
    moved: show(total(moved)),
    items: count(moved),
    closing: show(closing),
  }
}

/** In the order of their names. */
function grouped<T>(list: readonly T[], nameOf: (one: T) => string): [string, T[]][] {
  const groups = new Map<string, T[]>()
  for (const one of list) {
    const name = nameOf(one)
    groups.set(name, [...(groups.get(name) ?? []), one])
  }
  return [...groups].sort(([left], [right]) => (left < right ? -1 : 1))
}

/** Of several (intraday pages): the opening that no other closed with, the closing that no other opened with. */
function endsOf(statements: readonly DayStatement[]): { opening: Decimal | null; closing: Decimal | null } {
  const isIn = (value: Decimal, list: readonly (Decimal | null)[]) =>
    list.some((other) => other !== null && isEqual(value, other))
  const first = statements.find(
    ({ key, opening }) =>
      opening !== null &&
      !isIn(
        opening,
        statements.map((one) => (one.key === key ? null : one.closing)),
      ),
  )
  const last = statements.find(
    ({ key, closing }) =>
      closing !== null &&
      !isIn(
        closing,
        statements.map((one) => (one.key === key ? null : one.opening)),
      ),
  )
  return {
    opening: (first ?? statements[0])?.opening ?? null,
    closing: (last ?? statements[0])?.closing ?? null,
  }
}

function declared(statements: readonly DayStatement[], currency: string): AccountReport['statement'] {
  if (statements.length === 0) return null
  const { opening, closing } = endsOf(statements)
  const exponent = exponentOf(currency)
  const show = (value: Decimal | null) => (value === null ? null : formatDecimal(value, exponent))
  return { opening: show(opening), closing: show(closing) }
}

/** The lines that were taken for items must carry the opening to the closing, and each statement must be right in itself. */
function statementProof(
  statements: readonly DayStatement[],
  movedMinor: bigint,
  currency: string,
): 'ok' | 'mismatch' | 'n/a' {
  if (statements.some(({ proof }) => proof === 'mismatch')) return 'mismatch'
  const { opening, closing } = endsOf(statements)
  if (opening === null || closing === null) return 'n/a'
  const moved = fromMinor(movedMinor, exponentOf(currency))
  return isEqual(add(opening, moved), closing) ? 'ok' : 'mismatch'
}
