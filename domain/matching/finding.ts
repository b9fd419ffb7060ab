/** What the rules of all passes speak of. */
import { dayOf, type MatchItem } from './item.ts'

/** Whoever holds an item: rules hand back what they were given. */
export interface Member {
  readonly item: MatchItem
}

/** What a rule found to be the same money. */
export interface Finding<M extends Member> {
  readonly ledger: readonly M[]
  readonly bank: readonly M[]
  /** Ledger less bank, minor units. */
  readonly differenceMinor: bigint
  readonly because: 'none' | 'fee' | 'tolerance'
}

/** Whether a person said that the two are not the same money. */
export type IsBlocked = (ledger: MatchItem, bank: MatchItem) => boolean

/** By day, then id: undated ones first. */
export function compareMembers(left: Member, right: Member): number {
  const days = (dayOf(left.item) ?? -1) - (dayOf(right.item) ?? -1)
  if (days !== 0) return days
  return left.item.id < right.item.id ? -1 : 1
}
