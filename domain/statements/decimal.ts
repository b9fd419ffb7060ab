/**
 * Exact decimals. Statements write more decimals than a currency's minor unit has (camt allows five, OFX any number), and
 * some say no currency at all, so amounts stay as digits and scale until an account decides about minor units.
 */

/** The number `digits` / 10^`scale`. */
export interface Decimal {
  readonly digits: bigint
  /** Decimal places, 0 or more. */
  readonly scale: number
}

/** Longest text that is read as a number: above any amount of any format, short enough to stay cheap. */
const TEXT_LENGTH_MAX = 60

export const ZERO: Decimal = { digits: 0n, scale: 0 }

/** By decimal mark. Digits may be absent on one side of the mark (",50", "12,"), never on both; a sign may lead. */
const PATTERNS = {
  '.': /^([+-])?(\d*)(?:\.(\d*))?$/,
  ',': /^([+-])?(\d*)(?:,(\d*))?$/,
  '.,': /^([+-])?(\d*)(?:[.,](\d*))?$/,
} as const

/** Reads a decimal with the given mark (`.,`: either); null where the text is not one. No grouping, no exponent, no blanks. */
export function parseDecimal(text: string, mark: keyof typeof PATTERNS): Decimal | null {
  if (text.length > TEXT_LENGTH_MAX) return null
  const match = PATTERNS[mark].exec(text)
  if (match === null) return null
  const [, sign, whole = '', fraction = ''] = match
  if (whole === '' && fraction === '') return null
  const digits = BigInt(whole + fraction)
  return { digits: sign === '-' ? -digits : digits, scale: fraction.length }
}

/** A whole number of minor units as a decimal, for formats with implied decimals. */
export const fromMinor = (minor: bigint, exponent: number): Decimal => ({ digits: minor, scale: exponent })

export const negate = (value: Decimal): Decimal => ({ digits: -value.digits, scale: value.scale })

export const add = (left: Decimal, right: Decimal): Decimal => {
  const scale = Math.max(left.scale, right.scale)
  return { digits: digitsAt(left, scale) + digitsAt(right, scale), scale }
}

export const isEqual = (left: Decimal, right: Decimal): boolean => add(left, negate(right)).digits === 0n

export const isNegative = (value: Decimal): boolean => value.digits < 0n

const digitsAt = (value: Decimal, scale: number): bigint =>
  scale === value.scale ? value.digits : value.digits * BigInt(`1${'0'.repeat(scale - value.scale)}`)

/**
 * Writes a decimal in plain notation: at least `placesMin` decimal places, more only where they aren't zero.
 * @param placesMin The currency's exponent; 0 where there is no currency.
 */
export function formatDecimal(value: Decimal, placesMin: number): string {
  const negative = value.digits < 0n
  const places = Math.max(value.scale, placesMin)
  const digits = digitsAt(negative ? { digits: -value.digits, scale: value.scale } : value, places)
    .toString()
    .padStart(places + 1, '0')
  let end = digits.length
  while (end > digits.length - places + placesMin && digits[end - 1] === '0') end -= 1
  const whole = digits.slice(0, digits.length - places)
  const fraction = digits.slice(digits.length - places, end)
  return `${negative ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`
}
