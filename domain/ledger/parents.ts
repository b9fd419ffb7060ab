/** Captures, voids and reverses: transactions about an earlier one. */
import type { Posting } from '../transactions/command.ts'
import type { ReasonCode } from '../transactions/outcomes.ts'
import { cardAmount, moveCard } from './cards.ts'
import { type DecisionResult, type DecisionSubject, decided } from './decisions.ts'
import { isParentTooOld } from './horizons.ts'
import { noteReceipts } from './fraud.ts'
import { freeAll, postAll } from './movements.ts'
import type {
  BatchEffects,
  CardState,
  HeldPosting,
  HoldState,
  LedgerState,
  PostedParent,
  ReversiblePosting,
} from './state.ts'

const rejected = (reason: ReasonCode): DecisionResult => ({ status: 'rejected', reason })

const cardOf = (state: LedgerState, card: string | null): CardState | undefined =>
  card === null ? undefined : state.cards.get(card)

/**
 * The subject as one of the parent's card, whatever card its record names: that one's sums move, now and when this is reversed,
 * and its entries must add up to them.
 */
const ofCard = (state: LedgerState, subject: DecisionSubject, card: string | null): DecisionSubject => ({
  ...subject,
  cardNo: cardOf(state, card)?.no ?? null,
  card,
})

const closedOrFrozen = (state: LedgerState, postings: readonly Posting[]): ReasonCode | null => {
  let frozen = false
  for (const posting of postings) {
    for (const id of [posting.debit, posting.credit]) {
      const status = state.accounts.get(id)?.status
      if (status === 'closed') return 'account_closed'
      if (status === 'frozen') frozen = true
    }
  }
  return frozen ? 'account_frozen' : null
}

const touch = (state: LedgerState, effects: BatchEffects, hold: HoldState): void => {
  hold.version = state.sequence
  hold.versionIndex = effects.nextIndex
  effects.holds.add(hold)
}

/** Why there is nothing to capture or void. What was posted long ago may be gone: so old, it isn't asked for. */
const reasonWithoutHold = (state: LedgerState, key: string): ReasonCode => {
  if (isParentTooOld(state, key)) return 'parent_too_old'
  return state.parents.has(key) ? 'parent_not_authorized' : 'parent_unknown'
}

/** Posts an authorization's money, all of what remains or the part named. */
export const decideCapture = (state: LedgerState, effects: BatchEffects, subject: DecisionSubject): void => {
  const hold = state.holds.get(subject.parentKey!)
  const ofParent = hold === undefined ? subject : ofCard(state, subject, hold.command.card)
  decided(state, effects, ofParent, capture(state, effects, subject))
}

const capture = (state: LedgerState, effects: BatchEffects, subject: DecisionSubject): DecisionResult => {
  const hold = state.holds.get(subject.parentKey!)
  if (hold === undefined) {
    return rejected(reasonWithoutHold(state, subject.parentKey!))
  }
  if (hold.kind !== 'authorization') return rejected('parent_not_authorized')
  if (hold.status !== 'active') return rejected('parent_closed')
  const parts = partsOf(subject.command.postings, hold.postings, (p) => p.remaining)
  if (typeof parts === 'string') {
    return rejected(parts === 'exceeds' ? 'capture_exceeds_authorization' : 'posting_not_in_parent')
  }
  const postings = parts.map((part) => part.posting)
  const refused = closedOrFrozen(state, postings)
  if (refused !== null) return rejected(refused)
  // Reserving says nothing about the payee: its balance may have no room left. Then all stays reserved.
  const posted = postAll(state, effects, postings, { isReversal: false, fromReserved: true })
  if (typeof posted === 'string') return rejected(posted)
  noteReceipts(state, effects, posted, subject.command.occurredAt)
  const freed = freeAll(state, effects, postings)
  for (const part of parts) part.of.remaining -= part.posting.amount
  if (hold.postings.every((p) => p.remaining === 0n)) hold.status = 'captured'
  touch(state, effects, hold)
  const card = cardOf(state, hold.command.card)
  if (card !== undefined) {
    const amount = cardAmount(card, postings)
    moveCard(state, effects, card, { spent: amount, reserved: -amount })
  }
  return { status: 'applied', postings: posted, reserved: freed }
}

