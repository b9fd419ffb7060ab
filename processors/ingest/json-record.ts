/**
 * JSON records of the ingest topics, checked field by field into the values that Avro gives: bigint for longs, null for what is
 * absent. Unknown fields and names that come twice are refused: none must be lost without a word.
 */
import { parseDecimalAmount } from '#domain/money/amount.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { isExact } from '#domain/money/exact-number.ts'
import { isCalendarDay } from '#domain/time/calendar.ts'
import { ACCOUNT_CLASSES } from '#domain/transactions/command.ts'
import { jsonShape, membersOf } from '#domain/transactions/json-shape.ts'
import type { DecodedValue, IngestTopicName } from './inputs.ts'
import { Unreadable } from './unreadable.ts'

const DEPTH_MAX = 32
const decoder = new TextDecoder('utf-8', { fatal: true })

type Reader = (value: unknown, path: string) => unknown

const mismatch = (path: string, expected: string): never => {
  throw new Unreadable('schema_mismatch', `${path === '' ? 'the record' : path}: expected ${expected}`)
}

const text: Reader = (value, path) => (typeof value === 'string' ? value : mismatch(path, 'a string'))
const flag: Reader = (value, path) => (typeof value === 'boolean' ? value : mismatch(path, 'true or false'))

/** A whole number of 64 bits: a JSON integer that a double holds exactly (below 2^53), or a string of digits. */
const whole: Reader = (value, path) => {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : mismatch(path, WHOLE)
  if (typeof value !== 'string' || !/^-?\d{1,19}$/.test(value)) return mismatch(path, WHOLE)
  const number = BigInt(value)
  return number === BigInt.asIntN(64, number) ? number : mismatch(path, 'a whole number of 64 bits')
}
const WHOLE = 'a whole number below 2^53 or a string of digits'

/** A number of 32 bits as number. */
const small: Reader = (value, path) => {
  const number = whole(value, path) as bigint
  return number >= 0n && number < 2n ** 31n ? Number(number) : mismatch(path, 'a whole number from 0')
}

const ISO_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/

/** Milliseconds since 1970, or an ISO 8601 time with its zone. */
const time: Reader = (value, path) => {
  if (typeof value === 'string' && ISO_TIME.test(value)) {
    const ms = isCalendarDay(value) ? Date.parse(value) : Number.NaN
    return Number.isNaN(ms) ? mismatch(path, 'a time') : BigInt(ms)
  }
  const ms = whole(value, path) as bigint
  return ms >= 0n && ms < 2n ** 53n
    ? ms
    : mismatch(path, 'milliseconds since 1970 or an ISO 8601 time with its zone')
}

/** A word that a newer writer may have more of: others are `unknown`, as Avro gives the default of an enumeration. */
const wordOf =
  (words: readonly string[]): Reader =>
  (value, path) =>
    typeof value === 'string' ? (words.includes(value) ? value : 'unknown') : mismatch(path, 'a string')

/** A word of a closed list. */
const oneOf =
  (words: readonly string[]): Reader =>
  (value, path) =>
    words.includes(value as string) ? value : mismatch(path, words.join(', '))

/** An account id; numbers are taken as their decimal digits, since older clients number accounts. */
const accountId: Reader = (value, path) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? String(value) : text(value, path)

const listOf =
  (reader: Reader): Reader =>
  (value, path) =>
    Array.isArray(value)
      ? value.map((item, place) => reader(item, `${path}[${place}]`))
      : mismatch(path, 'a list')

const stringMap: Reader = (value, path) => {
  const map = objectOf(value, path)
  for (const name of Object.keys(map)) {
    // As a field of its own it does no harm here, but copying it by assignment later would lose it.
    if (name === '__proto__') mismatch(`${path}.${name}`, 'another name')
    text(map[name], `${path}.${name}`)
  }
  return map
}

