/** Reviews of held transactions. The first one wins (of releases the second, where two people must agree); a release looks at status and limits again, not at fraud. */

import { maskCardNumbers } from '../transactions/card-numbers.ts'
import type { Refusal } from '../transactions/outcomes.ts'
import { validateReview } from '../transactions/validate.ts'
import { cardAmount, moveCard } from './cards.ts'
import { type DecisionSubject, decided } from './decisions.ts'
import type { ReviewInput } from './inputs.ts'
import { endHold } from './parents.ts'
import { needsAnother } from './second-reviewer.ts'
import type { BatchEffects, HoldState, LedgerState } from './state.ts'
import { decidePostings } from './transactions.ts'

/** Decides one record of the `reviews` topic. */
export const decideReview = (state: LedgerState, effects: BatchEffects, input: ReviewInput): void => {
  const hold = state.holds.get(input.key)
  const refusal = validateReview(input.review) ?? refusalOf(effects, input, hold)
  if (hold === undefined || refusal !== null) {
    effects.notifications.push({
      index: effects.nextIndex++,
      kind: 'review_refused',
      subject: maskCardNumbers(input.review.transactionId).slice(0, 64),
      reason: refusal ?? 'not_held',
      position: input,
      recordedAt: state.time.nowMs,
    })
    return
  }
  const subject: DecisionSubject = {
    position: input,
    key: hold.key,
    content: '',
    command: hold.command,
    cause: 'review',
    actor: input.review.actor,
    cardNo: hold.command.card === null ? null : (state.cards.get(hold.command.card)?.no ?? null),
    parentKey: null,
  }
  if (input.review.decision === 'decline') {
    const reserved = endHold(state, effects, hold, 'declined')
    decided(state, effects, subject, { status: 'declined', reserved })
    return
  }
  release(state, effects, subject, hold)
}

const refusalOf = (
  effects: BatchEffects,
  { review }: ReviewInput,
  hold: HoldState | undefined,
): Refusal | null => {
  if (hold === undefined || hold.kind !== 'review' || hold.status !== 'active') return 'not_held'
  if (review.decision === 'unknown') return 'decision_unknown'
  const isAlone = review.decision === 'release' && needsAnother(effects, hold, review.actor)
  return isAlone ? 'second_reviewer_needed' : null
}

const release = (
  state: LedgerState,
  effects: BatchEffects,
  subject: DecisionSubject,
  hold: HoldState,
): void => {
  const card = hold.command.card === null ? undefined : state.cards.get(hold.command.card)
  if (card !== undefined) {
    // It counted for the day's limit when it was held; the second look counts it again.
    const amount = cardAmount(card, hold.command.postings)
    if (card.day === Math.floor(state.time.nowMs / 86_400_000) && amount > 0n) {
      moveCard(state, effects, card, { today: -amount })
    }
  }
  endHold(state, effects, hold, 'released')
  const result = decidePostings(state, effects, subject, { withFraud: false })
  if (result.status === 'rejected') hold.status = 'rejected'
  // A released authorization goes on as one: its new row takes the place of the held one.
  if (result.status === 'authorized') effects.holds.delete(hold)
}
