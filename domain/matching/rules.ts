/**
 * What the passes do with one group: pure functions of its members, the same whatever order they are given in. Nothing is guessed:
 * what has more than one reading stays open.
 */
import { amountsAgree, acceptedDifference, contradict, daysBetween, isInWindow } from './agreement.ts'
import { dayOf, type MatchItem } from './item.ts'
import { compareMembers, type Finding, type IsBlocked, type Member } from './finding.ts'
import type { GroupPass, PairPass, Pass } from './passes.ts'
import { subsetsOf } from './subset-rule.ts'

/** What a pass finds in a group. @param members Of one key, in any order */
export function findIn<M extends Member>(
  pass: Pass,
  members: readonly M[],
  isBlocked: IsBlocked,
): readonly Finding<M>[] {
  if (members.length < 2 || members.length > pass.groupMax) return []
  if (members.length === 2 && pass.kind === 'pair') return findPair(pass, members, isBlocked)
  const sorted = [...members].sort(compareMembers)
  const ledger = sorted.filter(({ item }) => item.side === 'ledger')
  const bank = sorted.filter(({ item }) => item.side === 'bank')
  if (ledger.length === 0 || bank.length === 0) return []
  if (pass.kind === 'pair') return findPairs(pass, ledger, bank, isBlocked)
  if (pass.kind === 'group') return findSum(pass, ledger, bank, isBlocked)
  return subsetsOf(pass, ledger, bank, isBlocked)
}

/** By far the most frequent group. */
function findPair<M extends Member>(
  pass: PairPass,
  members: readonly M[],
  isBlocked: IsBlocked,
): readonly Finding<M>[] {
  const [first, second] = members as [M, M]
  if (first.item.side === second.item.side) return []
  const [ledger, bank] = first.item.side === 'ledger' ? [first, second] : [second, first]
  const agreed = agree(pass, ledger.item, bank.item, isBlocked)
  return agreed === null ? [] : [{ ledger: [ledger], bank: [bank], ...agreed }]
}

function agree(pass: PairPass, ledger: MatchItem, bank: MatchItem, isBlocked: IsBlocked) {
  if (!isInWindow(pass, ledger, bank) || contradict(ledger, bank) || isBlocked(ledger, bank)) return null
  return amountsAgree(pass.amount, ledger, bank)
}

/** A side's candidates on the other: the best one, and whether it is alone at its distance. */
interface Best {
  at: number
  days: number
  isAlone: boolean
}

function findPairs<M extends Member>(
  pass: PairPass,
  ledger: readonly M[],
  bank: readonly M[],
  isBlocked: IsBlocked,
): Finding<M>[] {
  const ofLedger = new Array<Best | null>(ledger.length).fill(null)
  const ofBank = new Array<Best | null>(bank.length).fill(null)
  const isNearest = pass.ties === 'nearest'
  let from = 0
  ledger.forEach((left, leftAt) => {
    // Both are sorted by day, so the window only moves forward.
    while (from < bank.length && isBefore(pass, bank[from]!.item, left.item)) from += 1
    for (let rightAt = from; rightAt < bank.length; rightAt += 1) {
      const right = bank[rightAt]!
      if (isBefore(pass, left.item, right.item)) break
      if (agree(pass, left.item, right.item, isBlocked) === null) continue
      const days = isNearest ? daysBetween(left.item, right.item) : 0
      ofLedger[leftAt] = better(ofLedger[leftAt]!, rightAt, days)
      ofBank[rightAt] = better(ofBank[rightAt]!, leftAt, days)
    }
  })
  return ofLedger.flatMap((best, leftAt) => {
    if (best === null || !best.isAlone) return []
    const back = ofBank[best.at]!
    if (!back.isAlone || back.at !== leftAt) return []
    const left = ledger[leftAt]!
    const right = bank[best.at]!
    const agreed = amountsAgree(pass.amount, left.item, right.item)
    return agreed === null ? [] : [{ ledger: [left], bank: [right], ...agreed }]
  })
}

/** Whether `early` lies before the window of `late`. */
function isBefore(pass: PairPass, early: MatchItem, late: MatchItem): boolean {
  if (pass.windowDays === null) return false
  return dayOf(early)! < dayOf(late)! - pass.windowDays
}

const better = (best: Best | null, at: number, days: number): Best => {
  if (best === null || days < best.days) return { at, days, isAlone: true }
  if (days === best.days) best.isAlone = false
  return best
}

const sumOf = (members: readonly Member[]): bigint =>
  members.reduce((sum, { item }) => sum + item.amountMinor, 0n)

function findSum<M extends Member>(
  pass: GroupPass,
  ledger: readonly M[],
  bank: readonly M[],
  isBlocked: IsBlocked,
): Finding<M>[] {
  if (!pass.manyToMany && ledger.length > 1 && bank.length > 1) return []
  if (pass.windowDays !== null) {
    const days = [ledger[0]!, ledger.at(-1)!, bank[0]!, bank.at(-1)!].map(({ item }) => dayOf(item)!)
    if (Math.max(...days) - Math.min(...days) > pass.windowDays) return []
  }
  const expected = sumOf(ledger)
  const found = sumOf(bank)
  const size = expected < 0n ? -expected : expected
  // Sums of nothing agree with everything.
  if (expected === 0n || expected < 0n !== found < 0n) return []
  const because = acceptedDifference(expected - found, size, pass.tolerance)
  if (because === null || ledger.some((left) => bank.some((right) => isBlocked(left.item, right.item)))) {
    return []
  }
  return [{ ledger, bank, differenceMinor: expected - found, because }]
}
