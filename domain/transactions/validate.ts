/**
 * What a record shows by itself, without accounts, cards or history. One reason at most: for transactions the first in the
 * order of REASONS, whatever the order of fields and postings.
 */
import { currencyByCode } from '../money/currency.ts'
import { containsCardNumber } from './card-numbers.ts'
import type {
  AccountChange,
  AdministrativeCommand,
  CardChange,
  Label,
  Review,
  RuleChange,
  TransactionCommand,
} from './command.ts'
import {
  ACCOUNT_ID_LENGTH_MAX,
  ACTOR_LENGTH_MAX,
  AMOUNT_MINOR_MAX,
  CARD_LENGTH_MAX,
  COMMAND_KIND_LENGTH_MAX,
  COMMAND_REASON_LENGTH_MAX,
  COMMAND_SUBJECT_LENGTH_MAX,
  END_TO_END_ID_LENGTH_MAX,
  EXPIRY_AHEAD_MAX_MS,
  HORIZON_MAX_MS,
  HORIZON_MIN_MS,
  HORIZON_RULES,
  ID_LENGTH_MAX,
  METADATA_ENTRIES_MAX,
  METADATA_KEY_LENGTH_MAX,
  METADATA_VALUE_LENGTH_MAX,
  PARTY_LENGTH_MAX,
  POSTINGS_MAX,
  REVIEW_REASON_LENGTH_MAX,
  RULEBOOK_RULES,
  SOURCE_LENGTH_MAX,
  VELOCITY_WINDOWS_MS,
} from './limits.ts'
import type { ReasonCode, Refusal } from './outcomes.ts'

export interface ValidationTime {
  /** Decision time, ms since 1970. */
  readonly nowMs: number
  /** How far beyond it event and value times may lie, ms. */
  readonly futureToleranceMs: number
  /** What occurred before that is refused, ms since 1970; null = nothing is too old. */
  readonly occurredFromMs: number | null
}

/**
 * The first reason to reject the transaction, or null. An empty account id or card passes: no such account can be opened,
 * so it is `unknown_account` or `card_unknown` later.
 */
export const validateTransaction = (command: TransactionCommand, time: ValidationTime): ReasonCode | null => {
  if (!isIdentifier(command.id, ID_LENGTH_MAX)) return 'id_invalid'
  if (holdsCardNumber(command)) return 'card_number_refused'
  if (command.kind === 'unknown') return 'kind_unknown'
  if (hasLongField(command)) return 'field_too_long'
  return reasonOfPostings(command) ?? reasonOfParent(command) ?? reasonOfForms(command, time)
}

/** Whether the text has 1 to `lengthMax` characters (UTF-16 units), none of them a control character or half a surrogate pair. */
const isIdentifier = (text: string, lengthMax: number): boolean => {
  const { length } = text
  if (length === 0 || length > lengthMax) return false
  let wide = false
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index)
    // C0, DEL and C1.
    if (code < 32 || (code >= 127 && code < 160)) return false
    if (code > 255) wide = true
  }
  return !wide || text.isWellFormed()
}

const suspicious = (text: string | null): boolean => text !== null && containsCardNumber(text)
const anySuspicious = (...texts: readonly (string | null)[]): boolean => texts.some(suspicious)

/** Every field in which a client could put text of its own, but the UETR, whose form is fixed. */
const holdsCardNumber = (command: TransactionCommand): boolean => {
  if (containsCardNumber(command.id) || containsCardNumber(command.source)) return true
  for (const posting of command.postings) {
    if (containsCardNumber(posting.debit) || containsCardNumber(posting.credit)) return true
    if (containsCardNumber(posting.currency)) return true
  }
  if (suspicious(command.card) || suspicious(command.merchant) || suspicious(command.terminal)) return true
  if (suspicious(command.device) || suspicious(command.endToEndId) || suspicious(command.country)) return true
  if (suspicious(command.parentId) || suspicious(command.parentSource)) return true
  if (containsCardNumber(command.actor)) return true
  for (const key in command.metadata) {
    if (containsCardNumber(key) || containsCardNumber(command.metadata[key]!)) return true
  }
  return false
}

const isLong = (text: string | null, lengthMax: number): boolean => text !== null && text.length > lengthMax

const hasLongField = (command: TransactionCommand): boolean => {
  if (command.source.length > SOURCE_LENGTH_MAX || command.actor.length > ACTOR_LENGTH_MAX) return true
  if (isLong(command.card, CARD_LENGTH_MAX) || isLong(command.merchant, PARTY_LENGTH_MAX)) return true
  if (isLong(command.terminal, PARTY_LENGTH_MAX) || isLong(command.device, PARTY_LENGTH_MAX)) return true
  if (isLong(command.endToEndId, END_TO_END_ID_LENGTH_MAX)) return true
  if (isLong(command.parentId, ID_LENGTH_MAX) || isLong(command.parentSource, SOURCE_LENGTH_MAX)) return true
  for (const posting of command.postings) {
    if (isLong(posting.debit, ACCOUNT_ID_LENGTH_MAX) || isLong(posting.credit, ACCOUNT_ID_LENGTH_MAX))
      return true
  }
  return hasLongMetadata(command.metadata)
}

