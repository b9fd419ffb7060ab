/** From a request body to the record that is published: the full form, the flat form, and the form of older clients. */
import { randomUUID } from 'node:crypto'
import { amountTooLarge, readAmount } from '#api/amounts.ts'
import type { ApiOptions } from '#api/dependencies.ts'
import type { IngestRecord } from '#api/gateway/ingest-gateway.ts'
import { Problem } from '#api/problem.ts'
import { recordTime, recordTimeOf } from '#api/request.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { contentHash, transactionKey } from '#domain/transactions/canonical.ts'
import type { Position, Posting, TransactionCommand } from '#domain/transactions/command.ts'
import { AMOUNT_MINOR_MAX } from '#domain/transactions/limits.ts'
import type { ReasonCode, TransactionKind } from '#domain/transactions/outcomes.ts'
import { REASON_TEXTS } from '#domain/transactions/reason-texts.ts'
import { validateTransaction } from '#domain/transactions/validate.ts'

type AccountId = string | number
type Time = string | number

/** A checked body; which members there are says which form it is. */
export interface TransactionBody {
  id?: string
  source?: string
  kind?: TransactionKind
  /** Full form: minor units. */
  postings?: { debit: AccountId; credit: AccountId; amount: string | number; currency: string }[]
  /** Flat form: major units. */
  from?: AccountId
  to?: AccountId
  /** Older form: credited from the configured source account. */
  user_id?: AccountId
  amount?: string | number
  currency?: string
  parentId?: string | null
  parentSource?: string | null
  card?: string | null
  merchant?: string | null
  terminal?: string | null
  device?: string | null
  country?: string | null
  endToEndId?: string | null
  uetr?: string | null
  valueTime?: Time | null
  occurredAt?: Time | null
  expiresAt?: Time | null
  metadata?: Record<string, string>
  after?: { topic: string; partition: number; offset: string | number } | null
}

export interface TransactionRequest {
  readonly command: TransactionCommand
  readonly occurredAtGiven: boolean
  /** As in domain/transactions/canonical.ts. */
  readonly key: string
  /** Whether the client named the id: then the request may be a repetition. */
  readonly idGiven: boolean
  /** Whether accounts that aren't there may be opened for it. */
  readonly mayOpenAccounts: boolean
  /** What is published. */
  readonly record: IngestRecord
}

export interface RequestContext {
  readonly actor: string
  readonly idempotencyKey: string | undefined
  readonly options: Pick<ApiOptions, 'compatibilityCurrency' | 'compatibilitySourceAccount'>
  readonly nowMs: number
}

/** Far beyond any time: whether a time is too late or too old the ledger's clock says, not ours. */
const NO_CLOCK = { nowMs: 2 ** 52, futureToleranceMs: 0, occurredFromMs: null }

/**
 * Makes the record.
 *
 * @throws Problem (400) where members don't fit together or the key contradicts the id; (422) with the ledger's reason code where
 *   the ledger would refuse the record whatever it holds.
 */
export function transactionRequest(body: TransactionBody, context: RequestContext): TransactionRequest {
  const givenId = idOf(body.id, context.idempotencyKey)
  const id = givenId ?? randomUUID()
  try {
    return requestOf(body, context, { id, idGiven: givenId !== undefined })
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    // Whoever asks about a refusal names it by the id that the transaction would have had.
    const { status, code, message, headers, members } = error
    throw new Problem(status, code, message, { headers, members: { txn_id: id, ...members } })
  }
}

function requestOf(
  body: TransactionBody,
  context: RequestContext,
  { id, idGiven }: { id: string; idGiven: boolean },
): TransactionRequest {
  const { postings, mayOpenAccounts } = postingsOf(body, context.options)
  const occurredAtMs = timeMs(body.occurredAt, 'occurredAt')
  const command: TransactionCommand = {
    id,
    source: body.source ?? '',
    kind: body.kind ?? 'post',
    postings,
    parentId: body.parentId ?? null,
    parentSource: body.parentSource ?? null,
    card: body.card ?? null,
    merchant: body.merchant ?? null,
    terminal: body.terminal ?? null,
    device: body.device ?? null,
    country: body.country ?? null,
    endToEndId: body.endToEndId ?? null,
    uetr: body.uetr ?? null,
    valueTime: timeMs(body.valueTime, 'valueTime'),
    occurredAt: occurredAtMs ?? context.nowMs,
    expiresAt: timeMs(body.expiresAt, 'expiresAt'),
    actor: context.actor,
    metadata: body.metadata ?? {},
    after: afterOf(body.after),
  }
  const reason = validateTransaction(command, NO_CLOCK)
  if (reason !== null) throw refused(reason, propertyOf(reason, command, body))
  const { occurredAt, valueTime, expiresAt, ...others } = command
  const rest = { ...others, valueTime: shownTime(valueTime), expiresAt: shownTime(expiresAt) }
  return {
    command,
    occurredAtGiven: occurredAtMs !== null,
    key: transactionKey(command.source, command.id),
    idGiven,
    mayOpenAccounts,
    record: occurredAtMs === null ? rest : { ...rest, occurredAt: recordTime(occurredAt) },
  }
}

function refused(reason: ReasonCode, property: string | undefined): Problem {
  const subject = property === undefined ? '' : `${property}: `
  return new Problem(422, reason, `${subject}${REASON_TEXTS[reason]}.`, {
    members: property === undefined ? {} : { property },
  })
}

