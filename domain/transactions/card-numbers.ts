/**
 * Finds and masks real card numbers (PANs). The ledger works with tokens only: a number is refused and never stored.
 *
 * What counts as a card number: 13 to 19 digits, in one run or in groups, that begin with an issuer prefix of ISO/IEC 7812
 * (PREFIXES below) and end in a valid Luhn digit (ISO/IEC 7812-1 annex B). A run is taken whole: digits inside a longer run are
 * not looked at, but zeros before a number don't hide it. The length that a brand issues is not checked: better refuse one too many.
 *
 * Digits are those of ASCII, full-width, Arabic-Indic and Persian. Characters that nobody sees (zero-width spaces, soft hyphens)
 * are passed over. Groups may be parted by:
 * - a single space or dash (of any kind): groups of any width;
 * - one to three of space, dash, line end, tab and `. , _ /`, everywhere the same: only groups as on cards, 4 digits, then 4 to 6
 *   each, the last up to 6. Amounts (1,234,567.89), dates (2026/11/22), versions and lists of other numbers aren't grouped so.
 *
 * What that means for harmless values:
 * - times in ms since 1970 (13 digits) begin with 1 until 2033 and with 2 until 2065; only 2221–2720 (2040 to 2056) is a prefix;
 *   times in µs and ns likewise. None is refused today;
 * - other free digit runs of 13 to 19 digits are refused about one time in twenty-five (41 % prefix × 10 % Luhn): ids of digits only should be shorter;
 * - UUIDs (8-4-4-4-12) and hexadecimal digests (32, 40 or 64 digits with at least one letter) are no digit runs though they
 *   may contain some: they are passed over, else one random 32-digit id in about 1,700 would be refused.
 */

const DIGITS_MIN = 13
const DIGITS_MAX = 19
/** Digits left readable at the end of a masked number. */
const DIGITS_KEPT = 4

const ZERO = 48
const NINE = 57
const SPACE = 32
const DASH = 45
const ASTERISK = 42
const ASCII_MAX = 127

/** Zeros of the other digits that are read: Arabic-Indic, Persian, full-width. */
const OTHER_ZEROS: readonly number[] = [0x0660, 0x06f0, 0xff10]
/** No-break and other fixed spaces; hyphens, dashes, minus. */
const isSpaceOrDash = (code: number): boolean =>
  code === SPACE ||
  code === DASH ||
  code === 0xa0 ||
  code === 0x202f ||
  code === 0x3000 ||
  (code >= 0x2000 && code <= 0x200a) ||
  (code >= 0x2010 && code <= 0x2015) ||
  code === 0x2212 ||
  code === 0xff0d
/** Tab, line ends, `, . / _`. */
const isOtherSeparator = (code: number): boolean =>
  code === 9 || code === 10 || code === 13 || code === 44 || code === 46 || code === 47 || code === 95
/** Soft hyphen, zero-width spaces and joiners, word joiner, byte order mark. */
const isInvisible = (code: number): boolean =>
  code === 0xad || (code >= 0x200b && code <= 0x200f) || code === 0x2060 || code === 0xfeff

/** What a first look makes of an ASCII character: 0 = ends a number, 1 = a digit, 2 = may stand between digits. */
const FIRST_LOOK = Uint8Array.from({ length: ASCII_MAX + 1 }, (_, code) =>
  code >= ZERO && code <= NINE ? 1 : isSpaceOrDash(code) || isOtherSeparator(code) ? 2 : 0,
)

/** Longest separator between two groups, and longest run of digits with zeros before that is looked at. */
const SEPARATORS_MAX = 3
const PADDED_DIGITS_MAX = 64
/** Widths of the groups on cards, where the separator is an unusual one. */
const GROUP_WIDTH = 4
const GROUP_WIDTH_MAX = 6

