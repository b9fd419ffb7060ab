/** The fraud stage of deciding a transaction: its parties are looked at before the money moves, and the payment noted once its outcome is known. */
import { assessByRulebook, assessTransaction, strongerOf } from '../fraud/assess.ts'
import { isKnown, nameHash } from '../fraud/features/acquaintances.ts'
import { DAY_MS } from '../fraud/features/feedback.ts'
import { type Observation, notePaymentOf, observe } from '../fraud/features/observe.ts'
import type { PartyStates, PaymentFacts } from '../fraud/features/observe.ts'
import { countryNumber, notePayment, noteReceipt } from '../fraud/features/payer.ts'
import {
  acceptingStateOf,
  deviceStateOf,
  isPartyForgotten,
  newParty,
  type PartyName,
  partyKey,
  type PartyState,
  payingStateOf,
} from '../fraud/parties.ts'
import { type AccountProfile, payerOf } from '../fraud/profile.ts'
import { rulebookOf } from '../fraud/rulebook/engine.ts'
import { watchOf } from '../fraud/rulebook/watch.ts'
import type { RuleHit } from '../fraud/rules.ts'
import type { TransactionCommand } from '../transactions/command.ts'
import type { TransactionStatus } from '../transactions/outcomes.ts'
import { partyNamesOf } from './needs.ts'
import type { AccountState, BatchEffects, LedgerState, PostedPosting } from './state.ts'

export interface FraudVerdict {
  readonly action: 'none' | 'alert' | 'hold' | 'reject'
  readonly hits: readonly RuleHit[]
}

/** A transaction that was looked at. */
export interface FraudLook {
  readonly verdict: FraudVerdict
  readonly payer: AccountState
  /** What the payer pays, minor units. */
  readonly amountMinor: bigint
  /** What a rulebook looked at; null where none is in force. */
  readonly observed: Observed | null
}

interface Observed extends Observation {
  readonly facts: PaymentFacts
  readonly states: PartyStates
  readonly parties: readonly PartyState[]
}

export const NO_FRAUD: FraudVerdict = Object.freeze({ action: 'none', hits: Object.freeze([]) })

/** Looks at the payer (the first debit account, where it is a customer's); null where there is nobody to look at. Changes nothing. */
export const lookAtPayer = (state: LedgerState, command: TransactionCommand): FraudLook | null => {
  const payer = state.accounts.get(command.postings[0]!.debit)!
  if (payer.accountClass !== 'customer' || payer.profile === null) return null
  let amountMinor = 0n
  for (const posting of command.postings) {
    if (posting.debit === payer.id) amountMinor += posting.amount
  }
  const { currency, profile } = payer
  const byRules = assessTransaction({
    rules: state.rules,
    amountMinor,
    currency,
    occurredAt: command.occurredAt,
    profile,
  })
  const book = rulebookOf(state.rules)
  if (book === null) return { verdict: byRules, payer, amountMinor, observed: null }
  const observed = observeParties(state, command, { payer, amountMinor })
  const byBook = assessByRulebook(book, {
    values: observed.values,
    currency,
    kind: command.kind,
    subjects: subjectsOf(command, payer.id),
  })
  return { verdict: strongerOf(byRules, byBook), payer, amountMinor, observed }
}

/** What lists of a rulebook may name. */
export const subjectsOf = (
  command: Pick<TransactionCommand, 'card' | 'merchant' | 'terminal' | 'device' | 'country' | 'postings'>,
  account: string,
) => {
  const { card, merchant, terminal, device, country } = command
  return { account, card, merchant, terminal, device, counterparty: counterpartyOf(command), country }
}

const observeParties = (
  state: LedgerState,
  command: TransactionCommand,
  { payer, amountMinor }: Pick<FraudLook, 'payer' | 'amountMinor'>,
): Observed => {
  const parties = partyNamesOf(command, watchOf(state.rules)).map((name) => partyOf(state, name))
  const states = statesOf(payerOf(payer.profile as AccountProfile), parties)
  const facts: PaymentFacts = {
    amount: wholeOf(amountMinor),
    at: command.occurredAt,
    account: payer.id,
    counterparty: counterpartyOf(command),
    country: command.country,
  }
  return { ...observe(facts, states), facts, states, parties }
}

/** The state of each party of a payment. */
export const statesOf = (account: PartyStates['account'], parties: readonly PartyState[]): PartyStates => {
  const states: { -readonly [Key in keyof PartyStates]: PartyStates[Key] } = {
    account,
    card: null,
    terminal: null,
    device: null,
  }
  for (const party of parties) {
    if (party.kind === 'card') states.card = payingStateOf(party)
    else if (party.kind === 'device') states.device = deviceStateOf(party)
    else states.terminal = acceptingStateOf(party)
  }
  return states
}

/** A party as it is known; a new one where it was never seen, or so long ago that it counts as that. */
export const partyOf = (state: LedgerState, name: PartyName): PartyState => {
  const key = partyKey(name.kind, name.name)
  const known = state.parties.get(key)
  if (known !== undefined && !isPartyForgotten(known, state.time.nowMs)) return known
  const made = newParty(name)
  state.parties.set(key, made)
  return made
}

/** Notes a payment that was looked at in the states of its parties. */
export const noteOutcome = (
  state: LedgerState,
  effects: BatchEffects,
  look: FraudLook,
  command: TransactionCommand,
  status: TransactionStatus,
): void => {
  const { payer, observed } = look
  const isDeclined = status === 'rejected'
  payer.profileChanged = true
  effects.accounts.add(payer)
  if (observed === null) {
    notePayer(look, command, isDeclined)
    return
  }
  notePaymentOf(observed.facts, observed.states, { values: observed.values, isDeclined })
  for (const party of observed.parties) useParty(state, effects, party)
}

/** A party's state was changed. */
export const useParty = (state: LedgerState, effects: BatchEffects, party: PartyState): void => {
  party.usedDay = Math.floor(state.time.nowMs / DAY_MS)
  effects.parties.add(party)
}

const notePayer = (
  { payer, amountMinor }: FraudLook,
  command: TransactionCommand,
  isDeclined: boolean,
): void => {
  const known = payerOf(payer.profile as AccountProfile)
  const counterparty = nameHash(counterpartyOf(command))
  notePayment(known, {
    amount: wholeOf(amountMinor),
    at: command.occurredAt,
    counterparty,
    country: countryNumber(command.country),
    isNewCounterparty: !isKnown(known.met, command.occurredAt, counterparty),
    isDeclined,
  })
}

/** Notes the money that customers received, where the rulebook in force looks at it; what a reversal gives back isn't that. @param atMs when it came, ms since 1970 */
export const noteReceipts = (
  state: LedgerState,
  effects: BatchEffects,
  postings: readonly PostedPosting[],
  atMs: number,
): void => {
  if (!watchOf(state.rules).receipts) return
  for (const { credit, amount } of postings) {
    if (credit.accountClass !== 'customer' || credit.profile === null) continue
    noteReceipt(payerOf(credit.profile), wholeOf(amount), atMs)
    credit.profileChanged = true
    effects.accounts.add(credit)
  }
}

/** A hundred postings of the largest amount may be more than 2^53: such sums count as that. */
export const wholeOf = (amountMinor: bigint): number =>
  amountMinor > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(amountMinor)

/** Who is paid, as precisely as the record says it. */
export const counterpartyOf = ({
  terminal,
  merchant,
  postings,
}: Pick<TransactionCommand, 'terminal' | 'merchant' | 'postings'>): string =>
  terminal ?? merchant ?? postings[0]!.credit
