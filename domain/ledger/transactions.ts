/** Deciding one transaction: validate → reference data → fraud → money. Every way ends in one decision. */
import { createHash } from 'node:crypto'
import { reviewPriority } from '../fraud/priority.ts'
import { maskCardNumbers } from '../transactions/card-numbers.ts'
import type { Posting, TransactionCommand } from '../transactions/command.ts'
import { SOURCE_LENGTH_MAX } from '../transactions/limits.ts'
import type { ReasonCode } from '../transactions/outcomes.ts'
import { validateTransaction } from '../transactions/validate.ts'
import { cardAmount, moveCard, overflowsCard, refusalOfCard } from './cards.ts'
import { addDeadLetter } from './dead-letters.ts'
import { type DecisionResult, type DecisionSubject, decided } from './decisions.ts'
import { type FraudLook, lookAtPayer, NO_FRAUD, noteOutcome, noteReceipts } from './fraud.ts'
import { dropOutOfReach, forget, isForgotten, occurredFromMs } from './horizons.ts'
import type { DeadLetterInput, TransactionInput } from './inputs.ts'
import { paymentForLabels } from './labels.ts'
import { postAll, reserveAll } from './movements.ts'
import { parentKeyOf } from './needs.ts'
import { reviewersOf } from './second-reviewer.ts'
import { decideCapture, decideReverse, decideVoid } from './parents.ts'
import {
  type AccountState,
  AUTHORIZATION_LIFETIME_MS,
  type BatchEffects,
  type ClaimedTransactionId,
  type HoldState,
  type LedgerState,
} from './state.ts'

const POSTING: { readonly isReversal: false; readonly fromReserved: false } = {
  isReversal: false,
  fromReserved: false,
}

/** Decides one record of the `transactions` topic. */
export const decideTransaction = (
  state: LedgerState,
  effects: BatchEffects,
  input: TransactionInput,
): void => {
  const { command } = input
  const subject: DecisionSubject = {
    position: input,
    key: input.key,
    content: input.content,
    command,
    cause: 'transaction',
    actor: command.actor,
    cardNo: command.card === null ? null : (state.cards.get(command.card)?.no ?? null),
    parentKey: parentKeyOf(command),
  }
  const claimed = claimOf(state, effects, input.key)
  if (claimed?.content === input.content) {
    decided(state, effects, subject, { status: 'duplicate', claims: false })
    return
  }
  const invalid = validateTransaction(command, {
    // Behind a backlog the ledger's time is older than the records: what the broker took then isn't from the future.
    nowMs: Math.max(state.time.nowMs, input.appendedAtMs),
    futureToleranceMs: state.bounds.futureToleranceMs,
    occurredFromMs: occurredFromMs(state.horizons, state.time.nowMs),
  })
  if (invalid === 'card_number_refused' || invalid === 'id_invalid') {
    const cleaned = {
      ...subject,
      command: withoutCardNumbers(command),
      actor: maskCardNumbers(command.actor),
    }
    decided(state, effects, cleaned, { status: 'rejected', reason: invalid, claims: false })
    return
  }
  if (claimed !== undefined) {
    decideIdConflict(state, effects, subject)
    return
  }
  if (invalid !== null) {
    decided(state, effects, subject, { status: 'rejected', reason: invalid })
    return
  }
  decideValid(state, effects, subject)
}

/** Who took the id, unless that is so long ago that it counts as free. */
const claimOf = (
  state: LedgerState,
  effects: BatchEffects,
  key: string,
): ClaimedTransactionId | undefined => {
  const claimed = state.claimed.get(key)
  if (claimed === undefined || !isForgotten(state, claimed.recordedAt)) return claimed
  state.claimed.delete(key)
  forget(state, key)
  // Its row is still there, and would be in the way of the next.
  effects.forgotten.add(key)
  return undefined
}

const decideValid = (state: LedgerState, effects: BatchEffects, subject: DecisionSubject): void => {
  if (subject.parentKey !== null) dropOutOfReach(state, subject.parentKey)
  switch (subject.command.kind) {
    case 'capture':
      decideCapture(state, effects, subject)
      return
    case 'void':
      decideVoid(state, effects, subject)
      return
    case 'reverse':
      decideReverse(state, effects, subject)
      return
    default:
      decidePostings(state, effects, subject, { withFraud: true })
  }
}