interface Field {
  readonly read: Reader
  /** Given when the field is absent or null; undefined = it must be there. */
  readonly fallback?: unknown
}

const required = (read: Reader): Field => ({ read })
const optional = (read: Reader, fallback: unknown = null): Field => ({ read, fallback })

const objectOf = (value: unknown, path: string): DecodedValue =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as DecodedValue)
    : (mismatch(path, 'an object') as never)

const record = (fields: Readonly<Record<string, Field>>): Reader => {
  const entries = Object.entries(fields)
  return (value, path) => {
    const given = objectOf(value, path)
    const within = path === '' ? '' : `${path}.`
    for (const name of Object.keys(given)) {
      if (!Object.hasOwn(fields, name)) mismatch(`${within}${name}`, 'no such field')
    }
    const result: DecodedValue = {}
    for (const [name, field] of entries) {
      // Not the prototype's: a record without the field must not find one there.
      const inner = Object.hasOwn(given, name) ? given[name] : undefined
      if ((inner === undefined || inner === null) && field.fallback !== undefined)
        result[name] = field.fallback
      else if (inner === undefined) mismatch(`${within}${name}`, 'a value')
      else result[name] = field.read(inner, `${within}${name}`)
    }
    return result
  }
}

const KINDS = ['post', 'authorize', 'capture', 'void', 'reverse', 'exchange']

const common = {
  id: required(text),
  source: optional(text, ''),
  kind: optional(wordOf(KINDS), 'post'),
  parentId: optional(text),
  parentSource: optional(text),
  card: optional(text),
  merchant: optional(text),
  terminal: optional(text),
  device: optional(text),
  country: optional(text),
  endToEndId: optional(text),
  uetr: optional(text),
  valueTime: optional(time),
  occurredAt: optional(time),
  expiresAt: optional(time),
  actor: optional(text, ''),
  metadata: optional(stringMap, Object.freeze({})),
  after: optional(record({ topic: required(text), partition: required(small), offset: required(whole) })),
}

const posting = record({
  debit: required(accountId),
  credit: required(accountId),
  amount: required(whole),
  currency: required(text),
})

const transaction = record({ ...common, postings: optional(listOf(posting), Object.freeze([])) })
const flatTransaction = record({
  ...common,
  from: required(accountId),
  to: required(accountId),
  amount: required((value) => value),
  currency: required(text),
})

const READERS: Readonly<Record<IngestTopicName, Reader>> = {
  transactions: (value, path) => {
    const given = objectOf(value, path)
    return Object.hasOwn(given, 'from') || Object.hasOwn(given, 'to')
      ? fromFlat(flatTransaction(given, path) as DecodedValue)
      : transaction(given, path)
  },
  accounts: record({
    action: required(wordOf(['open', 'freeze', 'unfreeze', 'close', 'set_limit'])),
    accountId: required(accountId),
    currency: optional(text),
    accountClass: optional(oneOf([...ACCOUNT_CLASSES]), 'customer'),
    normalSide: optional(oneOf(['debit', 'credit']), 'credit'),
    limited: optional(flag, true),
    overdraftLimit: optional(whole, 0n),
    reversalMayOverdraw: optional(flag, false),
    actor: optional(text, ''),
    occurredAt: optional(time),
  }),
  cards: record({
    action: required(wordOf(['issue', 'block', 'unblock', 'cancel', 'set_limits'])),
    card: required(text),
    accountId: optional(accountId),
    expiresAt: optional(time),
    transactionLimit: optional(whole),
    dailyLimit: optional(whole),
    actor: optional(text, ''),
    occurredAt: optional(time),
  }),
  reviews: record({
    transactionId: required(text),
    source: optional(text, ''),
    decision: required(wordOf(['release', 'decline'])),
    reason: optional(text, ''),
    actor: required(text),
    occurredAt: optional(time),
  }),
  'fraud.labels': record({
    transactionId: required(text),
    source: optional(text, ''),
    verdict: required(wordOf(['fraud', 'genuine'])),
    reason: optional(text, ''),
    actor: required(text),
    occurredAt: optional(time),
  }),
  rules: record({
    ruleId: required(text),
    type: required(
      wordOf([
        'amount_limit',
        'velocity_count',
        'velocity_sum',
        'history_horizon',
        'id_horizon',
        'rulebook_proposal',
        'rulebook',
        'second_reviewer',
      ]),
    ),
    currency: optional(text),
    threshold: required(whole),
    windowMs: optional(whole, 0n),
    action: required(wordOf(['alert', 'hold', 'reject'])),
    enabled: optional(flag, true),
    definition: optional(text),
    approves: optional(whole),
    actor: optional(text, ''),
    occurredAt: optional(time),
  }),
  commands: record({
    id: required(text),
    kind: required(text),
    subject: required(text),
    parameters: optional(stringMap, Object.freeze({})),
    actor: required(text),
    reason: optional(text),
    occurredAt: optional(time),
  }),
  ticks: record({
    time: required(time),
    ends: required(
      listOf(record({ topic: required(text), partition: required(small), end: required(whole) })),
    ),
    actor: optional(text, ''),
  }),
}