const hasLongMetadata = (metadata: TransactionCommand['metadata']): boolean => {
  let entries = 0
  for (const key in metadata) {
    entries += 1
    if (entries > METADATA_ENTRIES_MAX || key.length > METADATA_KEY_LENGTH_MAX) return true
    if (metadata[key]!.length > METADATA_VALUE_LENGTH_MAX) return true
  }
  return false
}

const postingsCountFits = (command: TransactionCommand): boolean => {
  const count = command.postings.length
  switch (command.kind) {
    case 'void':
      return count === 0
    case 'capture':
    case 'reverse':
      // None means all that remains.
      return count <= POSTINGS_MAX
    default:
      return count >= 1 && count <= POSTINGS_MAX
  }
}

const reasonOfPostings = (command: TransactionCommand): ReasonCode | null => {
  if (!postingsCountFits(command)) return 'postings_count'
  // One reason stands before another whichever posting has it.
  let tooLarge = false
  let unknownCurrency = false
  let sameAccount = false
  for (const posting of command.postings) {
    if (posting.amount <= 0n) return 'amount_not_positive'
    if (posting.amount > AMOUNT_MINOR_MAX) tooLarge = true
    if (currencyByCode(posting.currency) === undefined) unknownCurrency = true
    if (posting.debit === posting.credit) sameAccount = true
  }
  if (tooLarge) return 'amount_too_large'
  if (unknownCurrency) return 'currency_unknown'
  return sameAccount ? 'same_account' : null
}

const reasonOfParent = (command: TransactionCommand): ReasonCode | null => {
  const { kind } = command
  if (kind === 'capture' || kind === 'void' || kind === 'reverse') {
    return command.parentId === null || command.parentId === '' ? 'parent_required' : null
  }
  return command.parentId !== null || command.parentSource !== null ? 'parent_not_allowed' : null
}

const COUNTRY = /^[A-Z]{2}$/
/** A UUID of version 4 (RFC 9562), as a UETR is. */
const UETR = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i

const reasonOfForms = (command: TransactionCommand, time: ValidationTime): ReasonCode | null => {
  if (command.country !== null && !COUNTRY.test(command.country)) return 'country_invalid'
  if (command.uetr !== null && !UETR.test(command.uetr)) return 'uetr_invalid'
  const latestMs = time.nowMs + time.futureToleranceMs
  if (command.occurredAt > latestMs) return 'time_in_future'
  if (command.valueTime !== null && command.valueTime > latestMs) return 'time_in_future'
  if (command.expiresAt !== null && command.expiresAt > time.nowMs + EXPIRY_AHEAD_MAX_MS)
    return 'time_in_future'
  if (time.occurredFromMs !== null && command.occurredAt < time.occurredFromMs) return 'too_old'
  return null
}

const isLimit = (amountMinor: bigint | null): boolean =>
  amountMinor === null || (amountMinor >= 0n && amountMinor <= AMOUNT_MINOR_MAX)

/** The first reason to refuse an account's change, or null. */
export const validateAccountChange = (change: AccountChange): Refusal | null => {
  if (change.action === 'unknown') return 'action_unknown'
  if (!isIdentifier(change.accountId, ACCOUNT_ID_LENGTH_MAX)) return 'id_invalid'
  if (anySuspicious(change.accountId, change.actor, change.currency)) return 'card_number_refused'
  if (change.actor.length > ACTOR_LENGTH_MAX) return 'field_too_long'
  if (change.action === 'open' && (change.currency === null || currencyByCode(change.currency) === undefined))
    return 'currency_unknown'
  const setsLimit = change.action === 'open' || change.action === 'set_limit'
  return setsLimit && change.limited && !isLimit(change.overdraftLimit) ? 'limit_invalid' : null
}

/** The first reason to refuse a card's change, or null. */
export const validateCardChange = (change: CardChange): Refusal | null => {
  if (change.action === 'unknown') return 'action_unknown'
  if (!isIdentifier(change.card, CARD_LENGTH_MAX)) return 'id_invalid'
  if (change.action === 'issue' && !isIdentifier(change.accountId ?? '', ACCOUNT_ID_LENGTH_MAX))
    return 'id_invalid'
  if (anySuspicious(change.card, change.accountId, change.actor)) return 'card_number_refused'
  if (change.actor.length > ACTOR_LENGTH_MAX) return 'field_too_long'
  return isLimit(change.transactionLimit) && isLimit(change.dailyLimit) ? null : 'limit_invalid'
}

const isHorizon = (change: RuleChange, type: (typeof HORIZON_RULES)[number]): boolean => {
  if (change.ruleId !== type || change.action !== 'reject') return false
  if (change.currency !== null || change.threshold !== 0n) return false
  return !change.enabled || (change.windowMs >= HORIZON_MIN_MS[type] && change.windowMs <= HORIZON_MAX_MS)
}

