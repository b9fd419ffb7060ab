/** Turns a CSV record into a transaction by a mapping, or says why it can't. Pure: the same line gives the same transaction, so importing again is harmless. */
import { createHash } from 'node:crypto'
import { currencyByCode } from '#domain/money/currency.ts'
import { containsCardNumber } from '#domain/transactions/card-numbers.ts'
import { type AccountChange, blankCommand, type TransactionCommand } from '#domain/transactions/command.ts'
import { type AmountProblem, amountReader } from './amount.ts'
import {
  type AmountMapping,
  COPIED_FIELDS,
  type CopiedField,
  type CsvMapping,
  type OpeningTerms,
} from './mapping.ts'
import type { CsvProblem, CsvRecord } from './reader.ts'
import { type BoundTemplate, bindTemplate } from './template.ts'
import { timeReader } from './times.ts'

export type RejectReason =
  | CsvProblem['reason']
  | AmountProblem
  | 'amount_missing'
  | 'amount_not_positive'
  | 'amount_in_both_columns'
  | 'currency_unknown'
  | 'time_invalid'
  | 'value_time_invalid'
  | 'id_invalid'
  | 'account_invalid'
  | 'same_account'
  | 'card_number_refused'

/** One line as a transaction, with the accounts as the mapping names them (`from` and `to`, or `account` and `counter`). */
export interface MappedLine {
  readonly command: TransactionCommand
  readonly firstAccount: string
  readonly secondAccount: string
}

/** A mapping bound to a file's columns: a transaction, or why there is none. */
export type Transform = (record: CsvRecord) => MappedLine | RejectReason

/** Limits of the ingest contract (schemas/avro/transaction.avsc, account.avsc). */
const ID_LENGTH_MAX = 64
const ACCOUNT_ID_LENGTH_MAX = 128
/** Hexadecimal digits of a made id: 128 bits, as transaction keys have. */
const MADE_ID_DIGITS = 32

/**
 * Binds a mapping to the columns of a file.
 * @throws ConfigurationError where a column that the mapping names isn't there
 */
export function bindMapping(mapping: CsvMapping, header: readonly string[], actor: string): Transform {
  const id = mapping.id === null ? null : bindTemplate(mapping.id, header, 'id')
  const movement = bindMovement(mapping, header)
  const currencyOf = bindTemplate(mapping.currency, header, 'currency')
  const occurredAtOf = bindTime(mapping.occurredAt, header, 'occurredAt')
  const valueTimeOf = mapping.valueTime && bindTime(mapping.valueTime, header, 'valueTime')
  const fields = bindFields(mapping, header)
  const { source } = mapping
  return (record) => {
    const values = record.fields
    const transactionId = id === null ? madeId(record) : id(values)
    if (transactionId === null || transactionId.length > ID_LENGTH_MAX) return 'id_invalid'
    const currencyCode = currencyOf(values)
    const currency = currencyCode === null ? undefined : currencyByCode(currencyCode)
    if (currency === undefined) return 'currency_unknown'
    const moved = movement(values, currency.exponent)
    if (typeof moved === 'string') return moved
    const occurredAt = occurredAtOf(values)
    if (occurredAt === null || occurredAt === undefined) return 'time_invalid'
    const valueTime = valueTimeOf === null ? null : valueTimeOf(values)
    if (valueTime === undefined) return 'value_time_invalid'
    const command = blankCommand({
      id: transactionId,
      source,
      postings: [{ debit: moved.debit, credit: moved.credit, amount: moved.amount, currency: currency.code }],
      ...fields.copied(values),
      valueTime,
      occurredAt,
      actor,
      metadata: fields.metadata(values),
    })
    if (holdsCardNumber(command)) return 'card_number_refused'
    // The debit account is the mapping's second where a signed line credits its own account.
    return moved.creditsFirst
      ? { command, firstAccount: moved.credit, secondAccount: moved.debit }
      : { command, firstAccount: moved.debit, secondAccount: moved.credit }
  }
}

/** The openings of the accounts that a line names, as the mapping asks for them. */
export function openingsOf(mapping: CsvMapping, line: MappedLine): AccountChange[] {
  const { command, firstAccount, secondAccount } = line
  const opening = (accountId: string, terms: OpeningTerms | null): AccountChange[] =>
    terms === null
      ? []
      : [
          {
            action: 'open',
            accountId,
            currency: command.postings[0]!.currency,
            ...terms,
            actor: command.actor,
            occurredAt: command.occurredAt,
          },
        ]
  return [...opening(firstAccount, mapping.open.first), ...opening(secondAccount, mapping.open.second)]
}

interface Movement {
  readonly debit: string
  readonly credit: string
  /** Minor units, above zero. */
  readonly amount: bigint
  readonly creditsFirst: boolean
}
type BoundMovement = (fields: readonly string[], exponent: number) => Movement | RejectReason
/** Signed minor units of a line in a currency of that exponent, or why there are none. */
export type BoundAmount = (fields: readonly string[], exponent: number) => bigint | RejectReason

