/** What kind of break an open item is: from the item, what shares a reference with it, and the day. The first rule that holds names it. */
import { daysBetween } from '#domain/matching/agreement.ts'
import { dayOf, type MatchItem } from '#domain/matching/item.ts'

/**
 * The closed list. missing_in_ledger, missing_in_bank: the other side has nothing. amount, currency, wrong_account: it has the payment
 * otherwise. fee: less arrived by what may be a fee. duplicate: it is there twice. return: it came back. timing: not yet there, or the
 * same payment too far away. statement_arithmetic: a statement doesn't add up. statement_gap: one is missing between two. disputed: a
 * person says that a match is wrong.
 */
export const BREAK_KINDS = [
  'missing_in_ledger',
  'missing_in_bank',
  'amount',
  'currency',
  'duplicate',
  'timing',
  'wrong_account',
  'fee',
  'return',
  'statement_arithmetic',
  'statement_gap',
  'disputed',
] as const
export type BreakKind = (typeof BREAK_KINDS)[number]

export interface BreakSettings {
  /** So many days after its date an item may still wait for the other side. */
  readonly timingDays: number
  /** The most that a missing amount is taken for a fee, minor units. */
  readonly feeMaxMinor: bigint
  /** From these on, by amount (minor units) or age (days), a break is of that severity. */
  readonly severity: {
    readonly mediumMinor: bigint
    readonly highMinor: bigint
    readonly mediumDays: number
    readonly highDays: number
  }
}

export const BREAK_SETTINGS: BreakSettings = {
  timingDays: 5,
  feeMaxMinor: 5_000n,
  severity: { mediumMinor: 100_000n, highMinor: 10_000_000n, mediumDays: 6, highDays: 31 },
}

/** An item that shares a reference with the open one, in any account of the pair. */
export interface Related {
  readonly item: MatchItem
  readonly isOpen: boolean
}

export interface Classified {
  readonly kind: BreakKind
  /** Ids of what made it this kind, sorted. */
  readonly related: readonly string[]
}

/** @param today Days since 1970, from the last tick @param related Without the item itself, in any order */
export function classify(
  item: MatchItem,
  related: readonly Related[],
  today: number,
  settings: BreakSettings,
): Classified {
  const others = related.filter(({ item: other }) => other.id !== item.id)
  for (const rule of RULES) {
    const found = rule.of(item, others, settings)
    if (found.length > 0) {
      return { kind: rule.kind, related: found.map((other) => other.item.id).sort() }
    }
  }
  return { kind: byAge(item, today, settings), related: [] }
}

function byAge(item: MatchItem, today: number, { timingDays }: BreakSettings): BreakKind {
  if (ageInDays(item, today) <= timingDays) return 'timing'
  return item.side === 'ledger' ? 'missing_in_bank' : 'missing_in_ledger'
}

const isSameMoney = (left: MatchItem, right: MatchItem): boolean =>
  left.currency === right.currency && left.amountMinor === right.amountMinor

/** Ledger less bank. */
const difference = (left: MatchItem, right: MatchItem): bigint =>
  left.side === 'ledger' ? left.amountMinor - right.amountMinor : right.amountMinor - left.amountMinor

const isSameDirection = (left: MatchItem, right: MatchItem): boolean =>
  left.amountMinor < 0n === right.amountMinor < 0n

const isOtherSide = (item: MatchItem, { item: other, isOpen }: Related): boolean =>
  isOpen && other.side !== item.side

type Rule = (item: MatchItem, others: readonly Related[], settings: BreakSettings) => readonly Related[]

/** The other side has it in this account and currency, for another amount in the same direction. */
const otherAmount: Rule = (item, others) =>
  others.filter(
    (other) =>
      isOtherSide(item, other) &&
      other.item.account === item.account &&
      other.item.currency === item.currency &&
      other.item.amountMinor !== item.amountMinor &&
      isSameDirection(item, other.item),
  )

const RULES: readonly { readonly kind: BreakKind; readonly of: Rule }[] = [
  {
    // A twin on its own side that is matched, or two on the other side of which nobody knows which one it is.
    kind: 'duplicate',
    of: (item, others) => {
      const alike = others.filter(
        ({ item: other }) => other.account === item.account && isSameMoney(item, other),
      )
      const own = alike.filter(({ item: other }) => other.side === item.side)
      const theirs = alike.filter((other) => isOtherSide(item, other))
      const matched = own.filter(({ isOpen }) => !isOpen)
      if (matched.length > 0) return matched
      if (theirs.length > 1 && theirs.length !== own.length + 1) return theirs
      return own.length > 0 && theirs.length > 0 && theirs.length !== own.length + 1 ? own : []
    },
  },
  {
    kind: 'return',
    of: (item, others) =>
      others.filter(
        ({ item: other }) =>
          other.side === item.side &&
          other.currency === item.currency &&
          other.amountMinor === -item.amountMinor &&
          (item.isReturn || other.isReturn),
      ),
  },
  {
    kind: 'wrong_account',
    of: (item, others) =>
      others.filter(
        (other) =>
          isOtherSide(item, other) && other.item.account !== item.account && isSameMoney(item, other.item),
      ),
  },
  {
    kind: 'currency',
    of: (item, others) =>
      others.filter((other) => isOtherSide(item, other) && other.item.currency !== item.currency),
  },
  {
    kind: 'fee',
    of: (item, others, settings) =>
      otherAmount(item, others, settings).filter(({ item: other }) => {
        const missing = difference(item, other)
        return missing > 0n && missing <= settings.feeMaxMinor
      }),
  },
  { kind: 'amount', of: otherAmount },
  {
    kind: 'timing',
    of: (item, others, { timingDays }) =>
      others.filter(
        (other) =>
          isOtherSide(item, other) &&
          other.item.account === item.account &&
          isSameMoney(item, other.item) &&
          daysBetween(item, other.item) > timingDays,
      ),
  },
]

/** Days from an item's date to today; 0 for one of the future or without a date. */
export function ageInDays(item: Pick<MatchItem, 'valueDay' | 'bookingDay'>, today: number): number {
  const day = dayOf(item as MatchItem)
  return day === null ? 0 : Math.max(0, today - day)
}

/** Upper ends of the buckets, days; the last one has none. */
const BUCKETS = [1, 5, 30, 90] as const

/** `0-1`, `2-5`, `6-30`, `31-90` or `91+`. */
export function ageBucket(ageDays: number): string {
  const at = BUCKETS.findIndex((end) => ageDays <= end)
  if (at === -1) return `${BUCKETS.at(-1)! + 1}+`
  return `${at === 0 ? 0 : BUCKETS[at - 1]! + 1}-${BUCKETS[at]}`
}

/** From the least grave on. */
export const SEVERITIES = ['low', 'medium', 'high'] as const
export type Severity = (typeof SEVERITIES)[number]

/** By what is at stake or by how long it has been. @param amountMinor Signed or not */
export function severityOf(amountMinor: bigint, ageDays: number, settings: BreakSettings): Severity {
  const { mediumMinor, highMinor, mediumDays, highDays } = settings.severity
  const size = amountMinor < 0n ? -amountMinor : amountMinor
  if (size >= highMinor || ageDays >= highDays) return 'high'
  return size >= mediumMinor || ageDays >= mediumDays ? 'medium' : 'low'
}
