/** Amounts as files write them (decimal comma, thousands separators, trailing sign, minor or major units) to minor units. */

/** How a column writes amounts. */
export interface AmountFormat {
  /** `minor`: whole cents (or what the currency's smallest unit is). `major`: 12.34. */
  readonly unit: 'minor' | 'major'
  readonly decimal: '.' | ','
  /** What stands between groups of digits; empty = nothing may. */
  readonly thousands: '' | '.' | ',' | ' ' | "'"
}

export type AmountProblem = 'amount_invalid' | 'amount_too_precise' | 'amount_too_large'

/** Text to signed minor units, or what is wrong with it. `exponent` = decimal places of the currency. */
export type AmountReader = (text: string, exponent: number) => bigint | AmountProblem

/** Digits that certainly fit a number without loss. */
const PLAIN_MINOR = /^\d{1,15}$/
const INT64_MAX = 2n ** 63n - 1n
/** Minus signs that spreadsheets and banks write: U+2212 and the hyphen, which stands last so that it makes no range in a character class. */
const MINUS = '\u2212-'

/**
 * Makes the reader for one format. Signs: leading + or −, trailing − (as bank exports write it), parentheses for negative.
 * More decimals than the currency has are accepted only where they are zeros.
 */
export function amountReader(format: AmountFormat): AmountReader {
  const pattern = amountPattern(format)
  const group = groupCharacters(format.thousands)
  return (text, exponent) => {
    if (format.unit === 'minor' && PLAIN_MINOR.test(text)) return BigInt(Number(text))
    const match = pattern.exec(text.trim())
    if (match === null) return 'amount_invalid'
    const [, open, leading, whole, fraction = '', trailing, close] = match
    if ((open === undefined) !== (close === undefined)) return 'amount_invalid'
    const signs = [open, leading, trailing].filter((sign) => sign !== undefined && sign !== '')
    if (signs.length > 1) return 'amount_invalid'
    const places = format.unit === 'minor' ? 0 : exponent
    if (/[1-9]/.test(fraction.slice(places))) return 'amount_too_precise'
    const digits = (whole ?? '').replace(group, '') + fraction.slice(0, places).padEnd(places, '0')
    // Nineteen digits are the most that 64 bits hold; a limit before BigInt keeps hostile lengths cheap.
    if (digits.replace(/^0+/, '').length > 19) return 'amount_too_large'
    const amount = BigInt(digits)
    if (amount > INT64_MAX) return 'amount_too_large'
    return signs.length === 1 && signs[0] !== '+' ? -amount : amount
  }
}

function groupCharacters(thousands: AmountFormat['thousands']): RegExp {
  if (thousands === ' ') return /[ \u00a0\u202f]/g
  if (thousands === "'") return /['\u2019]/g
  return thousands === '' ? /(?!)/g : new RegExp(`[${thousands}]`, 'g')
}

function amountPattern(format: AmountFormat): RegExp {
  const group = groupCharacters(format.thousands).source
  // Groups of two digits are lakhs (12,34,567), but the last one has three: else 1.23 in a file with decimal commas,
  // where somebody wrote a point for once, would silently become a hundred times as much.
  const grouped = `\\d{1,3}(?:${group}\\d{2,3})*${group}\\d{3}|\\d+`
  const whole = format.thousands === '' ? '\\d+' : grouped
  return new RegExp(
    `^(\\()?\\s*([+${MINUS}])?\\s*(${whole})(?:[${format.decimal}](\\d*))?\\s*([${MINUS}])?\\s*(\\))?$`,
    'u',
  )
}
