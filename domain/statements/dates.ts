/** Calendar dates as statements write them, to yyyy-mm-dd. */

const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const

const pad = (value: number, length: number): string => String(value).padStart(length, '0')

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)

/** yyyy-mm-dd, or null where the calendar has no such day. */
export function calendarDate(year: number, month: number, day: number): string | null {
  const days = month === 2 && !isLeap(year) ? 28 : DAYS[month - 1]
  if (days === undefined || day < 1 || day > days) return null
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}`
}

/** Two digits of a year: statements are of our time, so 80 to 99 are the last century (SWIFT User Handbook, field 61). */
export const fullYear = (twoDigits: number): number => (twoDigits >= 80 ? 1900 : 2000) + twoDigits

/** YYMMDD; null where it isn't one. */
export function shortDate(text: string): string | null {
  if (!/^\d{6}$/.test(text)) return null
  return calendarDate(fullYear(Number(text.slice(0, 2))), Number(text.slice(2, 4)), Number(text.slice(4, 6)))
}

/** The date of an ISO 8601 date or date and time, as it stands (a date in a statement is the bank's, in its zone); null otherwise. */
export function isoDate(text: string): string | null {
  const match = /^(\d{4})-(\d{2})-(\d{2})(?:$|[TZ+-])/.exec(text)
  return match === null ? null : calendarDate(Number(match[1]), Number(match[2]), Number(match[3]))
}

/** YYYYMMDD, with or without a time and zone behind (OFX); null otherwise. */
export function compactDate(text: string): string | null {
  const match = /^(\d{4})(\d{2})(\d{2})/.exec(text)
  return match === null ? null : calendarDate(Number(match[1]), Number(match[2]), Number(match[3]))
}