/** Reasons that are about one property whatever the form. */
const PROPERTIES: Partial<Record<ReasonCode, string>> = {
  id_invalid: 'id',
  kind_unknown: 'kind',
  postings_count: 'postings',
  parent_required: 'parentId',
  parent_not_allowed: 'parentId',
  country_invalid: 'country',
  uetr_invalid: 'uetr',
}

/** The property of the body that a reason is about, by the names of the form that the client used. */
function propertyOf(
  reason: ReasonCode,
  command: TransactionCommand,
  body: TransactionBody,
): string | undefined {
  const { postings } = command
  const inPosting = (flat: string, full: string, isWrong: (posting: Posting) => boolean) =>
    body.postings === undefined ? flat : `postings/${postings.findIndex(isWrong)}/${full}`
  switch (reason) {
    case 'amount_not_positive':
      return inPosting('amount', 'amount', ({ amount }) => amount <= 0n)
    case 'amount_too_large':
      return inPosting('amount', 'amount', ({ amount }) => amount > AMOUNT_MINOR_MAX)
    case 'currency_unknown':
      return inPosting('currency', 'currency', ({ currency }) => currencyByCode(currency) === undefined)
    case 'same_account':
      return inPosting(body.to === undefined ? 'user_id' : 'to', 'credit', (p) => p.debit === p.credit)
    default:
      return PROPERTIES[reason]
  }
}

/**
 * Whether an outcome is of this very content. A record without the time it occurred was given the time of its arrival, which the
 * first one of a repetition has too.
 */
export function isSameContent(
  request: TransactionRequest,
  outcome: { readonly content: string; readonly occurredAt: Date },
): boolean {
  const { command, occurredAtGiven } = request
  if (outcome.content === contentHash(command, { occurredAtGiven })) return true
  if (occurredAtGiven) return false
  return outcome.content === contentHash({ ...command, occurredAt: outcome.occurredAt.getTime() })
}

/**
 * Whether the content that took the id is certainly another one. Where the request names no time, it isn't certain: the other may
 * have been sent with the time at which it came.
 */
export function isOtherContent({ command, occurredAtGiven }: TransactionRequest, content: string): boolean {
  return occurredAtGiven && content !== contentHash(command, { occurredAtGiven })
}

function idOf(id: string | undefined, idempotencyKey: string | undefined): string | undefined {
  if (id === undefined || idempotencyKey === undefined || id === idempotencyKey) return id ?? idempotencyKey
  throw new Problem(400, 'idempotency_key_mismatch', 'Expected the Idempotency-Key to be the id in the body.')
}

function postingsOf(
  body: TransactionBody,
  options: RequestContext['options'],
): { postings: Posting[]; mayOpenAccounts: boolean } {
  const { postings, from, to, user_id: userId, amount } = body
  const forms = [postings !== undefined, from !== undefined || to !== undefined, userId !== undefined]
  if (forms.filter(Boolean).length > 1) {
    throw new Problem(400, 'form_ambiguous', 'Expected either postings, or from and to, or user_id.')
  }
  if (postings !== undefined) return { postings: postings.map(postingOf), mayOpenAccounts: false }
  if (from === undefined && to === undefined && userId === undefined && amount === undefined) {
    if (!['capture', 'void', 'reverse'].includes(body.kind ?? 'post')) {
      const expected = 'Expected postings; or from, to and amount; or user_id and amount.'
      throw new Problem(400, 'form_incomplete', expected)
    }
    // Void, and capture or reversal of all that remains.
    return { postings: [], mayOpenAccounts: false }
  }
  const debit = userId === undefined ? from : options.compatibilitySourceAccount
  const credit = userId ?? to
  if (debit === undefined || credit === undefined || amount === undefined) {
    throw new Problem(400, 'form_incomplete', 'Expected from, to and amount, or user_id and amount.')
  }
  const currency = body.currency ?? options.compatibilityCurrency
  const posting = {
    debit: String(debit),
    credit: String(credit),
    amount: readAmount(amount, currency),
    currency,
  }
  return { postings: [posting], mayOpenAccounts: true }
}

function postingOf(posting: NonNullable<TransactionBody['postings']>[number], place: number): Posting {
  const digits = String(posting.amount)
  if (!/^-?\d{1,19}$/.test(digits)) {
    const property = `postings/${place}/amount`
    if (/^\d{20,}$/.test(digits) || Number(posting.amount) >= 1e19) throw amountTooLarge(property)
    throw new Problem(422, 'amount_invalid', `${property} must be whole minor units, for example 1275.`, {
      members: { property },
    })
  }
  return {
    debit: String(posting.debit),
    credit: String(posting.credit),
    amount: BigInt(digits),
    currency: posting.currency,
  }
}

function afterOf(after: TransactionBody['after']): Position | null {
  if (after === undefined || after === null) return null
  return { topic: after.topic, partition: after.partition, offset: BigInt(after.offset) }
}

function timeMs(time: Time | null | undefined, field: string): number | null {
  if (time === undefined || time === null) return null
  return recordTimeOf(time, field)
}

const shownTime = (timeMs: number | null): number | string | null =>
  timeMs === null ? null : recordTime(timeMs)
