/**
 * Items to match as a file: JSON lines, one item each. `id`, `account`, `currency`, `amount` (exact decimal text in major units, positive
 * where money comes in) and at least one of `bookingDate` and `valueDate` (yyyy-mm-dd) are needed; `endToEndId`, `uetr`, `transactionId`,
 * `creditorReference`, `groupKey`, `counterpartyAccount`, `remittance`, `isReturn` may follow.
 */
import { createInterface } from 'node:readline'
import { openUnzipped } from '#connectors/unzipped-file.ts'
import { type MatchItem, referenceOf, type Side } from '#domain/matching/item.ts'
import { formatMinorAmount, parseDecimalAmount } from '#domain/money/amount.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { isoDate } from '#domain/statements/dates.ts'
import { ConfigurationError } from '#platform/errors.ts'

const PIECE_BYTES = 64 * 1024
const DAY_MS = 86_400_000
const TEXT_LENGTH_MAX = 4_096

/** Reads a plain or gzip file. @throws ConfigurationError naming the first line that isn't an item */
export async function* readItemFile(path: string, side: Side): AsyncGenerator<MatchItem> {
  const bytes = await openUnzipped(path, PIECE_BYTES).catch((error: Error) => {
    throw new ConfigurationError(`expected a readable file, found ${path} (${error.message})`, {
      cause: error,
    })
  })
  let number = 0
  for await (const line of createInterface({ input: bytes, crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1
    if (line.trim() === '') continue
    const item = parseItem(line, side, `${path}:${number}`)
    if (typeof item === 'string') throw new ConfigurationError(`${path}, line ${number}: expected ${item}`)
    yield item
  }
}

/** An item of a line, or what was expected. */
export function parseItem(line: string, side: Side, provenance: string): MatchItem | string {
  const value = objectOf(line)
  if (value === null) return 'a JSON object'
  const texts = textsOf(value)
  if (typeof texts === 'string') return texts
  const { id, account, currency, amount } = texts
  if (!id || !account) return 'id and account as texts'
  const exponent = currencyByCode(currency ?? '')?.exponent
  if (!currency || exponent === undefined) return 'currency as an ISO 4217 code'
  const amountMinor = parseDecimalAmount(amount ?? '', exponent)
  if (amountMinor === null || amountMinor === 0n)
    return `amount as decimal text with up to ${exponent} decimals, not zero`
  const bookingDay = dayNumber(texts.bookingDate)
  const valueDay = dayNumber(texts.valueDate)
  if (bookingDay === undefined || valueDay === undefined || (bookingDay ?? valueDay) === null) {
    return 'bookingDate or valueDate as yyyy-mm-dd'
  }
  return {
    id,
    side,
    account,
    currency,
    amountMinor,
    original: null,
    bookingDay,
    valueDay,
    references: {
      endToEndId: referenceOf(texts.endToEndId),
      uetr: referenceOf(texts.uetr),
      transactionId: referenceOf(texts.transactionId),
      creditorReference: referenceOf(texts.creditorReference),
    },
    groupKey: referenceOf(texts.groupKey),
    counterpartyAccount: referenceOf(texts.counterpartyAccount),
    remittance: texts.remittance ?? null,
    isReturn: value.isReturn === true,
    provenance,
  }
}

const TEXT_KEYS = [
  'id',
  'account',
  'currency',
  'amount',
  'bookingDate',
  'valueDate',
  'endToEndId',
  'uetr',
  'transactionId',
  'creditorReference',
  'groupKey',
  'counterpartyAccount',
  'remittance',
] as const

type Texts = { readonly [key in (typeof TEXT_KEYS)[number]]?: string }

function objectOf(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}

function textsOf(value: Record<string, unknown>): Texts | string {
  for (const key of Object.keys(value)) {
    if (key === 'isReturn') {
      if (typeof value[key] !== 'boolean') return 'isReturn as true or false'
    } else if (!(TEXT_KEYS as readonly string[]).includes(key)) {
      return `no key ${JSON.stringify(key.slice(0, 40))}`
    } else if (typeof value[key] !== 'string' || value[key].length > TEXT_LENGTH_MAX) {
      return `${key} as text of up to ${TEXT_LENGTH_MAX} characters`
    }
  }
  return value as Texts
}

/** null where there is none, undefined where it isn't a date. */
function dayNumber(text: string | undefined): number | null | undefined {
  if (text === undefined) return null
  const date = text.length === 10 ? isoDate(text) : null
  return date === null ? undefined : Date.parse(`${date}T00:00:00Z`) / DAY_MS
}

/** An item as a line of such a file, without what isn't there. */
export function itemLine(item: MatchItem): string {
  const exponent = currencyByCode(item.currency)?.exponent ?? 0
  const value = {
    id: item.id,
    account: item.account,
    currency: item.currency,
    amount: formatMinorAmount(item.amountMinor, exponent),
    bookingDate: dateOf(item.bookingDay),
    valueDate: dateOf(item.valueDay),
    ...item.references,
    groupKey: item.groupKey,
    counterpartyAccount: item.counterpartyAccount,
    remittance: item.remittance,
    isReturn: item.isReturn ? true : null,
  }
  return JSON.stringify(Object.fromEntries(Object.entries(value).filter(([, part]) => part !== null)))
}

/** yyyy-mm-dd of days since 1970. */
export const dateOf = (day: number | null): string | null =>
  day === null ? null : new Date(day * DAY_MS).toISOString().slice(0, 10)
