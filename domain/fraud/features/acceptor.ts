/** What is kept of a terminal, or of a merchant where no terminal is told: activity, usual amounts, and what labels said of it. */
import { ByteReader, ByteWriter } from './bytes.ts'
import { DAY_MS, type Feedback, newFeedback, readFeedback, writeFeedback } from './feedback.ts'
import { addToHabit, type Habit, newHabit, readHabit, writeHabit } from './habit.ts'
import { addAt, type CounterWindow, newWindow, place, readWindow, writeWindow } from './window.ts'

const DAY = { bucketMs: 3_600_000, buckets: 24, columns: 2 }
const MONTH = { bucketMs: DAY_MS, buckets: 31, columns: 2 }
/** Columns of both windows: payments taken, payments refused. */
export const TAKEN = 0
export const REFUSED = 1

export interface AcceptorState {
  readonly day: CounterWindow
  readonly month: CounterWindow
  readonly habit: Habit
  readonly feedback: Feedback
}

/** Nothing known yet. */
export const newAcceptor = (): AcceptorState => ({
  day: newWindow(DAY),
  month: newWindow(MONTH),
  habit: newHabit(),
  feedback: newFeedback(),
})

/** Notes a payment there, in place. @param amount minor units @param at event time, ms since 1970; before that it isn't noted */
export const noteAcceptance = (
  acceptor: AcceptorState,
  { amount, at, isDeclined }: { amount: number; at: number; isDeclined: boolean },
): void => {
  if (at < 0) return
  for (const window of [acceptor.day, acceptor.month]) {
    const start = place(window, at)
    if (start >= 0) addAt(window, start + (isDeclined ? REFUSED : TAKEN), 1)
  }
  if (!isDeclined) addToHabit(acceptor.habit, amount)
}

const ENCODING_VERSION = 1
const writer = new ByteWriter()

/** Bytes of a terminal: version 1; windows (day, month), habit, feedback. Never more than 3 KiB. */
export const encodeAcceptor = (acceptor: AcceptorState): Buffer => {
  writer.byte(ENCODING_VERSION)
  writeWindow(acceptor.day, writer)
  writeWindow(acceptor.month, writer)
  writeHabit(acceptor.habit, writer)
  writeFeedback(acceptor.feedback, writer)
  return writer.finish()
}

/** @throws Error where the bytes are of another version, cut, or too long */
export const decodeAcceptor = (bytes: Uint8Array): AcceptorState => {
  const reader = new ByteReader(bytes)
  const version = reader.byte()
  if (version !== ENCODING_VERSION) throw new Error(`acceptor state: unknown version ${version}`)
  const acceptor: AcceptorState = {
    day: readWindow(DAY, reader),
    month: readWindow(MONTH, reader),
    habit: readHabit(reader),
    feedback: readFeedback(reader),
  }
  reader.end()
  return acceptor
}