/** Most decimals of any currency. */
const EXPONENT_MAX = 4

/** The flat form: one posting, the amount in major units of its currency. */
const fromFlat = (flat: DecodedValue): DecodedValue => {
  const { from, to, amount, currency, ...rest } = flat
  if (typeof amount !== 'number' && typeof amount !== 'string')
    return mismatch('amount', 'a number or a decimal string')
  // An unknown currency is for validation to reject; any exponent that keeps the amount's sign serves until then.
  const exponent = currencyByCode(currency as string)?.exponent ?? EXPONENT_MAX
  const amountMinor = parseDecimalAmount(amount, exponent)
  if (amountMinor === null || amountMinor !== BigInt.asIntN(64, amountMinor)) {
    return mismatch('amount', `a decimal with at most ${exponent} decimals`)
  }
  return { ...rest, postings: [{ debit: from, credit: to, amount: amountMinor, currency }] }
}

/**
 * Parses and checks a JSON record. Fields that may be absent are null or their default, also `occurredAt`.
 * @throws Unreadable with the reason, and the path of the field where there is one
 */
export const parseJsonRecord = (topic: IngestTopicName, bytes: Buffer): DecodedValue =>
  READERS[topic](parse(decodeText(bytes)), '') as DecodedValue

const decodeText = (bytes: Buffer): string => {
  try {
    return decoder.decode(bytes)
  } catch {
    throw new Unreadable('encoding_invalid', 'expected UTF-8')
  }
}

/** Numbers of 15 digits are exact in a double: only longer ones and those with an exponent are worth a look at each number. */
const MAY_BE_INEXACT = /\d[\d.]{15}|\d[eE]/

/** Whoever wrote a number that a double can't hold meant another one than would be read. */
const refuseInexact = (name: string, value: unknown, context?: { source?: string }): unknown => {
  const source = context?.source
  if (typeof value !== 'number' || source === undefined || isExact(source, value)) return value
  return mismatch(name.slice(0, 64), 'a number that is exact in 15 digits, or a string')
}

const parse = (json: string): unknown => {
  const { depth, members } = jsonShape(json)
  if (depth > DEPTH_MAX) {
    throw new Unreadable('json_too_deep', `expected at most ${DEPTH_MAX} levels`)
  }
  try {
    const parsed: unknown = MAY_BE_INEXACT.test(json) ? JSON.parse(json, refuseInexact) : JSON.parse(json)
    if (membersOf(parsed) === members) return parsed
    throw new Unreadable('json_invalid', 'expected each name once in an object')
  } catch (error) {
    if (error instanceof Unreadable) throw error
    // The parser's own message quotes the record.
    throw new Unreadable('json_invalid', 'expected one JSON value')
  }
}
