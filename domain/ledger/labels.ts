/** Labels of payments: kept for training and back-tests, and noted with the payer and the terminal or merchant where a rulebook looks at them. */
import { addLabel, DAY_MS, type Label, removeLabel } from '../fraud/features/feedback.ts'
import { acceptingStateOf, type PartyName, partyKey, partyNameOf } from '../fraud/parties.ts'
import { payerOf } from '../fraud/profile.ts'
import { watchOf } from '../fraud/rulebook/watch.ts'
import { maskCardNumbers } from '../transactions/card-numbers.ts'
import type { Refusal } from '../transactions/outcomes.ts'
import { validateLabel } from '../transactions/validate.ts'
import { type FraudLook, partyOf, useParty } from './fraud.ts'
import { historyFromMs, isForgotten } from './horizons.ts'
import type { LabelInput } from './inputs.ts'
import type { BatchEffects, LabelledPayment, LabelTarget, LedgerState } from './state.ts'

/** Later ones have no effect on any feature any more, so that nothing need be kept for them, days of the ledger's time. */
export const LABEL_REACH_DAYS = 60

/** What a label of a payment will need; null where no rule looks at labels, or nobody was looked at. */
export const paymentForLabels = (state: LedgerState, look: FraudLook | null): LabelledPayment | null => {
  if (look === null || look.observed === null || !watchOf(state.rules).labels) return null
  const { payer, observed } = look
  return {
    payer: payer.id,
    payerNo: payer.no,
    acceptor: acceptorOf(observed.parties),
    at: observed.facts.at,
    wasUnusual: observed.wasUnusual,
  }
}

/** The key of the terminal or merchant among the parties of a payment. */
export const acceptorOf = (parties: readonly PartyName[]): string | null => {
  const acceptor = parties.find(({ kind }) => kind === 'terminal' || kind === 'merchant')
  return acceptor === undefined ? null : partyKey(acceptor.kind, acceptor.name)
}

/** Decides one record of the topic `fraud.labels`. */
export const decideLabel = (state: LedgerState, effects: BatchEffects, input: LabelInput): void => {
  const target = targetOf(state, input.key)
  const refusal = validateLabel(input.label) ?? refusalOf(state, target)
  if (target === undefined || refusal !== null) {
    effects.notifications.push({
      index: effects.nextIndex++,
      kind: 'label_refused',
      subject: maskCardNumbers(input.label.transactionId).slice(0, 64),
      reason: refusal ?? 'unknown_transaction',
      position: input,
      recordedAt: state.time.nowMs,
    })
    return
  }
  const isFraud = input.label.verdict === 'fraud'
  if (target.isFraud === isFraud) return
  if (target.payment !== null) noteLabel(state, effects, target.payment, { isFraud, before: target.isFraud })
  target.isFraud = isFraud
  const { actor, reason, occurredAt } = input.label
  const { key, topic, partition, offset } = input
  const recordedAt = state.time.nowMs
  const position = { topic, partition, offset }
  effects.labels.set(key, { key, isFraud, actor, reason, occurredAt, recordedAt, position })
}

const targetOf = (state: LedgerState, key: string): LabelTarget | undefined => {
  const target = state.labelTargets.get(key)
  return target === undefined || isForgotten(state, target.takenAt) ? undefined : target
}

const refusalOf = (state: LedgerState, target: LabelTarget | undefined): Refusal | null => {
  if (target === undefined) return 'unknown_transaction'
  return isBeyondLabels(state, target.takenAt) ? 'label_too_late' : null
}

/** Whether a payment was decided so long ago that no label counts: then nothing need be known of it any more. */
export const isBeyondLabels = (
  { horizons, time }: Pick<LedgerState, 'horizons' | 'time'>,
  takenAtMs: number,
): boolean => {
  const historyMs = historyFromMs(horizons, time.nowMs)
  return takenAtMs < time.nowMs - LABEL_REACH_DAYS * DAY_MS || (historyMs !== null && takenAtMs < historyMs)
}

const noteLabel = (
  state: LedgerState,
  effects: BatchEffects,
  { payer, acceptor, at, wasUnusual }: LabelledPayment,
  { isFraud, before }: { readonly isFraud: boolean; readonly before: boolean | null },
): void => {
  const change = (feedback: Parameters<typeof addLabel>[0]): void => {
    const label: Omit<Label, 'isFraud'> = { at, wasUnusual }
    if (before !== null) removeLabel(feedback, { ...label, isFraud: before })
    addLabel(feedback, { ...label, isFraud })
  }
  const account = state.accounts.get(payer)!
  if (account.profile !== null) {
    change(payerOf(account.profile).feedback)
    account.profileChanged = true
    effects.accounts.add(account)
  }
  if (acceptor === null) return
  const party = partyOf(state, partyNameOf(acceptor))
  if (party.kind !== 'terminal' && party.kind !== 'merchant') return
  change(acceptingStateOf(party).feedback)
  useParty(state, effects, party)
}
