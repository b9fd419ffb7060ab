/** Statement lines as items to match: whole, or one item for each transaction that a line books together. */
import { currencyByCode } from '#domain/money/currency.ts'
import { add, type Decimal, isEqual, ZERO } from '#domain/statements/decimal.ts'
import type { LineDetail, StatementLine } from '#domain/statements/model.ts'
import { creditorReferenceIn, type ItemReferences, type MatchItem, referenceOf } from './item.ts'

/** What a line needs to know of its statement. */
export interface LineOrigin {
  readonly statementKey: string
  /** Place of the line in the statement, from 1. */
  readonly ordinal: number
  /** The account's name in the pair. */
  readonly account: string
  /** Of the statement; for lines that say none. */
  readonly currency: string | null
  /** The statement's day, yyyy-mm-dd: for lines that say none. */
  readonly date: string | null
  readonly provenance: string
}

/** Why a line is no item. */
export type LineRefusal =
  | 'not_booked'
  | 'currency_unknown'
  | 'amount_inexact'
  | 'amount_zero'
  | 'amount_too_large'

export interface LineItems {
  readonly items: readonly MatchItem[]
  /** null where the items say all of the line. */
  readonly refusal: LineRefusal | null
}

/** Above any real amount, and such that thousands of them still add up within 64 bits. */
const AMOUNT_MAX_MINOR = 100_000_000_000_000n

const refuse = (refusal: LineRefusal): LineItems => ({ items: [], refusal })

/** Items of a line. @param expand Whether a line with several transactions becomes one item each, where their amounts add up to it */
export function itemsOfLine(line: StatementLine, origin: LineOrigin, expand: boolean): LineItems {
  if (line.status !== 'booked') return refuse('not_booked')
  const currency = line.currency ?? origin.currency
  const exponent = currencyByCode(currency ?? '')?.exponent
  if (currency === null || exponent === undefined) return refuse('currency_unknown')
  const amountMinor = minorOf(line.amount, exponent)
  if (amountMinor === null) return refuse('amount_inexact')
  if (amountMinor === 0n) return refuse('amount_zero')
  if (amountMinor > AMOUNT_MAX_MINOR || amountMinor < -AMOUNT_MAX_MINOR) return refuse('amount_too_large')
  const id = `${origin.statementKey}:${origin.ordinal}`
  const whole = { id, currency, amountMinor, groupKey: null, line, origin }
  if (line.details.length < 2 || !expand || !addUp(line, currency)) {
    const [detail] = line.details
    return {
      items: [itemOf({ ...whole, detail: line.details.length === 1 ? detail! : null })],
      refusal: null,
    }
  }
  const amounts = line.details.map(({ amount }) => minorOf(amount!, exponent))
  if (amounts.some((amount) => amount === null || amount === 0n)) {
    return { items: [itemOf({ ...whole, detail: null })], refusal: null }
  }
  const items = line.details.map((detail, at) =>
    itemOf({ ...whole, id: `${id}:${at + 1}`, amountMinor: amounts[at]!, groupKey: id, detail }),
  )
  return { items, refusal: null }
}

/** Whether the transactions of a line, all in its currency, are all of it. */
function addUp({ amount, details }: StatementLine, currency: string): boolean {
  const isWhole = details.every(
    (detail) => detail.amount !== null && (detail.currency ?? currency) === currency,
  )
  return (
    isWhole &&
    isEqual(
      details.reduce((sum, detail) => add(sum, detail.amount!), ZERO),
      amount,
    )
  )
}

/** Minor units; null where there are more decimals than the currency has. */
function minorOf({ digits, scale }: Decimal, exponent: number): bigint | null {
  if (scale <= exponent) return digits * tenTo(exponent - scale)
  const divisor = tenTo(scale - exponent)
  return digits % divisor === 0n ? digits / divisor : null
}

const tenTo = (power: number): bigint => BigInt(`1${'0'.repeat(power)}`)

interface Parts {
  readonly id: string
  readonly currency: string
  readonly amountMinor: bigint
  readonly groupKey: string | null
  readonly detail: LineDetail | null
  readonly line: StatementLine
  readonly origin: LineOrigin
}

function itemOf({ id, currency, amountMinor, groupKey, detail, line, origin }: Parts): MatchItem {
  const remittance = detail?.remittance ?? line.text
  const bookingDay = dayNumber(line.bookingDate ?? (line.valueDate === null ? origin.date : null))
  return {
    id,
    side: 'bank',
    account: origin.account,
    currency,
    amountMinor,
    original: null,
    bookingDay,
    valueDay: dayNumber(line.valueDate),
    references: referencesOf(line, detail, remittance),
    groupKey: groupKey ?? referenceOf(line.details.length > 1 ? line.reference : null),
    counterpartyAccount: referenceOf(detail?.counterpartyAccount),
    remittance,
    isReturn: line.reversal || (detail?.returnReason ?? null) !== null,
    provenance: origin.provenance,
  }
}

function referencesOf(line: StatementLine, detail: LineDetail | null, text: string | null): ItemReferences {
  const creditorReference = referenceOf(detail?.creditorReference) ?? creditorReferenceIn(text)
  if (detail !== null) {
    return {
      endToEndId: referenceOf(detail.endToEndId ?? line.reference),
      uetr: referenceOf(detail.uetr),
      transactionId: referenceOf(detail.transactionId),
      creditorReference,
    }
  }
  // Without details the line's own reference is all there is (MT field 61, BAI2, OFX, CSV); of several details it names the bulk.
  const endToEndId = line.details.length > 1 ? null : referenceOf(line.reference)
  return { endToEndId, uetr: null, transactionId: null, creditorReference }
}

const DAY_MS = 86_400_000

/** Days since 1970 of a calendar date that was checked when it was read. */
const dayNumber = (date: string | null): number | null =>
  date === null ? null : Math.floor(Date.parse(`${date}T00:00:00Z`) / DAY_MS)
