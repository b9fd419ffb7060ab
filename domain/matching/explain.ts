/** Why an item is open: what each pass saw of it. Nothing stays open without a reason that a person can read. */
import { amountsAgree, contradict, isInWindow, keyOf } from './agreement.ts'
import type { MatchItem } from './item.ts'
import type { Matcher } from './matcher.ts'
import type { Pass } from './passes.ts'

/**
 * no_key: the item lacks what the pass goes by. alone: nothing on the other side shares its key. crowded: more share it than the
 * pass looks at. ambiguous: several readings. parted: a person parted them. contradicted: other references differ. out_of_window: too
 * far apart in time. amounts_differ: no accepted difference. sums_differ: nothing adds up, or more than one set does.
 */
export type OpenReason =
  | 'no_key'
  | 'alone'
  | 'crowded'
  | 'ambiguous'
  | 'parted'
  | 'contradicted'
  | 'out_of_window'
  | 'amounts_differ'
  | 'sums_differ'

export interface PassExplanation {
  readonly pass: string
  readonly reason: OpenReason
  /** Items of the other side that it stands beside, by id: at most OTHERS_MAX. */
  readonly others: readonly string[]
}

const OTHERS_MAX = 5

/** One explanation a pass. @param id An open item; for others the answer is empty */
export function explainOpen(matcher: Matcher, passes: readonly Pass[], id: string): PassExplanation[] {
  const found = matcher.find(id)
  if (found === null || found.match !== null || found.isTaken) return []
  return passes.map((pass, at) => {
    const others = othersOf(matcher, found.item, pass, at)
    const ids = others.map((other) => other.id).sort()
    return {
      pass: pass.name,
      reason: reasonOf(matcher, pass, at, found.item, others),
      others: ids.slice(0, OTHERS_MAX),
    }
  })
}

function othersOf(matcher: Matcher, item: MatchItem, pass: Pass, at: number): MatchItem[] {
  if (matcher.groupSize(item, at) > pass.groupMax) return []
  return matcher
    .groupOf(item.id, at)
    .map((member) => member.item)
    .filter(({ side }) => side !== item.side)
}

function reasonOf(
  matcher: Matcher,
  pass: Pass,
  at: number,
  item: MatchItem,
  others: readonly MatchItem[],
): OpenReason {
  if (keyOf(pass, item) === null) return 'no_key'
  if (matcher.groupSize(item, at) > pass.groupMax) return 'crowded'
  if (others.length === 0) return 'alone'
  const sides = others.map((other) => (item.side === 'ledger' ? [item, other] : [other, item]) as Sides)
  const near = sides.filter(([ledger, bank]) => isInWindow(pass, ledger, bank))
  if (near.length === 0) return 'out_of_window'
  const free = near.filter(([ledger, bank]) => !matcher.isBlocked(ledger, bank))
  if (free.length === 0) return 'parted'
  if (pass.kind === 'group') return 'sums_differ'
  const possible = free.filter(([ledger, bank]) => !contradict(ledger, bank))
  if (possible.length === 0) return 'contradicted'
  if (pass.kind === 'subset') return 'sums_differ'
  const agreeing = possible.filter(([ledger, bank]) => amountsAgree(pass.amount, ledger, bank) !== null)
  return agreeing.length === 0 ? 'amounts_differ' : 'ambiguous'
}

type Sides = readonly [ledger: MatchItem, bank: MatchItem]
