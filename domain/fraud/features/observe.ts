/** One payment against what is known of its parties: first looked at, then noted. The engine, `fraud score` and training all use this. */
import { type AcceptorState, noteAcceptance } from './acceptor.ts'
import { nameHash } from './acquaintances.ts'
import { type DeviceState, noteUse } from './device.ts'
import { addLabel, type Label } from './feedback.ts'
import { countryNumber, isUnusual, notePayment, type PayerState } from './payer.ts'
import { type FeatureValues, featuresOf } from './vector.ts'

/** What a record says that features look at. */
export interface PaymentFacts {
  /** Minor units, 0 to 2^53 − 1. */
  readonly amount: number
  /** Event time, ms since 1970. */
  readonly at: number
  /** The payer's account id. */
  readonly account: string
  /** Who is paid: an account, merchant or terminal by its name; null where it isn't told. */
  readonly counterparty: string | null
  /** ISO 3166-1 alpha-2. */
  readonly country: string | null
}

/** States of the parties, changed in place by notePaymentOf; null where the record names none. */
export interface PartyStates {
  readonly account: PayerState
  readonly card: PayerState | null
  readonly terminal: AcceptorState | null
  readonly device: DeviceState | null
}

export interface Observation {
  readonly values: FeatureValues
  /** Whether the amount was unusual for the payer: a label that comes later needs it. */
  readonly wasUnusual: boolean
}

/** The features of a payment, from what was known before it. Changes nothing. */
export const observe = (facts: PaymentFacts, states: PartyStates): Observation => ({
  values: featuresOf({
    ...states,
    amount: facts.amount,
    at: facts.at,
    counterparty: facts.counterparty === null ? null : nameHash(facts.counterparty),
    country: countryNumber(facts.country),
  }),
  wasUnusual: isUnusual(states.account, facts.amount),
})

/** Notes a payment that was observed in the states of its parties, in place. */
export const notePaymentOf = (
  facts: PaymentFacts,
  states: PartyStates,
  { values, isDeclined }: { values: FeatureValues; isDeclined: boolean },
): void => {
  const { amount, at } = facts
  const payment = {
    amount,
    at,
    isDeclined,
    counterparty: facts.counterparty === null ? null : nameHash(facts.counterparty),
    country: countryNumber(facts.country),
    isNewCounterparty: values.counterparty_is_new === 1,
  }
  notePayment(states.account, payment)
  if (states.card !== null) notePayment(states.card, payment)
  if (states.terminal !== null) noteAcceptance(states.terminal, { amount, at, isDeclined })
  if (states.device !== null) noteUse(states.device, { account: nameHash(facts.account), at, isDeclined })
}

/** Notes what a label says of a payment in the states of its parties, in place. */
export const noteLabelOf = (states: Pick<PartyStates, 'account' | 'terminal'>, label: Label): void => {
  addLabel(states.account.feedback, label)
  if (states.terminal !== null) addLabel(states.terminal.feedback, label)
}