function bindMovement(mapping: CsvMapping, header: readonly string[]): BoundMovement {
  const { accounts } = mapping
  // `positive: debit` turns the single column's sign around; a debit column says debit by itself.
  const splitSign = accounts.form === 'signed' && accounts.positive === 'debit' ? -1n : 1n
  const amountOf = bindAmount(mapping.amount, header, splitSign)
  const isPair = accounts.form === 'pair'
  const firstOf = bindTemplate(isPair ? accounts.from : accounts.account, header, 'accounts')
  const secondOf = bindTemplate(isPair ? accounts.to : accounts.counter, header, 'accounts')
  const positiveCredits = !isPair && accounts.positive === 'credit'
  return (fields, exponent) => {
    const first = firstOf(fields)
    const second = secondOf(fields)
    if (!isAccountId(first) || !isAccountId(second)) return 'account_invalid'
    if (first === second) return 'same_account'
    const signed = amountOf(fields, exponent)
    if (typeof signed === 'string') return signed
    if (signed === 0n || (isPair && signed < 0n)) return 'amount_not_positive'
    const creditsFirst = !isPair && signed > 0n === positiveCredits
    const amount = signed < 0n ? -signed : signed
    return creditsFirst
      ? { debit: second, credit: first, amount, creditsFirst }
      : { debit: first, credit: second, amount, creditsFirst }
  }
}

const isAccountId = (id: string | null): id is string => id !== null && id.length <= ACCOUNT_ID_LENGTH_MAX

/**
 * Signed minor units: positive is the single column's own sign, or the credit column.
 * @param splitSign -1n turns around what separate columns say.
 */
export function bindAmount(
  amount: AmountMapping,
  header: readonly string[],
  splitSign: 1n | -1n,
): BoundAmount {
  const read = amountReader(amount)
  if (amount.form === 'single') {
    const textOf = bindTemplate(amount.value, header, 'amount.value')
    return (fields, exponent) => {
      const text = textOf(fields)
      return text === null ? 'amount_missing' : read(text, exponent)
    }
  }
  const debitOf = bindTemplate(amount.debit, header, 'amount.debit')
  const creditOf = bindTemplate(amount.credit, header, 'amount.credit')
  return (fields, exponent) => {
    const debitText = debitOf(fields)
    const creditText = creditOf(fields)
    if (debitText === null && creditText === null) return 'amount_missing'
    const debit = debitText === null ? 0n : read(debitText, exponent)
    const credit = creditText === null ? 0n : read(creditText, exponent)
    if (typeof debit === 'string') return debit
    if (typeof credit === 'string') return credit
    if (debit !== 0n && credit !== 0n) return 'amount_in_both_columns'
    // Some banks write debits as negative numbers in the debit column: the column says the side, not the sign.
    const debited = debit < 0n ? -debit : debit
    return splitSign * (credit - debited)
  }
}

/** Milliseconds since 1970 UTC; null where the value is empty, undefined where it isn't a time. */
function bindTime(
  mapping: CsvMapping['occurredAt'],
  header: readonly string[],
  path: string,
): (fields: readonly string[]) => number | null | undefined {
  const textOf = bindTemplate(mapping.value, header, `${path}.value`)
  const read = timeReader(mapping, `${path}.format`)
  return (fields) => {
    const text = textOf(fields)
    return text === null ? null : (read(text) ?? undefined)
  }
}

interface BoundFields {
  copied(values: readonly string[]): Record<CopiedField, string | null>
  metadata(values: readonly string[]): Record<string, string>
}

function bindFields(mapping: CsvMapping, header: readonly string[]): BoundFields {
  const copied = COPIED_FIELDS.map((field) => {
    const template = mapping.fields[field]
    return [field, template && bindTemplate(template, header, `fields.${field}`)] as const
  }).filter((pair): pair is readonly [CopiedField, BoundTemplate] => pair[1] !== undefined)
  const metadata = Object.entries(mapping.metadata).map(
    ([key, template]) => [key, bindTemplate(template, header, `metadata.${key}`)] as const,
  )
  return {
    copied: (values) => {
      const result: Record<CopiedField, string | null> = {
        card: null,
        merchant: null,
        terminal: null,
        device: null,
        country: null,
        endToEndId: null,
        uetr: null,
      }
      for (const [field, textOf] of copied) result[field] = textOf(values)
      return result
    },
    metadata: (values) => {
      const result: Record<string, string> = {}
      for (const [key, textOf] of metadata) {
        const value = textOf(values)
        if (value !== null) result[key] = value
      }
      return result
    },
  }
}

/** An id for a line that has none: the same file gives the same ids, equal lines at different places different ones. */
function madeId(record: CsvRecord): string {
  return createHash('sha256').update(`${record.line}:${record.text}`).digest('hex').slice(0, MADE_ID_DIGITS)
}

function holdsCardNumber(command: TransactionCommand): boolean {
  const posting = command.postings[0]!
  const texts = [
    command.id,
    posting.debit,
    posting.credit,
    ...COPIED_FIELDS.map((field) => command[field]),
    ...Object.values(command.metadata),
  ]
  return texts.some((text) => text !== null && containsCardNumber(text))
}