/** Issuer prefixes, as ranges over the first four digits. */
const PREFIXES: readonly (readonly [number, number])[] = [
  [4000, 4999], // Visa
  [5100, 5599], // Mastercard
  [2221, 2720], // Mastercard 2-series
  [3400, 3499], // American Express
  [3700, 3799],
  [6011, 6011], // Discover
  [6440, 6599],
  [3528, 3589], // JCB
  [3000, 3059], // Diners Club
  [3095, 3095],
  [3600, 3699],
  [3800, 3999],
  [6200, 6299], // UnionPay
  [8100, 8199],
  [5000, 5099], // Maestro
  [5600, 5899],
  [6000, 6999],
]

const knownPrefix = new Uint8Array(10_000)
for (const [first, last] of PREFIXES) knownPrefix.fill(1, first, last + 1)

/** What 2 × digit adds to a Luhn sum. */
const DOUBLED = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9] as const

/** Character codes with a length: a string or bytes. Reading past the end gives NaN or undefined, never a digit. */
interface Codes {
  readonly length: number
  at(index: number): number
}

/** The digit's value, or -1. */
const digitOf = (code: number): number => {
  if (code >= ZERO && code <= NINE) return code - ZERO
  if (!(code > ASCII_MAX)) return -1
  for (const zero of OTHER_ZEROS) if (code >= zero && code <= zero + 9) return code - zero
  return -1
}
const isDigit = (code: number): boolean => digitOf(code) >= 0

/**
 * Whether the text holds a card number. Costs about a nanosecond a character where there is none.
 */
export const containsCardNumber = (text: string): boolean => {
  const length = text.length
  if (length < DIGITS_MIN) return false
  let digits = 0
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index)
    // Beyond ASCII only the second look knows; what isn't a digit there costs that look and nothing else.
    const seen = code <= ASCII_MAX ? FIRST_LOOK[code]! : isDigit(code) ? 1 : 2
    if (seen === 1) {
      digits += 1
      if (digits === DIGITS_MIN) return findCardNumbers(codesOfText(text), 0, true).length > 0
    } else if (seen === 0) digits = 0
  }
  return false
}

/**
 * The text with every digit of a card number but the last four replaced by `*`; separators stay. The same string where there is none.
 */
export const maskCardNumbers = (text: string): string => {
  if (!containsCardNumber(text)) return text
  const codes = codesOfText(text)
  const characters = [...Array(text.length).keys()].map((index) => text.charAt(index))
  for (const found of findCardNumbers(codes, 0, false))
    for (const index of maskedDigits(codes, found)) characters[index] = '*'
  return characters.join('')
}

/**
 * Bytes with every card number in ASCII digits masked as in maskCardNumbers. Inside binary data a byte that happens to be
 * a digit may touch a number (a length byte before it, the next field's after it), so that a run is also judged without
 * its first and without its last digit. The same buffer where there is none, else a copy.
 */
export const maskCardNumbersInBytes = (bytes: Buffer): Buffer => {
  // A byte above ASCII is a part of some character, or of none at all.
  const at = (index: number) => (bytes[index]! <= ASCII_MAX ? bytes[index]! : -1)
  const codes: Codes = { length: bytes.length, at }
  const found = findCardNumbers(codes, 1, false)
  if (found.length === 0) return bytes
  const masked = Buffer.from(bytes)
  for (const span of found) for (const index of maskedDigits(codes, span)) masked[index] = ASTERISK
  return masked
}

interface Span {
  readonly start: number
  readonly end: number
}

interface Run extends Span {
  readonly digits: number
}

const codesOfText = (text: string): Codes => ({ length: text.length, at: (index) => text.charCodeAt(index) })

/** Runs of digits without anything between. */
const digitRuns = (codes: Codes): Run[] => {
  const runs: Run[] = []
  let start = -1
  for (let index = 0; index <= codes.length; index++) {
    const digit = index < codes.length && isDigit(codes.at(index))
    if (digit && start === -1) start = index
    else if (!digit && start !== -1) {
      runs.push({ start, end: index, digits: index - start })
      start = -1
    }
  }
  return runs
}

/**
 * Every span of whole digit groups that is a card number.
 * @param slack how many digits may be left off at either end of a span
 * @param firstOnly stop at the first one
 */
