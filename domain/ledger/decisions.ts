/** Writing a decision into the batch's effects: one place, so that every decision carries the same facts. */
import type { RuleHit } from '../fraud/rules.ts'
import type { TransactionCommand } from '../transactions/command.ts'
import type { Cause, ReasonCode, TransactionStatus } from '../transactions/outcomes.ts'
import type { InputPosition } from './inputs.ts'
import type {
  BatchEffects,
  LabelledPayment,
  LedgerState,
  PostedParent,
  PostedPosting,
  ReservedAfter,
  TransactionDecision,
} from './state.ts'

export interface DecisionSubject {
  readonly position: InputPosition
  readonly key: string
  readonly content: string
  readonly command: TransactionCommand
  readonly cause: Cause
  readonly actor: string
  readonly cardNo: number | null
  /** The card whose sums move; absent = the one that the command names. */
  readonly card?: string | null
  readonly parentKey: string | null
}

export interface DecisionResult {
  readonly status: TransactionStatus
  readonly reason?: ReasonCode
  readonly postings?: readonly PostedPosting[]
  readonly reserved?: readonly ReservedAfter[]
  readonly rules?: readonly RuleHit[]
  readonly payment?: LabelledPayment | null
  /** Default true: the id is taken. */
  readonly claims?: boolean
}

const NONE: readonly never[] = []

/** Adds a decision to the effects and keeps what later records of the batch may refer to. */
export const decided = (
  state: LedgerState,
  effects: BatchEffects,
  subject: DecisionSubject,
  result: DecisionResult,
): TransactionDecision => {
  const decision: TransactionDecision = {
    index: effects.nextIndex++,
    position: subject.position,
    key: subject.key,
    content: subject.content,
    claims: (result.claims ?? true) && subject.cause === 'transaction',
    command: subject.command,
    cause: subject.cause,
    status: result.status,
    reason: result.reason ?? null,
    parentKey: subject.parentKey,
    cardNo: subject.cardNo,
    recordedAt: state.time.nowMs,
    postings: result.postings ?? NONE,
    reserved: result.reserved ?? NONE,
    rules: result.rules ?? NONE,
    payment: result.payment ?? null,
    actor: subject.actor,
  }
  effects.decisions.push(decision)
  if (decision.claims) {
    const { recordedAt } = decision
    state.claimed.set(subject.key, { content: subject.content, recordedAt })
    if (state.labelKeys.has(subject.key)) {
      const { payment } = decision
      state.labelTargets.set(subject.key, { takenAt: recordedAt, payment, isFraud: null })
    }
    if (state.parentKeys.has(subject.key)) state.parentsTakenAt.set(subject.key, recordedAt)
  }
  if (decision.status === 'applied' && state.parentKeys.has(subject.key)) {
    const card = subject.card === undefined ? subject.command.card : subject.card
    state.parents.set(subject.key, asParent(decision, card))
  }
  return decision
}

const asParent = (decision: TransactionDecision, card: string | null): PostedParent => ({
  key: decision.key,
  kind: decision.command.kind === 'unknown' ? 'post' : decision.command.kind,
  card,
  postings: decision.postings.map((posting, place) => ({
    posting: place,
    debit: posting.debit.id,
    credit: posting.credit.id,
    amount: posting.amount,
    currency: posting.currency,
    reversed: 0n,
    changed: false,
  })),
})
