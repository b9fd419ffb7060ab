/** Times as files write them (epoch, ISO 8601, dd.mm.yyyy and the like, with zones) to milliseconds since 1970 UTC. */
import { TIME_MAX_MS, TIME_MIN_MS } from '#domain/transactions/limits.ts'
import { ConfigurationError } from '#platform/errors.ts'

/** How a column writes times. */
export interface TimeFormat {
  /** `epoch_s`, `epoch_ms`, `iso`, or a date pattern of d, dd, m, mm, yy, yyyy such as dd.mm.yyyy; a time of day may follow in the value. */
  readonly format: string
  /** For values that don't carry one: `UTC`, an offset such as +02:00, or an IANA name such as Europe/Berlin. */
  readonly zone: string
}

/** Text to milliseconds since 1970 UTC; null where it isn't a time of this format. */
export type TimeReader = (text: string) => number | null

const HOUR_MS = 3_600_000
/** Distinct hours whose zone offset is remembered: a year's worth and more. */
const OFFSET_CACHE_MAX = 20_000
const CLOCK = '(?:[T ]\\s*(\\d{1,2}):(\\d{2})(?::(\\d{2})(?:[.,](\\d{1,9}))?)?)?'
const ZONE = '\\s*(Z|[+-]\\d{2}:?\\d{2})?'

/**
 * Makes the reader for one format.
 * @throws ConfigurationError where the format or zone isn't known; `path` names the place in the mapping.
 */
export function timeReader(format: TimeFormat, path: string): TimeReader {
  if (format.format === 'epoch_s') return (text) => epoch(text, 1000)
  if (format.format === 'epoch_ms') return (text) => epoch(text, 1)
  const offsetMs = zoneOffset(format.zone, path)
  return calendarReader(format.format === 'iso' ? 'yyyy-mm-dd' : format.format, offsetMs, path)
}

function epoch(text: string, unitMs: number): number | null {
  const trimmed = text.trim()
  if (!/^-?\d{1,16}(?:\.\d{1,9})?$/.test(trimmed)) return null
  const time = Math.round(Number(trimmed) * unitMs)
  return withinYears(time)
}

/** Beyond these years the ledger takes no time: milliseconds read as seconds would all end as dead letters. */
const withinYears = (timeMs: number): number | null =>
  timeMs >= TIME_MIN_MS && timeMs <= TIME_MAX_MS ? timeMs : null

/** Local wall-clock time (as if it were UTC, ms) to the zone's offset from UTC at that moment, ms. */
type ZoneOffset = (localMs: number) => number

function calendarReader(pattern: string, offsetOf: ZoneOffset, path: string): TimeReader {
  const order: ('d' | 'm' | 'y')[] = []
  const source = pattern
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replace(/d{1,2}|m{1,2}|y{4}|y{2}/g, (token) => {
      order.push(token[0] as 'd' | 'm' | 'y')
      if (token === 'yyyy') return '(\\d{4})'
      // Two letters mean two digits only where nothing separates the parts: 1.2.2026 is written in dd.mm.yyyy files too.
      return /[^dmy]/.test(pattern) && token !== 'yy' ? '(\\d{1,2})' : '(\\d{2})'
    })
  if ([...order].sort().join('') !== 'dmy') {
    throw new ConfigurationError(
      `mapping ${path}: expected epoch_s, epoch_ms, iso or a pattern with day, month and year such as dd.mm.yyyy, found "${pattern}"`,
    )
  }
  const expression = new RegExp(`^${source}${CLOCK}${ZONE}$`)
  const [dayAt, monthAt, yearAt] = (['d', 'm', 'y'] as const).map((part) => order.indexOf(part) + 1)
  return (text) => {
    const match = expression.exec(text.trim())
    if (match === null) return null
    const yearText = match[yearAt!]!
    const year = yearText.length === 2 ? twoDigitYear(Number(yearText)) : Number(yearText)
    const local = localTime(year, Number(match[monthAt!]), Number(match[dayAt!]), match.slice(4, 8))
    if (local === null) return null
    const zone = match[8]
    return withinYears(local - (zone === undefined ? offsetOf(local) : fixedOffset(zone)))
  }
}

/** POSIX strptime's rule: 69 to 99 are the last century. */
const twoDigitYear = (year: number): number => (year >= 69 ? 1900 + year : 2000 + year)

function localTime(
  year: number,
  month: number,
  day: number,
  clock: readonly (string | undefined)[],
): number | null {
  const hour = Number(clock[0] ?? 0)
  const minute = Number(clock[1] ?? 0)
  const second = Number(clock[2] ?? 0)
  if (hour > 23 || minute > 59 || second > 59 || month < 1 || month > 12) return null
  const milliseconds = Math.trunc(Number(`0.${clock[3] ?? '0'}`) * 1000)
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  // 31.02. rolls over into March: no such day.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null
  date.setUTCHours(hour, minute, second, milliseconds)
  return date.getTime()
}

function fixedOffset(zone: string): number {
  if (zone === 'Z') return 0
  const sign = zone[0] === '-' ? -1 : 1
  return sign * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2))) * 60_000
}

function zoneOffset(zone: string, path: string): ZoneOffset {
  if (zone === 'UTC' || zone === 'Z') return () => 0
  if (/^[+-]\d{2}:?\d{2}$/.test(zone)) {
    const offset = fixedOffset(zone)
    return () => offset
  }
  let formatter: Intl.DateTimeFormat
  try {
    formatter = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' })
  } catch (error) {
    throw new ConfigurationError(
      `mapping ${path}: expected UTC, an offset such as +02:00 or an IANA zone, found "${zone}"`,
      { cause: error },
    )
  }
  const offsetAt = cachedOffset(formatter)
  // The offset depends on the moment, which depends on the offset: the second look settles it. A time that occurs twice
  // when clocks go back is read as the later one, a time skipped when they go forward as the hour after.
  return (localMs) => offsetAt(localMs - offsetAt(localMs))
}

function cachedOffset(formatter: Intl.DateTimeFormat): (utcMs: number) => number {
  const cache = new Map<number, number>()
  return (utcMs) => {
    // Zones change their offset on quarter hours at the finest (Lord Howe: half hours).
    const quarter = Math.floor(utcMs / (HOUR_MS / 4))
    const known = cache.get(quarter)
    if (known !== undefined) return known
    const name = formatter.formatToParts(utcMs).find((part) => part.type === 'timeZoneName')?.value ?? 'GMT'
    const offset = name === 'GMT' ? 0 : fixedOffset(name.slice(3, 9))
    if (cache.size >= OFFSET_CACHE_MAX) cache.clear()
    cache.set(quarter, offset)
    return offset
  }
}
