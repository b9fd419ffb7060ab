/** Whether two items may be the same money in the eyes of a pass: its key, dates, amounts, and references that speak against it. */
import { dayOf, type MatchItem } from './item.ts'
import type { AmountRule, KeyField, Pass, Rate, Tolerance } from './passes.ts'

/** Between the parts of a key: no value holds a control character of this kind. */
const SEPARATOR = '\u0001'

/** The group of an item in a pass; null where the item lacks what the pass goes by. */
export function keyOf(pass: Pass, item: MatchItem): string | null {
  if (pass.windowDays !== null && dayOf(item) === null) return null
  let key = item.account
  const hasRate = pass.kind === 'pair' && pass.amount.kind === 'rate'
  if (!hasRate) key += SEPARATOR + item.currency
  for (const field of pass.key) {
    const value = fieldOf(field, item)
    if (value === null) return null
    key += SEPARATOR + value
  }
  // Amounts that must be equal are part of the key, which keeps groups small.
  if (pass.kind === 'pair' && pass.amount.kind === 'exact') key += SEPARATOR + item.amountMinor
  return key
}

function fieldOf(field: KeyField, item: MatchItem): string | null {
  switch (field) {
    case 'groupKey':
      return item.groupKey
    case 'endToEndIdCut': {
      const { endToEndId } = item.references
      return endToEndId === null || endToEndId.length < CUT_LENGTH ? null : endToEndId.slice(0, CUT_LENGTH)
    }
    case 'counterpartyAccount':
      return item.counterpartyAccount
    case 'original':
      return item.original === null ? null : `${item.original.currency}${item.original.amountMinor}`
    case 'day': {
      const day = dayOf(item)
      return day === null ? null : String(day)
    }
    default:
      return item.references[field]
  }
}

/** Days between two items; 0 where one has no date (only passes without a window get to see such). */
export function daysBetween(left: MatchItem, right: MatchItem): number {
  const leftDay = dayOf(left)
  const rightDay = dayOf(right)
  return leftDay === null || rightDay === null ? 0 : Math.abs(leftDay - rightDay)
}

export const isInWindow = (pass: Pass, left: MatchItem, right: MatchItem): boolean =>
  pass.windowDays === null || daysBetween(left, right) <= pass.windowDays

/** Characters that MT field 61, subfields 7 and 8, keep of a reference (SWIFT Standards MT, category 9). */
const CUT_LENGTH = 16
/** What is cut still agrees with the whole; so few characters don't say which whole. */
const CUT_LENGTH_MIN = 12

const isCutOf = (short: string, long: string): boolean =>
  short.length >= CUT_LENGTH_MIN && long.startsWith(short)

/** Whether both carry a reference of the same kind, or another party's account, and the two differ: then they are different payments. */
export function contradict(ledger: MatchItem, bank: MatchItem): boolean {
  const left = ledger.references
  const right = bank.references
  return (
    differ(left.uetr, right.uetr) ||
    differ(left.endToEndId, right.endToEndId) ||
    differ(left.creditorReference, right.creditorReference) ||
    differInAccount(ledger.counterpartyAccount, bank.counterpartyAccount)
  )
}

const differ = (left: string | null, right: string | null): boolean =>
  left !== null && right !== null && left !== right && !isCutOf(left, right) && !isCutOf(right, left)

/** An IBAN ends with the national number, so one that ends with the other is no other account. */
const differInAccount = (left: string | null, right: string | null): boolean =>
  left !== null && right !== null && !left.endsWith(right) && !right.endsWith(left)

const magnitude = (value: bigint): bigint => (value < 0n ? -value : value)

/** The larger of two amounts, without sign. */
function largerOf(left: bigint, right: bigint): bigint {
  if (magnitude(left) > magnitude(right)) return magnitude(left)
  return magnitude(right)
}

/** Why a difference is accepted; null where it isn't. @param differenceMinor Ledger less bank @param largerMinor The larger amount, without sign */
export function acceptedDifference(
  differenceMinor: bigint,
  largerMinor: bigint,
  { absoluteMinor, perMillion, feesMinor }: Tolerance,
): 'none' | 'fee' | 'tolerance' | null {
  if (differenceMinor === 0n) return 'none'
  if (feesMinor.includes(differenceMinor)) return 'fee'
  const size = magnitude(differenceMinor)
  if (size <= absoluteMinor) return 'tolerance'
  return size * 1_000_000n <= largerMinor * BigInt(perMillion) && perMillion > 0 ? 'tolerance' : null
}

/** What is left between two amounts where a rule accepts them; null where it doesn't. In the bank's minor units. */
export function amountsAgree(
  rule: AmountRule,
  ledger: MatchItem,
  bank: MatchItem,
): { readonly differenceMinor: bigint; readonly because: 'none' | 'fee' | 'tolerance' } | null {
  const expected = rule.kind === 'rate' ? converted(ledger, bank.currency, rule.rates) : ledger.amountMinor
  if (expected === null) return null
  // A tolerance never turns money out into money in.
  if (expected < 0n !== bank.amountMinor < 0n) return null
  const differenceMinor = expected - bank.amountMinor
  if (rule.kind === 'exact') return differenceMinor === 0n ? { differenceMinor, because: 'none' } : null
  const because = acceptedDifference(differenceMinor, largerOf(expected, bank.amountMinor), rule.tolerance)
  return because === null ? null : { differenceMinor, because }
}

/** The ledger's amount in the bank's currency, half a unit away from zero; null without a rate. */
function converted(item: MatchItem, currency: string, rates: readonly Rate[]): bigint | null {
  if (item.currency === currency) return item.amountMinor
  const rate = rates.find(({ from, to }) => from === item.currency && to === currency)
  if (rate === undefined) return null
  const size = magnitude(item.amountMinor)
  const rounded = (2n * size * rate.numerator + rate.denominator) / (2n * rate.denominator)
  return item.amountMinor < 0n ? -rounded : rounded
}
