/** Calendar months in UTC: the periods of a ledger. A month is named `YYYY-MM`. */

const MONTH = /^(\d{4})-(0[1-9]|1[0-2])$/

/** The month that a time lies in. @param timeMs ms since 1970 UTC, years 0 to 9999 */
export const monthOf = (timeMs: number): string => new Date(timeMs).toISOString().slice(0, 7)

/** Whether the text names a month. */
export const isMonth = (text: string): boolean => MONTH.test(text)

/** Ms since 1970 UTC at which a month begins, or one that lies `later` months after it. @throws Error where it is none */
export const monthStartMs = (month: string, later = 0): number => {
  const parts = MONTH.exec(month)
  if (parts === null) throw new Error(`expected a month as YYYY-MM, got ${JSON.stringify(month)}`)
  const start = new Date(0)
  // Date.UTC takes years below 100 for those after 1900.
  start.setUTCFullYear(Number(parts[1]), Number(parts[2]) - 1 + later, 1)
  return start.getTime()
}

/** The month after. */
export const monthAfter = (month: string): string => monthOf(monthStartMs(month, 1))
