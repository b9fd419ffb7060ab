/** What each reason and refusal means, in one sentence for people. Codes are the contract; these words may change. */
import type { ReasonCode, Refusal } from './outcomes.ts'

export const REASON_TEXTS: Readonly<Record<ReasonCode, string>> = {
  id_invalid: 'an id has 1 to 64 characters, none of them a control character',
  card_number_refused: 'a real card number is never taken; send a token instead',
  kind_unknown: 'the kind is none of post, authorize, capture, void, reverse, exchange',
  field_too_long: 'a field is longer than it may be',
  postings_count: 'expected 1 to 100 postings; none for void, and none or some for capture and reverse',
  amount_not_positive: 'an amount must be more than zero',
  amount_too_large: 'an amount may be at most 10^15 minor units',
  currency_unknown: 'expected an ISO 4217 code, for example EUR',
  same_account: 'the debited and the credited account must differ',
  parent_required: 'capture, void and reverse need parentId, the id of the transaction that they are about',
  parent_not_allowed: 'only capture, void and reverse have a parent',
  country_invalid: 'expected an ISO 3166-1 alpha-2 code, for example DE',
  uetr_invalid: 'expected a UUID of version 4',
  time_in_future: 'a time lies too far beyond the ledger’s clock',
  too_old: 'it occurred before the time for which ids are remembered',
  too_large: 'the record, or what would come of it, is too large',
  id_conflict: 'another transaction with other content has taken this id',
  unknown_account: 'an account that it names was never opened',
  currency_mismatch: 'an account is in another currency than the posting',
  exchange_invalid: 'an exchange must balance in each of its currencies, through position accounts',
  account_closed: 'an account is closed',
  account_frozen: 'an account is frozen',
  card_unknown: 'the card was never issued',
  card_account_mismatch: 'the card draws on another account',
  card_blocked: 'the card is blocked or cancelled',
  card_expired: 'the card has expired',
  card_limit_exceeded: 'the card’s limit, of a transaction or of a day, would be exceeded',
  parent_unknown: 'there is no transaction with the parent’s id and source',
  parent_not_authorized: 'the parent is not an authorization',
  parent_too_old: 'the parent is older than what may still be captured, voided or reversed',
  parent_not_posted: 'the parent was not posted',
  parent_closed: 'the parent is settled already: captured, voided, expired or reversed in full',
  posting_not_in_parent: 'a posting is not one of the parent’s',
  capture_exceeds_authorization: 'more would be captured than is still authorized',
  reversal_exceeds_posted: 'more would be given back than was posted',
  fraud_rejected: 'a fraud rule rejects it',
  insufficient_funds: 'the debited account has less available than the amount',
  balance_overflow: 'a balance would become larger than the ledger can hold',
}

/** Why a change of reference data, a review or a command took no effect. */
export const REFUSAL_TEXTS: Readonly<Record<Refusal, string>> = {
  action_unknown: 'this version knows no such action',
  id_invalid: REASON_TEXTS.id_invalid,
  card_number_refused: REASON_TEXTS.card_number_refused,
  currency_unknown: REASON_TEXTS.currency_unknown,
  limit_invalid: 'a limit is zero or more, up to 10^15 minor units',
  exists_with_other_content: 'it is there already, with other content',
  unknown_account: 'there is no such account',
  account_closed: 'the account is closed, for ever',
  not_frozen: 'the account is not frozen',
  balance_not_zero: 'only an account with a zero balance and nothing reserved can be closed',
  card_unknown: REASON_TEXTS.card_unknown,
  card_cancelled: 'the card is cancelled, for ever',
  rule_invalid:
    'a rule needs a type, an action, a threshold of zero or more, and a currency where it is about amounts',
  rulebook_invalid: 'the rulebook cannot be read',
  proposal_unknown: 'there is no such proposal, or a newer one has taken its place',
  approver_is_author: 'a rulebook is approved by somebody else than its author',
  not_held: 'the transaction is not held, or another review came first',
  decision_unknown: 'a review either releases or declines',
  field_too_long: REASON_TEXTS.field_too_long,
  unknown_command: 'this version knows no such command',
  id_conflict: 'another command with other content has taken this id',
  subject_invalid: 'the command is about nothing that can be named so',
  parameters_invalid: 'the command’s parameters are not as expected',
  dead_letter_unknown: 'there is no such dead letter',
  dead_letter_closed: 'the dead letter was retried or discarded before',
  position_changed: 'the position is no longer where the command expected it',
  verdict_unknown: 'a label says fraud or genuine',
  unknown_transaction: 'there is no such transaction',
  second_reviewer_needed:
    'two people must release it: the first release is noted, and somebody else must release it too',
  label_too_late: 'the payment is so old that no rule looks at its label any more',
}

/** Words for a code of either list; undefined for one of a later version. */
export const wordsOf = (code: string): string | undefined =>
  (REASON_TEXTS as Readonly<Record<string, string>>)[code] ??
  (REFUSAL_TEXTS as Readonly<Record<string, string>>)[code]
