/**
 * Field 61 of MT940 and MT942. Source: SWIFT Standards MT, category 9, field 61:
 * 6!n value date, [4!n] entry date, 2a debit/credit mark (C, D, RC, RD; EC, ED expected in MT942), [1!a] funds code (third
 * character of the currency), 15d amount, 1!a3!c transaction type, 16x owner's reference, [//16x] servicer's reference,
 * [34x] supplementary details on a line of their own.
 */
import { calendarDate, fullYear, shortDate } from '../dates.ts'
import { type Decimal, negate, parseDecimal } from '../decimal.ts'
import type { LineStatus } from '../model.ts'
import { StatementError, shown } from '../problems.ts'

/** What field 61 says. */
export interface Field61 {
  readonly valueDate: string
  readonly bookingDate: string | null
  /** Signed: RC, the reversal of a credit, takes money away, and RD gives it back. */
  readonly amount: Decimal
  readonly reversal: boolean
  readonly status: LineStatus
  readonly code: string
  readonly reference: string | null
  readonly bankReference: string | null
  readonly supplementary: string | null
  /** True where the value date is no day of the calendar and its month's last was taken (30 February, by 30/360 interest). */
  readonly dateAdjusted: boolean
}

/** Banks leave blanks in the transaction type ("NOV ", "S   ") or before it, and the comma out of whole amounts. */
const LINE = /^(\d{6})(\d{4})?(R[CD]|E[CD]|[CD])([A-Z])?(\d*(?:,\d*)?) ?([A-Z][A-Z0-9 ]{3})(.*)$/

/** Reads the field's lines. @throws StatementError value_invalid */
export function readField61(lines: readonly string[], line: number): Field61 {
  const text = lines[0] ?? ''
  const match = LINE.exec(text.trimEnd().length >= 4 ? text : '')
  if (match === null) throw invalid('date, mark C, D, RC or RD, amount and type', text, line)
  const [, valueText, entryText, mark, , amountText, code, references] = match
  const amount = parseDecimal(amountText!, ',')
  if (amount === null) throw invalid('an amount such as 1234,56', text, line)
  const { date, adjusted } = valueDateOf(valueText!, line)
  const bookingDate = entryText === undefined ? null : entryDateOf(entryText, date)
  const [reference, bankReference] = splitReferences(references!)
  const takesAway = mark === 'D' || mark === 'ED' || mark === 'RC'
  return {
    valueDate: date,
    bookingDate,
    amount: takesAway ? negate(amount) : amount,
    reversal: mark!.startsWith('R'),
    status: mark!.startsWith('E') ? 'pending' : 'booked',
    code: code!.trimEnd(),
    reference,
    bankReference,
    supplementary: lines.slice(1).join('\n').trim() || null,
    dateAdjusted: adjusted,
  }
}

function valueDateOf(text: string, line: number): { date: string; adjusted: boolean } {
  const date = shortDate(text)
  if (date !== null) return { date, adjusted: false }
  const year = fullYear(Number(text.slice(0, 2)))
  const month = Number(text.slice(2, 4))
  const day = Number(text.slice(4, 6))
  const last = [28, 29]
    .map((candidate) => calendarDate(year, month, candidate))
    .findLast((found) => found !== null)
  if (month !== 2 || (day !== 29 && day !== 30) || last === undefined)
    throw invalid('a value date YYMMDD', text, line)
  return { date: last, adjusted: true }
}

/** The entry date has no year: it lies within half a year of the value date. Null where it is no date. */
function entryDateOf(text: string, valueDate: string): string | null {
  const month = Number(text.slice(0, 2))
  const valueMonth = Number(valueDate.slice(5, 7))
  const distance = month - valueMonth
  const years = distance > 6 ? -1 : distance < -6 ? 1 : 0
  return calendarDate(Number(valueDate.slice(0, 4)) + years, month, Number(text.slice(2, 4)))
}

function splitReferences(text: string): [string | null, string | null] {
  const at = text.indexOf('//')
  const own = (at < 0 ? text : text.slice(0, at)).trim()
  const bank = at < 0 ? '' : text.slice(at + 2).trim()
  return [own === 'NONREF' ? null : own || null, bank || null]
}

const invalid = (expected: string, found: string, line: number): StatementError =>
  new StatementError('value_invalid', `expected ${expected}, found ${shown(found)}`, { line, path: ':61:' })
