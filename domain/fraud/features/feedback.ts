/**
 * What labels said about earlier payments at a terminal or of an account, by the day of the payment. A label of a day is used from
 * the start of the day LABEL_DELAY_DAYS later on, whoever brings it: that is when chargebacks and customers' reports are in.
 *
 * A fraud whose amount was unusual for its payer speaks of the payer (a stolen card); an ordinary one speaks of the terminal.
 */
import type { ByteReader, ByteWriter } from './bytes.ts'
import { addAt, bucketOf, type CounterWindow, inBucket, newWindow, place, readWindow } from './window.ts'
import { writeWindow } from './window.ts'

export const DAY_MS = 86_400_000
/** A label of day d is used from 00:00 UTC of day d + 7. */
export const LABEL_DELAY_DAYS = 7
/** How far back payments are looked at, days from the first usable one. */
const DAYS = 40
const SHAPE = { bucketMs: DAY_MS, buckets: DAYS + LABEL_DELAY_DAYS + 1, columns: 3 }
const GENUINE = 0
const ORDINARY_FRAUD = 1
const UNUSUAL_FRAUD = 2

export type Feedback = CounterWindow

export interface Label {
  /** Event time of the payment, ms since 1970. */
  readonly at: number
  readonly isFraud: boolean
  /** Whether the payment's amount was unusual for its payer when it was decided. */
  readonly wasUnusual: boolean
}

/** What the labels that are usable at a time come to. */
export interface Evidence {
  /** Labelled payments of the last 28 usable days. */
  readonly labelled: number
  readonly ordinaryFrauds: number
  readonly unusualFrauds: number
  /** Ordinary frauds since the last day that had none but genuine payments: whether it is still going on. */
  readonly runFrauds: number
  /** Days from the first of these to now. */
  readonly runDays: number
  /** Genuine payments after the last ordinary fraud; 0 where there was none. */
  readonly genuineSince: number
  /** Days from the first ordinary fraud that is remembered to now; 0 where there was none. */
  readonly firstFraudDays: number
}

const NO_EVIDENCE: Evidence = Object.freeze({
  labelled: 0,
  ordinaryFrauds: 0,
  unusualFrauds: 0,
  runFrauds: 0,
  runDays: 0,
  genuineSince: 0,
  firstFraudDays: 0,
})
const RECENT_DAYS = 28

/** No labels yet. */
export const newFeedback = (): Feedback => newWindow(SHAPE)

/** Adds a label; late ones count for the day of their payment. */
export const addLabel = (feedback: Feedback, label: Label): void => {
  const start = place(feedback, label.at)
  if (start < 0) return
  addAt(feedback, start + columnOf(label), 1)
}

/** Takes a label back that turned out wrong; nothing where it isn't remembered any more. */
export const removeLabel = (feedback: Feedback, label: Label): void => {
  const start = place(feedback, label.at)
  if (start < 0) return
  const cell = start + columnOf(label)
  feedback.cells[cell] = Math.max(0, feedback.cells[cell]! - 1)
}

const columnOf = ({ isFraud, wasUnusual }: Label): number =>
  isFraud ? (wasUnusual ? UNUSUAL_FRAUD : ORDINARY_FRAUD) : GENUINE

/** What the labels usable at a time say. @param at ms since 1970 */
export const evidenceAt = (feedback: Feedback, at: number): Evidence => {
  if (feedback.newest < 0) return NO_EVIDENCE
  const today = bucketOf(feedback, at)
  const last = today - LABEL_DELAY_DAYS
  const from = Math.max(0, last - DAYS + 1, feedback.newest - SHAPE.buckets + 1)
  const found = { ...NO_EVIDENCE } as { -readonly [Key in keyof Evidence]: number }
  let genuineSeen = 0
  let isRunning = true
  for (let day = Math.min(last, feedback.newest); day >= from; day--) {
    const genuine = inBucket(feedback, day, GENUINE)
    const ordinary = inBucket(feedback, day, ORDINARY_FRAUD)
    if (last - day < RECENT_DAYS) {
      const unusual = inBucket(feedback, day, UNUSUAL_FRAUD)
      found.labelled += genuine + ordinary + unusual
      found.ordinaryFrauds += ordinary
      found.unusualFrauds += unusual
    }
    if (ordinary > 0) {
      if (found.firstFraudDays === 0) found.genuineSince = genuineSeen
      found.firstFraudDays = today - day
      if (isRunning) {
        found.runFrauds += ordinary
        found.runDays = today - day
      }
    }
    genuineSeen += genuine
    if (genuine > 0) isRunning = false
  }
  return found
}

/** As writeWindow. */
export const writeFeedback = (feedback: Feedback, writer: ByteWriter): void => writeWindow(feedback, writer)

/** @throws Error where the bytes are none of writeFeedback */
export const readFeedback = (reader: ByteReader): Feedback => readWindow(SHAPE, reader)