/** Whether a rulebook's record has nothing that means anything only for single rules; the text is looked at in domain/ledger/rulebooks.ts. */
const isRulebook = (change: RuleChange): boolean =>
  change.ruleId === change.type &&
  change.action === 'alert' &&
  change.enabled &&
  change.currency === null &&
  change.threshold === 0n &&
  change.windowMs === 0

/** Whether such a rule says enough: a currency with its threshold (minor units), a fraud rule's id as its definition, or both. */
const isSecondReviewer = (change: RuleChange): boolean => {
  const rule = change.definition ?? null
  if (change.action !== 'hold' || change.windowMs !== 0 || (change.approves ?? null) !== null) return false
  if (rule !== null && (rule === '' || rule.length > ID_LENGTH_MAX)) return false
  if (change.currency === null) return rule !== null && change.threshold === 0n
  return change.threshold >= 0n && change.threshold <= AMOUNT_MINOR_MAX
}

const isReservedName = (ruleId: string): boolean =>
  ([...HORIZON_RULES, ...RULEBOOK_RULES] as readonly string[]).includes(ruleId)

/** The first reason to refuse a rule, or null. Sums and amounts need a currency: minor units of two can't be compared. */
export const validateRuleChange = (change: RuleChange): Refusal | null => {
  if (!isIdentifier(change.ruleId, ID_LENGTH_MAX)) return 'id_invalid'
  if (anySuspicious(change.ruleId, change.actor, change.currency, change.definition ?? null)) {
    return 'card_number_refused'
  }
  if (change.actor.length > ACTOR_LENGTH_MAX) return 'field_too_long'
  if (change.currency !== null && currencyByCode(change.currency) === undefined) return 'currency_unknown'
  if (change.type === 'unknown' || change.action === 'unknown') return 'rule_invalid'
  if (change.type === 'history_horizon' || change.type === 'id_horizon') {
    return isHorizon(change, change.type) ? null : 'rule_invalid'
  }
  if (change.type === 'rulebook_proposal' || change.type === 'rulebook') {
    return isRulebook(change) ? null : 'rule_invalid'
  }
  if (change.type === 'second_reviewer' && !isReservedName(change.ruleId))
    return isSecondReviewer(change) ? null : 'rule_invalid'
  // A horizon's name is its own, and a rulebook's: only its newest version counts.
  if (isReservedName(change.ruleId)) return 'rule_invalid'
  if ((change.definition ?? null) !== null || (change.approves ?? null) !== null) return 'rule_invalid'
  if (change.type !== 'velocity_count' && change.currency === null) return 'rule_invalid'
  if (change.type !== 'amount_limit' && !VELOCITY_WINDOWS_MS.includes(change.windowMs)) return 'rule_invalid'
  return change.threshold >= 0n && change.threshold <= AMOUNT_MINOR_MAX ? null : 'rule_invalid'
}

/** The first reason to refuse a review, or null. A review without a reviewer is none. */
export const validateReview = (review: Review): Refusal | null =>
  validateVerdict(review) ?? (review.decision === 'unknown' ? 'decision_unknown' : null)

/** The first reason to refuse a label, or null. A label that nobody answers for is none. */
export const validateLabel = (label: Label): Refusal | null =>
  validateVerdict(label) ?? (label.verdict === 'unknown' ? 'verdict_unknown' : null)

/** What somebody says of a transaction. */
const validateVerdict = (
  verdict: Pick<Review & Label, 'transactionId' | 'source' | 'actor' | 'reason'>,
): Refusal | null => {
  const { transactionId, source, actor, reason } = verdict
  if (!isIdentifier(transactionId, ID_LENGTH_MAX) || actor === '') return 'id_invalid'
  if (anySuspicious(transactionId, source, reason, actor)) return 'card_number_refused'
  if (source.length > SOURCE_LENGTH_MAX || actor.length > ACTOR_LENGTH_MAX) return 'field_too_long'
  return reason.length > REVIEW_REASON_LENGTH_MAX ? 'field_too_long' : null
}

/** The first reason to refuse a command for what it holds, or null; what its kind makes of it comes after. */
export const validateCommand = (command: AdministrativeCommand): Refusal | null => {
  if (!isIdentifier(command.id, ID_LENGTH_MAX) || command.actor === '') return 'id_invalid'
  if (anySuspicious(command.id, command.kind, command.subject, command.actor, command.reason))
    return 'card_number_refused'
  for (const [name, value] of Object.entries(command.parameters)) {
    if (anySuspicious(name, value)) return 'card_number_refused'
  }
  if (command.actor.length > ACTOR_LENGTH_MAX || isLong(command.reason, COMMAND_REASON_LENGTH_MAX))
    return 'field_too_long'
  if (command.kind.length > COMMAND_KIND_LENGTH_MAX || hasLongMetadata(command.parameters))
    return 'field_too_long'
  return isIdentifier(command.subject, COMMAND_SUBJECT_LENGTH_MAX) ? null : 'subject_invalid'
}
