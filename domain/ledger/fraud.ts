/** The fraud stage of deciding a transaction: the payer is looked at before the money moves, and the payment noted once its outcome is known. */
import { assessByRulebook, assessTransaction, strongerOf } from '../fraud/assess.ts'
import { isKnown, nameHash } from '../fraud/features/acquaintances.ts'
import { countryNumber, notePayment } from '../fraud/features/payer.ts'
import { type AccountProfile, payerOf } from '../fraud/profile.ts'
import type { Rulebook } from '../fraud/rulebook/definition.ts'
import { rulebookOf } from '../fraud/rulebook/engine.ts'
import type { RuleHit } from '../fraud/rules.ts'
import type { TransactionCommand } from '../transactions/command.ts'
import type { TransactionStatus } from '../transactions/outcomes.ts'
import type { AccountState, BatchEffects, LedgerState } from './state.ts'

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
  const byRules = assessTransaction({
    rules: state.rules,
    amountMinor,
    currency: payer.currency,
    occurredAt: command.occurredAt,
    profile: payer.profile,
  })
  const book = rulebookOf(state.rules)
  const verdict =
    book === null ? byRules : strongerOf(byRules, byRulebook(book, { payer, amountMinor, command }))
  return { verdict, payer, amountMinor }
}

const byRulebook = (
  book: Rulebook,
  { payer, amountMinor, command }: Omit<FraudLook, 'verdict'> & { readonly command: TransactionCommand },
): FraudVerdict => {
  const { card, merchant, terminal, device, country } = command
  const counterparty = counterpartyOf(command)
  return assessByRulebook(book, {
    facts: { amount: wholeOf(amountMinor), at: command.occurredAt, account: payer.id, counterparty, country },
    profile: payer.profile as AccountProfile,
    currency: payer.currency,
    kind: command.kind,
    subjects: { account: payer.id, card, merchant, terminal, device, counterparty, country },
  })
}

/** Notes a payment that was looked at in the payer's profile. */
export const noteOutcome = (
  effects: BatchEffects,
  { payer, amountMinor }: FraudLook,
  command: TransactionCommand,
  status: TransactionStatus,
): void => {
  const known = payerOf(payer.profile as AccountProfile)
  const counterparty = nameHash(counterpartyOf(command))
  notePayment(known, {
    amount: wholeOf(amountMinor),
    at: command.occurredAt,
    counterparty,
    country: countryNumber(command.country),
    isNewCounterparty: !isKnown(known.met, command.occurredAt, counterparty),
    isDeclined: status === 'rejected',
  })
  payer.profileChanged = true
  effects.accounts.add(payer)
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
