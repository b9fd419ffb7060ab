/** The shapes that make a mock stream look like a real one: hot accounts, amounts, the rhythm of a day. */
import type { Random } from './random.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Draws ranks 0..count-1 with probability proportional to 1 / (rank + 1)^exponent (Zipf's law): few hot ones, a long tail. */
export class Zipf {
  readonly #cumulative: Float64Array

  constructor(count: number, exponent: number) {
    this.#cumulative = new Float64Array(count)
    let sum = 0
    for (let rank = 0; rank < count; rank += 1) {
      sum += 1 / (rank + 1) ** exponent
      this.#cumulative[rank] = sum
    }
  }

  draw(random: Random): number {
    const target = random.unit() * this.#cumulative.at(-1)!
    let low = 0
    let high = this.#cumulative.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#cumulative[middle]! > target) high = middle
      else low = middle + 1
    }
    return low
  }
}

/** Log-normal: `median` and the standard deviation of the logarithm. Payments of people fit about 1.1. */
export const logNormal = (random: Random, median: number, sigma: number): number =>
  median * Math.exp(sigma * random.normal())

/** Share of a day's payments by hour, local time: quiet nights, peaks at noon and in the evening. Whole numbers, only their ratio counts. */
const HOURLY = [8, 5, 3, 2, 2, 4, 9, 20, 34, 42, 48, 56, 64, 58, 50, 48, 50, 58, 66, 60, 46, 34, 22, 14]
const HOURLY_SUM = HOURLY.reduce((sum, weight) => sum + weight, 0)

/** The time of day, ms, before which the given share (0 to 1) of a day's payments happen. */
export function timeOfDayAt(share: number): number {
  let left = share * HOURLY_SUM
  for (const [hour, weight] of HOURLY.entries()) {
    if (left < weight) return (hour + left / weight) * HOUR_MS
    left -= weight
  }
  return DAY_MS - 1
}

/**
 * Event times that rise from `endMs - days` to `endMs` with the rhythm of the day.
 * @param progress 0 to 1 @returns ms since 1970 UTC
 */
export function eventTimeAt(progress: number, days: number, endMs: number): number {
  const at = progress * days
  const day = Math.min(Math.floor(at), days - 1)
  return Math.floor(endMs - days * DAY_MS + day * DAY_MS + timeOfDayAt(at - day))
}

/** A test card number: an issuer's prefix, random digits, a valid Luhn digit (ISO/IEC 7812-1 annex B). Belongs to nobody on purpose. */
export function cardNumber(random: Random): string {
  let digits = random.pick(['4', '51', '55', '6011', '37'])
  const length = digits === '37' ? 15 : 16
  while (digits.length < length - 1) digits += String(random.integer(0, 9))
  let sum = 0
  for (let place = 0; place < digits.length; place += 1) {
    // Counted from the right, the check digit being place 1: every second one is doubled.
    const digit = Number(digits[digits.length - 1 - place])
    const doubled = digit * 2
    sum += place % 2 === 0 ? (doubled > 9 ? doubled - 9 : doubled) : digit
  }
  return digits + String((10 - (sum % 10)) % 10)
}
