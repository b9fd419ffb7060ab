/** Exact conversion between decimal amounts in major units and integers in minor units. No floating point arithmetic on the way. */

/** Longest decimal text that is read: far above any amount that is accepted, short enough to stay cheap. */
const DECIMAL_TEXT_LENGTH_MAX = 40
/** Digits that a double holds exactly: every decimal of up to 15 digits survives text → double → shortest text. */
const EXACT_DIGITS_MAX = 15
/** JSON numbers above this many minor units are refused: the double may stand for a neighbour of what was written. */
const NUMBER_MINOR_MAX = 1_000_000_000_000_000n

/** By exponent; spelt out, so that no power function is asked. */
const POWERS_OF_TEN = [1, 10, 100, 1_000, 10_000] as const

const ZERO = 48
const NINE = 57
const MINUS = 45
const POINT = 46

/**
 * Reads an amount in major units as an integer in minor units.
 *
 * Text: an optional minus, digits, and optionally a point with 1 to `exponent` digits. No plus, exponent, hex, spaces or
 * grouping; more decimals than the currency has are refused even where they are zeros ("1.000" may mean a thousand).
 * Numbers: taken by their shortest decimal form under the same rule, up to 10^15 minor units.
 * @param exponent decimal places of the currency, 0 to 4
 * @returns minor units, or null where the input is not such an amount
 */
export const parseDecimalAmount = (input: string | number, exponent: number): bigint | null => {
  if (typeof input === 'string') return parseDecimalText(input, exponent)
  // Numbers of 1e21 and above, and those below 1e-6, print with an exponent; NaN and Infinity print as words: none is read.
  const amountMinor = parseDecimalText(String(input), exponent)
  if (amountMinor === null) return null
  return amountMinor > NUMBER_MINOR_MAX || amountMinor < -NUMBER_MINOR_MAX ? null : amountMinor
}

const parseDecimalText = (text: string, exponent: number): bigint | null => {
  const length = text.length
  if (length === 0 || length > DECIMAL_TEXT_LENGTH_MAX) return null
  const negative = text.charCodeAt(0) === MINUS
  const start = negative ? 1 : 0
  let digits = 0
  let pointAt = -1
  let value = 0
  for (let index = start; index < length; index++) {
    const character = text.charCodeAt(index)
    if (character === POINT) {
      if (pointAt !== -1) return null
      pointAt = index
    } else if (character >= ZERO && character <= NINE) {
      digits += 1
      // Exact while there are at most 15 digits; longer texts are read again below.
      value = value * 10 + (character - ZERO)
    } else return null
  }
  const decimals = pointAt === -1 ? 0 : length - pointAt - 1
  if (digits === 0 || pointAt === start || pointAt === length - 1 || decimals > exponent) return null
  const scale = exponent - decimals
  const magnitude =
    digits + scale <= EXACT_DIGITS_MAX
      ? BigInt(value * POWERS_OF_TEN[scale]!)
      : BigInt(text.slice(start).replace('.', '') + '0'.repeat(scale))
  return negative ? -magnitude : magnitude
}

/**
 * Writes minor units as a decimal in major units with exactly `exponent` decimals, for example 1275n and 2 → "12.75".
 * @param exponent decimal places of the currency, 0 to 4
 */
export const formatMinorAmount = (amountMinor: bigint, exponent: number): string => {
  if (exponent === 0) return amountMinor.toString()
  const negative = amountMinor < 0n
  const digits = (negative ? -amountMinor : amountMinor).toString().padStart(exponent + 1, '0')
  const split = digits.length - exponent
  return `${negative ? '-' : ''}${digits.slice(0, split)}.${digits.slice(split)}`
}
