/**
 * What is kept of an account's activity for velocity rules: count and sum of its payments by event time, in buckets.
 *
 * Two windows: an hour in 12 buckets of 5 minutes, a day in 24 buckets of an hour. A window ends with the bucket of the
 * transaction that is looked at, so it reaches back between 11/12 (23/24) of its length and all of it. Integers only; sums
 * stop at 2^53 − 1 minor units, above any threshold that a rule may have. One account has one currency, so one sum.
 */

export interface ActivityWindow {
  readonly bucketMs: number
  /** Number (event time / bucketMs) of the newest bucket; -1 where nothing was recorded. */
  newest: number
  /** By bucket number modulo the number of buckets. */
  readonly counts: number[]
  readonly sums: number[]
}

export interface AccountProfile {
  readonly hour: ActivityWindow
  readonly day: ActivityWindow
}

export interface Activity {
  readonly count: number
  /** Minor units. */
  readonly sum: number
}

const HOUR = { bucketMs: 300_000, buckets: 12 }
const DAY = { bucketMs: 3_600_000, buckets: 24 }
const NOTHING = -1

const newWindow = (shape: { bucketMs: number; buckets: number }): ActivityWindow => ({
  bucketMs: shape.bucketMs,
  newest: NOTHING,
  counts: new Array<number>(shape.buckets).fill(0),
  sums: new Array<number>(shape.buckets).fill(0),
})

/** The profile of an account without activity. */
export const newProfile = (): AccountProfile => ({ hour: newWindow(HOUR), day: newWindow(DAY) })

/**
 * Adds a payment to the profile, in place. Late ones land in their bucket while the window holds it, then they are dropped.
 * @param occurredAt event time, ms since 1970; before that it is not counted
 * @param amountMinor minor units, not negative
 */
export const recordActivity = (profile: AccountProfile, occurredAt: number, amountMinor: bigint): void => {
  if (occurredAt < 0) return
  const amount = Number(amountMinor)
  record(profile.hour, occurredAt, amount)
  record(profile.day, occurredAt, amount)
}

const record = (window: ActivityWindow, occurredAt: number, amount: number): void => {
  const { counts, sums } = window
  const buckets = counts.length
  const number = Math.floor(occurredAt / window.bucketMs)
  if (window.newest !== NOTHING && number <= window.newest - buckets) return
  if (number > window.newest) {
    // The places of the buckets in between still hold what was a window ago.
    const first =
      window.newest === NOTHING ? number - buckets + 1 : Math.max(window.newest + 1, number - buckets + 1)
    for (let skipped = Math.max(0, first); skipped <= number; skipped++) {
      counts[skipped % buckets] = 0
      sums[skipped % buckets] = 0
    }
    window.newest = number
  }
  const place = number % buckets
  counts[place] = counts[place]! + 1
  sums[place] = Math.min(Number.MAX_SAFE_INTEGER, sums[place]! + amount)
}

/**
 * What the window that ends with the bucket of `occurredAt` holds. Later buckets don't count: a late record is judged by
 * what came before it.
 */
export const activityUpTo = (window: ActivityWindow, occurredAt: number): Activity => {
  const buckets = window.counts.length
  const last = Math.floor(occurredAt / window.bucketMs)
  const to = Math.min(last, window.newest)
  const from = Math.max(last - buckets + 1, window.newest - buckets + 1, 0)
  let count = 0
  let sum = 0
  for (let number = from; number <= to; number++) {
    count += window.counts[number % buckets]!
    sum = Math.min(Number.MAX_SAFE_INTEGER, sum + window.sums[number % buckets]!)
  }
  return { count, sum }
}

const ENCODING_VERSION = 1
/** One version byte; per window a varint, a bit set of at most 4 bytes, and per bucket two varints of at most 8 bytes. */
const ENCODED_LENGTH_MAX = 1 + 2 * (8 + 4) + (HOUR.buckets + DAY.buckets) * 16
// One buffer for all: encoding is synchronous, and what it made is copied out.
const scratch = Buffer.allocUnsafeSlow(ENCODED_LENGTH_MAX)

/**
 * Bytes of a profile: version 1; per window the newest bucket's number + 1 as varint (0 = nothing and the window ends here),
 * a varint of bits (bit 0 = newest bucket, 1 = the one before, …) for the buckets that aren't empty, and for each of them,
 * newest first, count and sum as varints (7 bits a byte, low first). About 20 bytes for an account with one payment.
 */
export const encodeProfile = (profile: AccountProfile): Buffer => {
  scratch[0] = ENCODING_VERSION
  const end = encodeWindow(profile.day, encodeWindow(profile.hour, 1))
  return Buffer.from(scratch.subarray(0, end))
}

const encodeWindow = (window: ActivityWindow, start: number): number => {
  let at = writeVarint(start, window.newest + 1)
  if (window.newest === NOTHING) return at
  const { counts, sums, newest } = window
  const buckets = counts.length
  const reach = Math.min(buckets, newest + 1)
  let used = 0
  for (let age = 0; age < reach; age++) if (counts[(newest - age) % buckets] !== 0) used |= 1 << age
  at = writeVarint(at, used)
  for (let age = 0; age < reach; age++) {
    if ((used & (1 << age)) === 0) continue
    const place = (newest - age) % buckets
    at = writeVarint(at, counts[place]!)
    at = writeVarint(at, sums[place]!)
  }
  return at
}

const writeVarint = (start: number, value: number): number => {
  let at = start
  let rest = value
  // Beyond 31 bits the bit operators are wrong; division is exact below 2^53.
  while (rest > 0x7f_ff_ff_ff) {
    scratch[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  while (rest > 127) {
    scratch[at++] = (rest & 127) | 0x80
    rest >>>= 7
  }
  scratch[at++] = rest
  return at
}

/** The profile of bytes that encodeProfile made. @throws Error where they are of another version or cut */
export const decodeProfile = (bytes: Uint8Array): AccountProfile => {
  if (bytes[0] !== ENCODING_VERSION) throw new Error(`account profile: unknown version ${bytes[0]}`)
  const profile = newProfile()
  const end = decodeWindow(profile.day, bytes, decodeWindow(profile.hour, bytes, 1))
  if (end !== bytes.length) throw new Error(`account profile: ${bytes.length} bytes, read ${end}`)
  return profile
}

/** Where the last readVarint ended. */
let readEnd = 0

const decodeWindow = (window: ActivityWindow, bytes: Uint8Array, start: number): number => {
  const newest = readVarint(bytes, start) - 1
  if (newest === NOTHING) return readEnd
  window.newest = newest
  const buckets = window.counts.length
  const used = readVarint(bytes, readEnd)
  for (let age = 0; age < buckets; age++) {
    if ((used & (1 << age)) === 0) continue
    const place = (newest - age) % buckets
    window.counts[place] = readVarint(bytes, readEnd)
    window.sums[place] = readVarint(bytes, readEnd)
  }
  return readEnd
}

const readVarint = (bytes: Uint8Array, start: number): number => {
  let value = 0
  let factor = 1
  let at = start
  for (;;) {
    const byte = bytes[at]
    if (byte === undefined || at - start > 7)
      throw new Error('account profile: the bytes end within a number')
    at += 1
    value += (byte & 127) * factor
    if (byte < 128) break
    factor *= 128
  }
  readEnd = at
  return value
}
