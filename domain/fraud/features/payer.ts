/** What is kept of an account or a card as the one who pays: activity, habits, whom it pays, and what labels said of it. */
import { type Acquaintances, meet, newAcquaintances, readAcquaintances } from './acquaintances.ts'
import { writeAcquaintances } from './acquaintances.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { DAY_MS, type Feedback, newFeedback, readFeedback, writeFeedback } from './feedback.ts'
import { addToHabit, type Habit, newHabit, percentOfUsual, readHabit, writeHabit } from './habit.ts'
import { addAt, type CounterWindow, newWindow, place, readWindow, writeWindow } from './window.ts'

const HOUR = { bucketMs: 300_000, buckets: 12, columns: 3 }
const DAY = { bucketMs: 3_600_000, buckets: 24, columns: 4 }
const MONTH = { bucketMs: DAY_MS, buckets: 31, columns: 6 }

/** Columns of all three windows. */
export const COUNT = 0
export const SUM = 1
/** Of them those that were refused. */
export const DECLINED = 2
/** Of day and month: what came in, minor units. */
export const RECEIVED = 3
/** Of the month alone: payments whose amount was unusual, and those to somebody new. */
export const UNUSUAL = 4
export const NEW_COUNTERPARTIES = 5

/** From this percentage of the usual amount on, a payment is unusual, once there is some history. */
const UNUSUAL_PERCENT = 250
const UNUSUAL_FROM_PAYMENTS = 4

export interface PayerState {
  readonly hour: CounterWindow
  readonly day: CounterWindow
  readonly month: CounterWindow
  readonly habit: Habit
  readonly met: Acquaintances
  readonly feedback: Feedback
  /** Event time of the first and the newest payment, ms since 1970; -1 where there was none. */
  firstAt: number
  lastAt: number
  /** Where the newest payment was made (countryNumber); 0 = not known. */
  country: number
}

export interface Payment {
  /** Minor units. */
  readonly amount: number
  /** Event time, ms since 1970. */
  readonly at: number
  /** nameHash of who is paid; null where there is none. */
  readonly counterparty: number | null
  readonly country: number
  readonly isNewCounterparty: boolean
  /** Refused payments are counted as tries; they change neither habits nor acquaintances. */
  readonly isDeclined: boolean
}

/** Nothing known yet. */
export const newPayer = (): PayerState => ({
  hour: newWindow(HOUR),
  day: newWindow(DAY),
  month: newWindow(MONTH),
  habit: newHabit(),
  met: newAcquaintances(),
  feedback: newFeedback(),
  firstAt: -1,
  lastAt: -1,
  country: 0,
})

/** Whether an amount is unusual for a payer. */
export const isUnusual = (payer: PayerState, amount: number): boolean =>
  payer.habit.count >= UNUSUAL_FROM_PAYMENTS && percentOfUsual(payer.habit, amount) >= UNUSUAL_PERCENT

/** Notes a payment, in place; before 1970 it isn't. */
export const notePayment = (payer: PayerState, payment: Payment): void => {
  const { amount, at, isDeclined } = payment
  if (at < 0) return
  for (const window of [payer.hour, payer.day, payer.month]) {
    const start = place(window, at)
    if (start < 0) continue
    addAt(window, start + COUNT, 1)
    addAt(window, start + SUM, amount)
    if (isDeclined) addAt(window, start + DECLINED, 1)
    if (window !== payer.month) continue
    if (isUnusual(payer, amount)) addAt(window, start + UNUSUAL, 1)
    if (payment.isNewCounterparty) addAt(window, start + NEW_COUNTERPARTIES, 1)
  }
  if (isDeclined) return
  addToHabit(payer.habit, amount)
  if (payment.counterparty !== null) meet(payer.met, at, payment.counterparty)
  if (payer.firstAt < 0 || at < payer.firstAt) payer.firstAt = at
  if (at < payer.lastAt) return
  payer.lastAt = at
  if (payment.country !== 0) payer.country = payment.country
}

/** Notes money that came in. @param amount minor units @param at event time, ms since 1970 */
export const noteReceipt = (payer: PayerState, amount: number, at: number): void => {
  for (const window of [payer.day, payer.month]) {
    const start = place(window, at)
    if (start >= 0) addAt(window, start + RECEIVED, amount)
  }
}

/** ISO 3166-1 alpha-2 as a number from 1 to 676; 0 where it is none. */
export const countryNumber = (country: string | null): number => {
  if (country === null || !/^[A-Z]{2}$/.test(country)) return 0
  return (country.charCodeAt(0) - 65) * 26 + country.charCodeAt(1) - 64
}

/** First byte of encodePayer; 1 was a profile of two windows. */
export const PAYER_VERSION = 2
const writer = new ByteWriter()

/**
 * Bytes of a payer: version 2; windows (hour, day, month), habit, acquaintances, feedback, first and last time + 1, country.
 * About 60 bytes after one payment, 400 after a busy month; never more than 6 KiB.
 */
export const encodePayer = (payer: PayerState): Buffer => {
  writer.byte(PAYER_VERSION)
  for (const window of [payer.hour, payer.day, payer.month]) writeWindow(window, writer)
  writeHabit(payer.habit, writer)
  writeAcquaintances(payer.met, writer)
  writeFeedback(payer.feedback, writer)
  for (const number of [payer.firstAt + 1, payer.lastAt + 1, payer.country]) writer.number(number)
  return writer.finish()
}

/** @throws Error where the bytes are of another version, cut, or too long */
export const decodePayer = (bytes: Uint8Array): PayerState => {
  const reader = new ByteReader(bytes)
  const version = reader.byte()
  if (version !== PAYER_VERSION) throw new Error(`payer state: unknown version ${version}`)
  const payer: PayerState = {
    hour: readWindow(HOUR, reader),
    day: readWindow(DAY, reader),
    month: readWindow(MONTH, reader),
    habit: readHabit(reader),
    met: readAcquaintances(reader),
    feedback: readFeedback(reader),
    firstAt: reader.number() - 1,
    lastAt: reader.number() - 1,
    country: reader.number(),
  }
  reader.end()
  return payer
}