const decideIdConflict = (state: LedgerState, effects: BatchEffects, subject: DecisionSubject): void => {
  const decision = decided(state, effects, subject, {
    status: 'rejected',
    reason: 'id_conflict',
    claims: false,
  })
  effects.alerts.push({
    index: decision.index,
    decision,
    kind: 'id_conflict',
    action: 'reject',
    account: subject.command.postings[0]?.debit ?? null,
  })
  const letter = conflictLetter(subject.command)
  addDeadLetter(state, effects, { index: decision.index, letter, position: subject.position })
}

/**
 * Every record within the bounds fits. One beyond them may still come in conflict, and as JSON it is many times what it was:
 * kept whole, one could fill a batch's outputs until none of it could be written or published.
 */
const LETTER_BYTES_MAX = 128 * 1024

/** The record as JSON that could be published again, under another id. It holds no card number: that was checked before. */
const conflictLetter = (command: TransactionCommand): DeadLetterInput => {
  const text = JSON.stringify(command, (_name, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  )
  const value = Buffer.from(text, 'utf8')
  return {
    reason: 'id_conflict',
    detail: `${command.source.slice(0, SOURCE_LENGTH_MAX)}/${command.id} was taken by other content`,
    key: null,
    value: value.subarray(0, LETTER_BYTES_MAX),
    valueBytes: value.length,
    valueSha256: createHash('sha256').update(value).digest(),
    contentType: 'application/json',
  }
}

/** A refused record leaves no card number behind: ids masked, everything else that could hold one dropped. */
const withoutCardNumbers = (command: TransactionCommand): TransactionCommand => ({
  ...command,
  id: maskCardNumbers(command.id).slice(0, 64),
  source: maskCardNumbers(command.source).slice(0, 64),
  postings: [],
  parentId: null,
  parentSource: null,
  card: null,
  merchant: null,
  terminal: null,
  device: null,
  country: null,
  endToEndId: null,
  uetr: null,
  actor: maskCardNumbers(command.actor).slice(0, 128),
  metadata: {},
})

/**
 * Why the accounts can't take these postings, or null. Unknown accounts and currencies come before account status,
 * whatever the order of the postings.
 */
export const refusalOfAccounts = (
  state: LedgerState,
  kind: TransactionCommand['kind'],
  postings: readonly Posting[],
): ReasonCode | null => {
  let mismatch = false
  let closed = false
  let frozen = false
  let offPosition = false
  for (const posting of postings) {
    const debit = state.accounts.get(posting.debit)
    const credit = state.accounts.get(posting.credit)
    if (debit === undefined || credit === undefined) return 'unknown_account'
    if (debit.currency !== posting.currency || credit.currency !== posting.currency) mismatch = true
    if (debit.status !== 'open' || credit.status !== 'open') {
      if (debit.status === 'closed' || credit.status === 'closed') closed = true
      else frozen = true
    }
    if (debit.accountClass !== 'position' && credit.accountClass !== 'position') offPosition = true
  }
  if (mismatch) return 'currency_mismatch'
  if (kind === 'exchange' && (offPosition || currencyCount(postings) !== 2)) return 'exchange_invalid'
  if (closed) return 'account_closed'
  return frozen ? 'account_frozen' : null
}

const currencyCount = (postings: readonly Posting[]): number => new Set(postings.map((p) => p.currency)).size

/** Decides post, exchange and authorize; also a held transaction's second look at its release (then without fraud). */
export const decidePostings = (
  state: LedgerState,
  effects: BatchEffects,
  subject: DecisionSubject,
  options: { readonly withFraud: boolean },
): DecisionResult => {
  const { command } = subject
  let look: FraudLook | null = null
  const finish = (result: DecisionResult): DecisionResult => {
    const { verdict } = look ?? { verdict: NO_FRAUD }
    const payment = paymentForLabels(state, look)
    const decision = decided(state, effects, subject, { ...result, rules: verdict.hits, payment })
    if (look !== null) noteOutcome(state, effects, look, command, result.status)
    if (result.status === 'applied') {
      // What was held comes when it is released.
      const cameAtMs = options.withFraud ? command.occurredAt : state.time.nowMs
      noteReceipts(state, effects, decision.postings, cameAtMs)
    }
    if (verdict.action !== 'none') {
      const account = command.postings[0]!.debit
      effects.alerts.push({ index: decision.index, decision, kind: 'rules', action: verdict.action, account })
    }
    return result
  }
  const refused = refusalOfAccounts(state, command.kind, command.postings) ?? refusalOfCard(state, command)
  if (refused !== null) return finish({ status: 'rejected', reason: refused })
  if (options.withFraud) look = lookAtPayer(state, command)
  const action = look?.verdict.action
  if (action === 'reject') return finish({ status: 'rejected', reason: 'fraud_rejected' })
  const card = command.card === null ? undefined : state.cards.get(command.card)
  if (card !== undefined && overflowsCard(card, command.postings)) {
    return finish({ status: 'rejected', reason: 'balance_overflow' })
  }
  if (action === 'hold') return finish(holdForReview(state, effects, subject, look!))
  if (command.kind === 'authorize') return finish(authorize(state, effects, subject))
  const posted = postAll(state, effects, command.postings, POSTING)
  if (typeof posted === 'string') return finish({ status: 'rejected', reason: posted })
  spendOnCard(state, effects, command)
  return finish({ status: 'applied', postings: posted })
}

const spendOnCard = (state: LedgerState, effects: BatchEffects, command: TransactionCommand): void => {
  if (command.card === null) return
  const card = state.cards.get(command.card)!
  const amount = cardAmount(card, command.postings)
  moveCard(state, effects, card, { spent: amount, today: amount > 0n ? amount : 0n })
}

const authorize = (state: LedgerState, effects: BatchEffects, subject: DecisionSubject): DecisionResult =>
  reserve(state, effects, subject, {
    kind: 'authorization',
    expiresAt: subject.command.expiresAt ?? state.time.nowMs + AUTHORIZATION_LIFETIME_MS,
    priority: 0,
    reviewers: 1,
  })

const holdForReview = (
  state: LedgerState,
  effects: BatchEffects,
  subject: DecisionSubject,
  { verdict: { hits }, amountMinor, payer: { currency } }: FraudLook,
): DecisionResult =>
  reserve(state, effects, subject, {
    kind: 'review',
    expiresAt: state.time.nowMs + AUTHORIZATION_LIFETIME_MS,
    priority: reviewPriority(hits, { amountMinor, currency }),
    reviewers: reviewersOf(state.rules, { postings: subject.command.postings, hits }),
  })

const reserve = (
  state: LedgerState,
  effects: BatchEffects,
  subject: DecisionSubject,
  hold: Pick<HoldState, 'kind' | 'expiresAt' | 'priority' | 'reviewers'>,
): DecisionResult => {
  const { command } = subject
  const reserved = reserveAll(state, effects, command.postings)
  if (typeof reserved === 'string') return { status: 'rejected', reason: reserved }
  const card = command.card === null ? undefined : state.cards.get(command.card)
  if (card !== undefined) {
    const amount = cardAmount(card, command.postings)
    moveCard(state, effects, card, { reserved: amount, today: amount > 0n ? amount : 0n })
  }
  const made: HoldState = {
    ...hold,
    key: subject.key,
    id: command.id,
    source: command.source,
    sequence: state.sequence,
    index: effects.nextIndex,
    releasedBy: null,
    postings: command.postings.map((p) => ({ ...p, remaining: p.amount })),
    command,
    status: 'active',
    version: state.sequence,
    versionIndex: effects.nextIndex,
  }
  state.holds.set(subject.key, made)
  effects.holds.add(made)
  return {
    status: hold.kind === 'authorization' ? 'authorized' : 'held',
    reserved,
    postings: command.postings.map((p) => plannedPosting(state, p)),
  }
}

/** What is reserved, shown with the balances as they stand. */
const plannedPosting = (
  state: LedgerState,
  posting: Posting,
): NonNullable<DecisionResult['postings']>[number] => {
  const debit: AccountState = state.accounts.get(posting.debit)!
  const credit: AccountState = state.accounts.get(posting.credit)!
  return {
    debit,
    credit,
    amount: posting.amount,
    currency: posting.currency,
    debitPosted: debit.posted,
    creditPosted: credit.posted,
  }
}