/** Frees what an authorization or a held transaction still reserves. */
export const decideVoid = (state: LedgerState, effects: BatchEffects, subject: DecisionSubject): void => {
  const hold = state.holds.get(subject.parentKey!)
  if (hold === undefined) {
    decided(state, effects, subject, rejected(reasonWithoutHold(state, subject.parentKey!)))
    return
  }
  if (hold.status !== 'active') {
    decided(state, effects, subject, rejected('parent_closed'))
    return
  }
  const reserved = endHold(state, effects, hold, 'voided')
  decided(state, effects, subject, { status: 'voided', reserved })
}

/** Ends a hold: its remaining money is free again. */
export const endHold = (
  state: LedgerState,
  effects: BatchEffects,
  hold: HoldState,
  status: Exclude<HoldState['status'], 'active'>,
): DecisionResult['reserved'] & {} => {
  const remaining = hold.postings.map((p) => ({ ...p, amount: p.remaining }))
  const freed = freeAll(state, effects, remaining)
  const card = cardOf(state, hold.command.card)
  if (card !== undefined) moveCard(state, effects, card, { reserved: -cardAmount(card, remaining) })
  for (const posting of hold.postings) posting.remaining = 0n
  hold.status = status
  touch(state, effects, hold)
  return freed
}

/** Posts the opposite of a posted transaction, all of what is left of it or the part named. */
export const decideReverse = (state: LedgerState, effects: BatchEffects, subject: DecisionSubject): void => {
  const parent = state.parents.get(subject.parentKey!)
  const ofParent = parent === undefined ? subject : ofCard(state, subject, parent.card)
  decided(state, effects, ofParent, reverse(state, effects, subject))
}

const reverse = (state: LedgerState, effects: BatchEffects, subject: DecisionSubject): DecisionResult => {
  const parent = state.parents.get(subject.parentKey!)
  if (parent === undefined) {
    if (isParentTooOld(state, subject.parentKey!)) return rejected('parent_too_old')
    return rejected(state.holds.has(subject.parentKey!) ? 'parent_not_posted' : 'parent_unknown')
  }
  if (parent.kind === 'reverse') return rejected('parent_not_posted')
  const parts = partsOf(subject.command.postings, parent.postings, (p) => p.amount - p.reversed)
  if (typeof parts === 'string') {
    return rejected(parts === 'exceeds' ? 'reversal_exceeds_posted' : 'posting_not_in_parent')
  }
  const swapped = parts.map(({ posting }) => ({ ...posting, debit: posting.credit, credit: posting.debit }))
  const refused = closedOrFrozen(state, swapped)
  if (refused !== null) return rejected(refused)
  const posted = postAll(state, effects, swapped, { isReversal: true, fromReserved: false })
  if (typeof posted === 'string') return rejected(posted)
  keepReversed(effects, parent, parts)
  const card = cardOf(state, parent.card)
  if (card !== undefined) moveCard(state, effects, card, { spent: cardAmount(card, swapped) })
  return { status: 'applied', postings: posted }
}

const keepReversed = (
  effects: BatchEffects,
  parent: PostedParent,
  parts: readonly Part<ReversiblePosting>[],
): void => {
  for (const part of parts) {
    part.of.reversed += part.posting.amount
    part.of.changed = true
  }
  effects.parents.add(parent)
}

interface Part<T> {
  readonly posting: Posting
  readonly of: T
}

/**
 * Finds the parent's postings that the given ones are parts of; none given = all that is left.
 * @returns `unknown` where a posting isn't among the parent's, `exceeds` where more than what is left is asked for (or nothing is left).
 */
const partsOf = <T extends HeldPosting | ReversiblePosting>(
  asked: readonly Posting[],
  of: readonly T[],
  leftOf: (posting: T) => bigint,
): Part<T>[] | 'unknown' | 'exceeds' => {
  if (asked.length === 0) {
    const all = of.filter((p) => leftOf(p) > 0n).map((p) => ({ posting: withAmount(p, leftOf(p)), of: p }))
    return all.length === 0 ? 'exceeds' : all
  }
  const left = new Map(of.map((p) => [p, leftOf(p)]))
  const parts: Part<T>[] = []
  for (const posting of asked) {
    const same = of.filter(
      (p) => p.debit === posting.debit && p.credit === posting.credit && p.currency === posting.currency,
    )
    if (same.length === 0) return 'unknown'
    const fitting = same.find((p) => left.get(p)! >= posting.amount)
    if (fitting === undefined) return 'exceeds'
    left.set(fitting, left.get(fitting)! - posting.amount)
    parts.push({ posting, of: fitting })
  }
  return parts
}

const withAmount = (posting: HeldPosting | ReversiblePosting, amount: bigint): Posting => ({
  debit: posting.debit,
  credit: posting.credit,
  amount,
  currency: posting.currency,
})
