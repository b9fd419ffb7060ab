/** The closed list of business outcomes. Outcomes are values, never thrown. The order of REASONS is the order of precedence. */

export const KINDS = ['post', 'authorize', 'capture', 'void', 'reverse', 'exchange'] as const
/** What a transaction asks for. */
export type TransactionKind = (typeof KINDS)[number]

/** Which kind of input decided: the transaction itself, a review of it, or time. */
export const CAUSES = ['transaction', 'review', 'tick'] as const
export type Cause = (typeof CAUSES)[number]

export const STATUSES = [
  'applied',
  'authorized',
  'held',
  'voided',
  'declined',
  'expired',
  'rejected',
  'duplicate',
] as const
/** What became of it. Only `held` and `authorized` may change later (review, capture, void, expiry). */
export type TransactionStatus = (typeof STATUSES)[number]

/**
 * Why a transaction was rejected. Where several apply, the first in this list is given.
 * Codes are numbered by place and stored as numbers: append only, never reorder (precedence changes need a new logic version).
 */
export const REASONS = [
  // What the record itself shows.
  'id_invalid',
  'card_number_refused',
  'kind_unknown',
  'field_too_long',
  'postings_count',
  'amount_not_positive',
  'amount_too_large',
  'currency_unknown',
  'same_account',
  'parent_required',
  'parent_not_allowed',
  'country_invalid',
  'uetr_invalid',
  'time_in_future',
  'too_old',
  // Decided by nobody: the bounds of the fields keep every output below what its topic takes (processors/runtime/outputs.test.ts).
  'too_large',
  // The id seen before with other content.
  'id_conflict',
  // Reference data.
  'unknown_account',
  'currency_mismatch',
  'exchange_invalid',
  'account_closed',
  'account_frozen',
  'card_unknown',
  'card_account_mismatch',
  'card_blocked',
  'card_expired',
  'card_limit_exceeded',
  // The parent's state.
  'parent_unknown',
  'parent_not_authorized',
  'parent_not_posted',
  'parent_closed',
  'posting_not_in_parent',
  'capture_exceeds_authorization',
  'reversal_exceeds_posted',
  // Fraud, then money.
  'fraud_rejected',
  'insufficient_funds',
  'balance_overflow',
  // The parent's age, before the rest of its state; here since codes are places.
  'parent_too_old',
] as const
export type ReasonCode = (typeof REASONS)[number]

/** Reasons for which a record goes to the dead-letter topic: it could not be read at all (no id is consumed). */
export const DEAD_LETTER_REASONS = [
  'empty_record',
  'json_invalid',
  'json_too_deep',
  'schema_mismatch',
  'avro_invalid',
  'schema_unknown',
  'schema_incompatible',
  'content_type_unknown',
  'encoding_invalid',
  'too_large',
  'id_conflict',
  // A whole batch of the producer's records; the letter says from which offset to which.
  'batch_too_large',
  'batch_undecodable',
  // A tick whose time is beyond the broker's own.
  'tick_ahead',
  // Offsets that an operator's command passed over.
  'skipped',
] as const
export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number]

/** Why a reference record, a review or a command was refused (topic `notifications`). */
export const REFUSALS = [
  'action_unknown',
  'id_invalid',
  'card_number_refused',
  'currency_unknown',
  'limit_invalid',
  'exists_with_other_content',
  'unknown_account',
  'account_closed',
  'not_frozen',
  'balance_not_zero',
  'card_unknown',
  'card_cancelled',
  'rule_invalid',
  'rulebook_invalid',
  'proposal_unknown',
  'approver_is_author',
  'not_held',
  'decision_unknown',
  'field_too_long',
  'unknown_command',
  'id_conflict',
  'subject_invalid',
  'parameters_invalid',
  'dead_letter_unknown',
  'dead_letter_closed',
  // Where a partition stands isn't where the command says.
  'position_changed',
  // Labels.
  'verdict_unknown',
  'unknown_transaction',
  'label_too_late',
  // The first release of two; it is noted.
  'second_reviewer_needed',
] as const
export type Refusal = (typeof REFUSALS)[number]
