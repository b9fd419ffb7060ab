/** Words for the numbers that rows carry, and back: numbers are places in the closed lists of domain/transactions/outcomes.ts. */
import { currencyByNumeric } from '#domain/money/currency.ts'
import {
  CAUSES,
  type Cause,
  KINDS,
  REASONS,
  type ReasonCode,
  STATUSES,
  type TransactionKind,
  type TransactionStatus,
} from '#domain/transactions/outcomes.ts'

/** A kind this version doesn't know is stored as -1. */
export const kindWord = (code: number): TransactionKind | 'unknown' => KINDS[code] ?? 'unknown'
export const kindCode = (word: TransactionKind): number => KINDS.indexOf(word)

/** @throws Error where the row was written by a version that knows more. */
export const causeWord = (code: number): Cause => known(CAUSES[code], 'cause', code)
export const statusWord = (code: number): TransactionStatus => known(STATUSES[code], 'status', code)
export const statusCode = (word: TransactionStatus): number => STATUSES.indexOf(word)
export const reasonWord = (code: number | null): ReasonCode | null =>
  code === null ? null : known(REASONS[code], 'reason', code)
export const reasonCode = (word: ReasonCode): number => REASONS.indexOf(word)

/** ISO 4217 alphabetic code of a stored numeric one. */
export const currencyWord = (numeric: number): string =>
  known(currencyByNumeric(numeric)?.code, 'currency', numeric)

/** Place of the status `duplicate`: a record seen again, with no effect. */
export const DUPLICATE_CODE = STATUSES.indexOf('duplicate')

function known<Word>(word: Word | undefined, list: string, code: number): Word {
  if (word === undefined) throw new Error(`${list} ${code} is stored but isn't known to this version`)
  return word
}