const findCardNumbers = (codes: Codes, slack: number, firstOnly: boolean): Span[] => {
  const runs = digitRuns(codes)
  const found: Span[] = []
  const groups = new Groups()
  for (let first = 0; first < runs.length; first++) {
    const start = runs[first]!.start
    // Most runs end here: years and counters begin with no issuer's digits.
    if (slack === 0 && !hasKnownPrefix(codes, start, codes.length)) continue
    groups.reset()
    let zeros = 0
    for (let last = first; last < runs.length; last++) {
      const run = runs[last]!
      if (!groups.add(codes, run, last > first ? runs[last - 1]!.end : -1)) break
      // Only zeros so far: they go on.
      if (zeros === groups.digits - run.digits) zeros += leadingZeros(codes, run)
      if (groups.digits - zeros > DIGITS_MAX + 2 * slack || groups.digits > PADDED_DIGITS_MAX) break
      if (groups.digits < DIGITS_MIN || !groups.arePlausible()) continue
      const span = cardNumberWithin(codes, start, run.end, slack)
      if (span === null || isPartOfIdentifier(codes, span)) continue
      found.push(span)
      if (firstOnly) return found
    }
  }
  return found
}

/** Zeros at the beginning of a run. */
const leadingZeros = (codes: Codes, { start, end }: Span): number => {
  let zeros = 0
  while (start + zeros < end && digitOf(codes.at(start + zeros)) === 0) zeros += 1
  return zeros
}

/** Groups of digits as they are met: how wide they are and what parts them. */
class Groups {
  digits = 0
  #first = 0
  #last = 0
  /** What parts them, as separatorOf gives it; NONE before there is any. */
  #separator = NONE
  #onlySpacesAndDashes = true
  /** Whether they could be a card's groups, but for the last one. */
  #asOnCards = true

  reset(): void {
    this.digits = 0
    this.#first = 0
    this.#last = 0
    this.#separator = NONE
    this.#onlySpacesAndDashes = true
    this.#asOnCards = true
  }

