/**
 * Sliding windows over event time: columns of whole numbers (counts, sums of minor units) in buckets of equal length.
 *
 * A window ends with the bucket of the time that is asked for, so that it reaches back between (n − 1)/n of its length and all
 * of it. What comes late lands in its own bucket while the window still holds it, then it is dropped: totals don't depend on the
 * order of arrival within the window, and a late record never sees what happened after it.
 */
import type { ByteReader, ByteWriter } from './bytes.ts'

export interface WindowShape {
  readonly bucketMs: number
  readonly buckets: number
  /** Numbers a bucket. */
  readonly columns: number
}

export interface CounterWindow {
  readonly shape: WindowShape
  /** Number (event time / bucketMs) of the newest bucket; -1 where nothing was recorded. */
  newest: number
  /** Numbers of the buckets that are kept, the oldest first: only those in which something was recorded, which are few for most. */
  buckets: number[]
  /** Their columns, in the same order. */
  cells: number[]
}

/** An empty window. */
export const newWindow = (shape: WindowShape): CounterWindow => ({
  shape,
  newest: -1,
  buckets: [],
  cells: [],
})

/** Number of the bucket that a time lies in. @param at ms since 1970 */
export const bucketOf = (window: CounterWindow, at: number): number => Math.floor(at / window.shape.bucketMs)

/**
 * Makes room for a time: the window moves on where it is newer than all before.
 * @param at ms since 1970
 * @returns where the bucket's cells begin, until the next call; -1 where the time is before 1970 or older than the window
 */
export const place = (window: CounterWindow, at: number): number => {
  const { buckets, columns } = window.shape
  const bucket = bucketOf(window, at)
  if (bucket < 0) return -1
  if (window.newest >= 0 && bucket <= window.newest - buckets) return -1
  if (bucket > window.newest) moveOn(window, bucket)
  let entry = window.buckets.length - 1
  while (entry >= 0 && window.buckets[entry]! > bucket) entry -= 1
  if (entry >= 0 && window.buckets[entry] === bucket) return entry * columns
  entry += 1
  window.buckets.splice(entry, 0, bucket)
  window.cells.splice(entry * columns, 0, ...emptyColumns(columns))
  return entry * columns
}

/** What is too old leaves. */
const moveOn = (window: CounterWindow, newest: number): void => {
  const { buckets, columns } = window.shape
  let old = 0
  while (old < window.buckets.length && window.buckets[old]! <= newest - buckets) old += 1
  if (old > 0) {
    window.buckets.splice(0, old)
    window.cells.splice(0, old * columns)
  }
  window.newest = newest
}

const EMPTY_COLUMNS = Array.from({ length: 8 }, (_, columns) => new Array<number>(columns).fill(0))
const emptyColumns = (columns: number): readonly number[] =>
  EMPTY_COLUMNS[columns] ?? new Array<number>(columns).fill(0)

/** Adds to a cell; stops at 2^53 − 1. */
export const addAt = (window: CounterWindow, cell: number, amount: number): void => {
  window.cells[cell] = Math.min(Number.MAX_SAFE_INTEGER, window.cells[cell]! + amount)
}

/**
 * The total of a column over the last buckets up to the time's own; later ones don't count.
 * @param back how many buckets, that of `at` included
 */
export const total = (window: CounterWindow, at: number, column: number, back: number): number => {
  const { columns } = window.shape
  const last = bucketOf(window, at)
  let sum = 0
  for (let entry = window.buckets.length - 1; entry >= 0; entry -= 1) {
    const bucket = window.buckets[entry]!
    if (bucket > last) continue
    if (bucket <= last - back) break
    sum += window.cells[entry * columns + column]!
  }
  return Math.min(sum, Number.MAX_SAFE_INTEGER)
}

/** A column's number in one bucket, 0 where the window doesn't hold it. @param bucket its number (bucketOf) */
export const inBucket = (window: CounterWindow, bucket: number, column: number): number => {
  const entry = window.buckets.lastIndexOf(bucket)
  return entry < 0 ? 0 : window.cells[entry * window.shape.columns + column]!
}

/**
 * Writes a window: the newest bucket's number + 1 (0 = empty, nothing follows), then a bit set of the buckets that hold something
 * (bit 0 = newest, low byte first, trailing zero bytes left out, its length first), then their cells, newest bucket first.
 */
export const writeWindow = (window: CounterWindow, writer: ByteWriter): void => {
  const { columns } = window.shape
  writer.number(window.newest + 1)
  if (window.newest < 0) return
  let first = 0
  while (first < window.buckets.length && !holds(window, first)) first += 1
  const entries = window.buckets.length
  const bytes = first === entries ? 0 : (window.newest - window.buckets[first]! + 8) >> 3
  writer.number(bytes)
  let entry = entries - 1
  for (let end = 8; end <= bytes * 8; end += 8) {
    let bits = 0
    for (; entry >= first && window.newest - window.buckets[entry]! < end; entry -= 1)
      if (holds(window, entry)) bits |= 1 << ((window.newest - window.buckets[entry]!) & 7)
    writer.byte(bits)
  }
  for (let written = entries - 1; written >= first; written -= 1) {
    if (!holds(window, written)) continue
    for (let column = 0; column < columns; column++) writer.number(window.cells[written * columns + column]!)
  }
}

/** Of the window that is read, newest first. */
const ages = new Uint8Array(256)

/** Reads what writeWindow wrote. @throws Error where the bytes are none of its own */
export const readWindow = (shape: WindowShape, reader: ByteReader): CounterWindow => {
  const window = newWindow(shape)
  window.newest = reader.number() - 1
  if (window.newest < 0) return window
  const bytes = reader.number()
  if (bytes > (shape.buckets + 7) >> 3) throw new Error(`feature state: ${bytes} bytes of bucket bits`)
  let entries = 0
  for (let first = 0; first < bytes * 8; first += 8) {
    for (let bits = reader.byte(); bits !== 0; bits &= bits - 1) {
      const age = first + 31 - Math.clz32(bits & -bits)
      if (age >= shape.buckets || age > window.newest) throw new Error('feature state: a bucket out of range')
      ages[entries++] = age
    }
  }
  if (entries === 0) return window
  const { columns } = shape
  // From the end, which was written first.
  const buckets = new Array<number>(entries).fill(0)
  const cells = new Array<number>(entries * columns).fill(0)
  for (let entry = entries - 1; entry >= 0; entry -= 1) {
    buckets[entry] = window.newest - ages[entries - 1 - entry]!
    const start = entry * columns
    for (let column = 0; column < columns; column++) cells[start + column] = reader.number()
  }
  window.buckets = buckets
  window.cells = cells
  return window
}

const holds = (window: CounterWindow, entry: number): boolean => {
  const { columns } = window.shape
  for (let column = 0; column < columns; column++)
    if (window.cells[entry * columns + column] !== 0) return true
  return false
}
