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
  /** (bucket number modulo buckets) × columns + column; none until something is recorded. */
  cells: number[]
}

/** An empty window. */
export const newWindow = (shape: WindowShape): CounterWindow => ({
  shape,
  newest: -1,
  cells: NO_CELLS,
})

// An account without labels has no cells for them: most have none.
const NO_CELLS: number[] = []
const newCells = ({ buckets, columns }: WindowShape): number[] => new Array<number>(buckets * columns).fill(0)

/** Number of the bucket that a time lies in. @param at ms since 1970 */
export const bucketOf = (window: CounterWindow, at: number): number => Math.floor(at / window.shape.bucketMs)

/**
 * Makes room for a time: the window moves on where it is newer than all before.
 * @param at ms since 1970
 * @returns where the bucket's cells begin; -1 where the time is before 1970 or older than the window
 */
export const place = (window: CounterWindow, at: number): number => {
  const { buckets, columns } = window.shape
  const bucket = bucketOf(window, at)
  if (bucket < 0) return -1
  if (window.newest >= 0 && bucket <= window.newest - buckets) return -1
  if (bucket > window.newest) {
    if (window.newest < 0) {
      window.cells = newCells(window.shape)
    } else {
      // The places of the buckets in between still hold what was one round ago.
      for (let skipped = Math.max(window.newest + 1, bucket - buckets + 1); skipped <= bucket; skipped++)
        window.cells.fill(0, (skipped % buckets) * columns, ((skipped % buckets) + 1) * columns)
    }
    window.newest = bucket
  }
  return (bucket % buckets) * columns
}

/** Adds to a cell; stops at 2^53 − 1. */
export const addAt = (window: CounterWindow, cell: number, amount: number): void => {
  window.cells[cell] = Math.min(Number.MAX_SAFE_INTEGER, window.cells[cell]! + amount)
}

/**
 * The total of a column over the last buckets up to the time's own; later ones don't count.
 * @param back how many buckets, that of `at` included
 */
export const total = (window: CounterWindow, at: number, column: number, back: number): number => {
  const { buckets, columns } = window.shape
  const last = bucketOf(window, at)
  const from = Math.max(last - back + 1, window.newest - buckets + 1, 0)
  const to = Math.min(last, window.newest)
  let sum = 0
  for (let bucket = from; bucket <= to; bucket++) sum += window.cells[(bucket % buckets) * columns + column]!
  return Math.min(sum, Number.MAX_SAFE_INTEGER)
}

/** A column's number in one bucket, 0 where the window doesn't hold it. @param bucket its number (bucketOf) */
export const inBucket = (window: CounterWindow, bucket: number, column: number): number => {
  const { buckets, columns } = window.shape
  if (bucket < 0 || bucket > window.newest || bucket <= window.newest - buckets) return 0
  return window.cells[(bucket % buckets) * columns + column]!
}

/**
 * Writes a window: the newest bucket's number + 1 (0 = empty, nothing follows), then a bit set of the buckets that hold something
 * (bit 0 = newest, low byte first, trailing zero bytes left out, its length first), then their cells, newest bucket first.
 */
export const writeWindow = (window: CounterWindow, writer: ByteWriter): void => {
  const { buckets, columns } = window.shape
  writer.number(window.newest + 1)
  if (window.newest < 0) return
  const last = Math.min(buckets - 1, window.newest)
  let oldest = -1
  for (let age = last; age >= 0 && oldest < 0; age--) if (holds(window, age)) oldest = age
  writer.number((oldest + 8) >> 3)
  for (let first = 0; first <= oldest; first += 8) {
    let byte = 0
    for (let bit = 0; bit < 8 && first + bit <= oldest; bit++)
      if (holds(window, first + bit)) byte |= 1 << bit
    writer.byte(byte)
  }
  for (let age = 0; age <= oldest; age++) {
    if (!holds(window, age)) continue
    const start = startOf(window, age)
    for (let column = 0; column < columns; column++) writer.number(window.cells[start + column]!)
  }
}

/** Reads what writeWindow wrote. @throws Error where the bytes are none of its own */
export const readWindow = (shape: WindowShape, reader: ByteReader): CounterWindow => {
  const window = newWindow(shape)
  window.newest = reader.number() - 1
  if (window.newest < 0) return window
  const bytes = reader.number()
  window.cells = newCells(shape)
  if (bytes > (shape.buckets + 7) >> 3) throw new Error(`feature state: ${bytes} bytes of bucket bits`)
  const bits: number[] = []
  for (let read = 0; read < bytes; read++) bits.push(reader.byte())
  for (let age = 0; age < bytes * 8; age++) {
    if ((bits[age >> 3]! & (1 << (age & 7))) === 0) continue
    if (age >= shape.buckets || age > window.newest) throw new Error('feature state: a bucket out of range')
    const start = startOf(window, age)
    for (let column = 0; column < shape.columns; column++) window.cells[start + column] = reader.number()
  }
  return window
}

const startOf = ({ newest, shape }: CounterWindow, age: number): number =>
  ((newest - age) % shape.buckets) * shape.columns

const holds = (window: CounterWindow, age: number): boolean => {
  const start = startOf(window, age)
  for (let column = 0; column < window.shape.columns; column++)
    if (window.cells[start + column] !== 0) return true
  return false
}