  /** Adds a run of digits. @param before where the run before ended; -1 = it is the first @returns false where what lies between ends the number */
  add(codes: Codes, run: Run, before: number): boolean {
    const separator = before === -1 ? NONE : separatorOf(codes, before, run.start)
    if (separator === NO_NUMBER) return false
    this.digits += run.digits
    if (separator === NONE) {
      if (this.#separator === NONE) this.#first += run.digits
      this.#last += run.digits
      return true
    }
    if (separator > ONE_CODE || !isSpaceOrDash(separator)) this.#onlySpacesAndDashes = false
    if (this.#separator !== NONE && (separator !== this.#separator || this.#last < GROUP_WIDTH)) {
      this.#asOnCards = false
    }
    if (this.#first !== GROUP_WIDTH || this.#last > GROUP_WIDTH_MAX) this.#asOnCards = false
    this.#separator = separator
    this.#last = run.digits
    return true
  }

  /** Whether a number may be written so. */
  arePlausible(): boolean {
    return this.#onlySpacesAndDashes || (this.#asOnCards && this.#last <= GROUP_WIDTH_MAX)
  }
}

const NONE = 0
const NO_NUMBER = -1
const ONE_CODE = 65_535

/** What parts two groups, without what nobody sees: its codes as one number; NO_NUMBER where it is more than may part a number's groups. */
const separatorOf = (codes: Codes, end: number, start: number): number => {
  let separator = NONE
  let length = 0
  for (let index = end; index < start; index++) {
    const code = codes.at(index)
    if (isInvisible(code)) continue
    length += 1
    if (length > SEPARATORS_MAX || !(isSpaceOrDash(code) || isOtherSeparator(code))) return NO_NUMBER
    separator = separator * (ONE_CODE + 1) + code
  }
  return separator
}

const cardNumberWithin = (codes: Codes, start: number, end: number, slack: number): Span | null => {
  for (let before = 0; before <= slack; before++)
    for (let after = 0; after <= slack; after++) {
      if (before > 0 && !isDigit(codes.at(start + before))) continue
      if (after > 0 && !isDigit(codes.at(end - after - 1))) continue
      if (isCardNumber(codes, start + before, end - after)) return { start: start + before, end: end - after }
    }
  return null
}

/** Judges the digits between two places: how many without zeros before them, how they begin, and their Luhn sum. */
const isCardNumber = (codes: Codes, start: number, end: number): boolean => {
  let digits = 0
  let sum = 0
  // Digits from the first that isn't a zero on: zeros before it change no Luhn sum.
  let significant = 0
  // From the right, every second digit is doubled.
  for (let index = end - 1; index >= start; index--) {
    const digit = digitOf(codes.at(index))
    if (digit < 0) continue
    sum += digits % 2 === 1 ? DOUBLED[digit]! : digit
    digits += 1
    if (digit > 0) significant = digits
  }
  if (significant < DIGITS_MIN || significant > DIGITS_MAX || sum % 10 !== 0) return false
  return hasKnownPrefix(codes, start, end)
}

/** Whether the first four digits behind leading zeros are an issuer's. */
const hasKnownPrefix = (codes: Codes, start: number, end: number): boolean => {
  let prefix = 0
  for (let index = start; index < end && prefix < 1_000; index++) {
    const digit = digitOf(codes.at(index))
    if (digit >= 0) prefix = prefix * 10 + digit
  }
  return knownPrefix[prefix] === 1
}

const isHex = (code: number): boolean =>
  isDigit(code) || (code >= 65 && code <= 70) || (code >= 97 && code <= 102)
const isLetter = (code: number): boolean => (code >= 65 && code <= 90) || (code >= 97 && code <= 122)

/** Lengths of UUIDs without dashes and of SHA-1 and SHA-256 digests, in hexadecimal digits. */
const DIGEST_LENGTHS: readonly number[] = [32, 40, 64]
const DIGEST_LENGTH_MAX = 64
const UUID_LENGTH = 36
const UUID_DASHES: readonly number[] = [8, 13, 18, 23]

/** Whether the span lies within a UUID or a hexadecimal digest. */
const isPartOfIdentifier = (codes: Codes, span: Span): boolean =>
  isWithinUuid(codes, span) || isWithinDigest(codes, span)

const isWithinUuid = (codes: Codes, span: Span): boolean => {
  for (let start = Math.max(0, span.end - UUID_LENGTH); start <= span.start; start++)
    if (isUuidAt(codes, start)) return true
  return false
}

const isUuidAt = (codes: Codes, start: number): boolean => {
  const end = start + UUID_LENGTH
  if (end > codes.length) return false
  if (start > 0 && isHex(codes.at(start - 1))) return false
  if (end < codes.length && isHex(codes.at(end))) return false
  for (let index = start; index < end; index++) {
    const dash = UUID_DASHES.includes(index - start)
    if (dash ? codes.at(index) !== DASH : !isHex(codes.at(index))) return false
  }
  return true
}

/** The word around the span must be hexadecimal, of a digest's length, and hold a letter: else it is just a long number. */
const isWithinDigest = (codes: Codes, span: Span): boolean => {
  const belongs = (code: number): boolean => isDigit(code) || isLetter(code)
  let start = span.start
  let end = span.end
  while (start > 0 && belongs(codes.at(start - 1)) && end - start <= DIGEST_LENGTH_MAX) start -= 1
  while (end < codes.length && belongs(codes.at(end)) && end - start <= DIGEST_LENGTH_MAX) end += 1
  if (!DIGEST_LENGTHS.includes(end - start)) return false
  let letters = 0
  for (let index = start; index < end; index++) {
    const code = codes.at(index)
    if (!isHex(code)) return false
    if (isLetter(code)) letters += 1
  }
  return letters > 0
}

/** Places of the digits to hide: all but the last four of the span. */
const maskedDigits = (codes: Codes, span: Span): number[] => {
  const places: number[] = []
  for (let index = span.start; index < span.end; index++) if (isDigit(codes.at(index))) places.push(index)
  return places.slice(0, -DIGITS_KEPT)
}
