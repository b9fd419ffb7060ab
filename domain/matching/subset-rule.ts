/**
 * One against several without a common reference: which items of the other side add up to it? An answer counts only where it is
 * the only one; otherwise a sum found by chance would move money into the wrong file.
 */
import { contradict, isInWindow } from './agreement.ts'
import type { SubsetPass } from './passes.ts'
import { compareMembers, type Finding, type IsBlocked, type Member } from './finding.ts'

/** Steps that looking for one sum may take. Reached, nothing is proven to be the only answer, so there is none. */
const STEPS_MAX = 20_000

/** @param ledger @param bank Sorted, of one group */
export function subsetsOf<M extends Member>(
  pass: SubsetPass,
  ledger: readonly M[],
  bank: readonly M[],
  isBlocked: IsBlocked,
): Finding<M>[] {
  const isCandidate = (left: M, right: M) =>
    isInWindow(pass, left.item, right.item) &&
    !contradict(left.item, right.item) &&
    !isBlocked(left.item, right.item)
  const found: Finding<M>[] = []
  for (const target of bank) {
    const parts = onlySubset(
      pass,
      target,
      ledger.filter((part) => isCandidate(part, target)),
    )
    if (parts !== null) found.push({ ledger: parts, bank: [target], differenceMinor: 0n, because: 'none' })
  }
  for (const target of ledger) {
    const parts = onlySubset(
      pass,
      target,
      bank.filter((part) => isCandidate(target, part)),
    )
    if (parts !== null) found.push({ ledger: [target], bank: parts, differenceMinor: 0n, because: 'none' })
  }
  return withoutShared(found)
}

/** Two findings that share an item contradict each other: neither is taken. */
function withoutShared<M extends Member>(found: readonly Finding<M>[]): Finding<M>[] {
  const uses = new Map<M, number>()
  const membersOf = ({ ledger, bank }: Finding<M>) => [...ledger, ...bank]
  for (const member of found.flatMap(membersOf)) uses.set(member, (uses.get(member) ?? 0) + 1)
  return found.filter((finding) => membersOf(finding).every((member) => uses.get(member) === 1))
}

const magnitude = (value: bigint): bigint => (value < 0n ? -value : value)

/** The one set of 2 or more candidates that adds up to the target; null where there is none, or more than one, or one item would do. */
function onlySubset<M extends Member>(pass: SubsetPass, target: M, candidates: readonly M[]): M[] | null {
  const sum = magnitude(target.item.amountMinor)
  const isNegative = target.item.amountMinor < 0n
  const parts = candidates.filter(({ item }) => item.amountMinor < 0n === isNegative)
  if (parts.length < 2 || parts.length > pass.candidatesMax) return null
  parts.sort((left, right) => {
    const difference = magnitude(right.item.amountMinor) - magnitude(left.item.amountMinor)
    return difference > 0n ? 1 : difference < 0n ? -1 : 0
  })
  const found = search(
    parts.map(({ item }) => magnitude(item.amountMinor)),
    sum,
    pass.membersMax,
  )
  return found === null || found.length < 2 ? null : found.map((at) => parts[at]!).sort(compareMembers)
}

/** Places of the only set that adds up; null without one. @param amounts Largest first, not negative */
function search(amounts: readonly bigint[], target: bigint, membersMax: number): number[] | null {
  const restSums = new Array<bigint>(amounts.length + 1).fill(0n)
  for (let at = amounts.length - 1; at >= 0; at -= 1) restSums[at] = restSums[at + 1]! + amounts[at]!
  const chosen: number[] = []
  const answers: number[][] = []
  let steps = 0
  const visit = (at: number, missing: bigint): void => {
    if (missing === 0n) {
      answers.push([...chosen])
      return
    }
    steps += 1
    if (answers.length > 1 || steps > STEPS_MAX) return
    if (at === amounts.length || chosen.length === membersMax || restSums[at]! < missing) return
    if (amounts[at]! <= missing) {
      chosen.push(at)
      visit(at + 1, missing - amounts[at]!)
      chosen.pop()
    }
    visit(at + 1, missing)
  }
  visit(0, target)
  return steps <= STEPS_MAX && answers.length === 1 ? answers[0]! : null
}
