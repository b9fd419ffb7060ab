/** Days of the calendar, by the text of ISO 8601. */

/** Whether the month of a text that begins with yyyy-mm-dd has such a day: a Date would silently make the 2nd of March of a 30th of February. */
export function isCalendarDay(text: string): boolean {
  const day = new Date(`${text.slice(0, 8)}01T00:00:00Z`)
  day.setUTCDate(Number(text.slice(8, 10)))
  return day.getUTCMonth() === Number(text.slice(5, 7)) - 1
}
