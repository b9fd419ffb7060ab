/** What requests have in common: actor, idempotency key, `Prefer`, pages, times. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '#api/problem.ts'
import { isCalendarDay } from '#domain/time/calendar.ts'
import { TIME_MAX_MS, TIME_MIN_MS } from '#domain/transactions/limits.ts'
import { type Cursor, decodeCursor, encodeCursor, type Page } from '#platform/postgres/queries/cursor.ts'

const ACTOR_LENGTH_MAX = 128
const UNPRINTABLE = /[^\x20-\x7e]/
export const PAGE_SIZE_MAX = 500
export const PAGE_SIZE_DEFAULT = 50

const headerOf = (request: FastifyRequest, name: string): string | undefined => {
  const value = request.headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** Who acts, from the header `x-actor`; undefined where nobody is named. @throws Problem `actor_invalid` */
export function namedActor(request: FastifyRequest): string | undefined {
  const actor = headerOf(request, 'x-actor')
  if (actor === undefined || actor === '') return undefined
  if (actor.length > ACTOR_LENGTH_MAX || UNPRINTABLE.test(actor)) {
    throw new Problem(
      400,
      'actor_invalid',
      `Expected x-actor of at most ${ACTOR_LENGTH_MAX} printable characters.`,
    )
  }
  return actor
}

/** Who acts; `anonymous` where nobody is named. */
export const actorOf = (request: FastifyRequest): string => namedActor(request) ?? 'anonymous'

/** The header `Idempotency-Key`, perhaps quoted as a structured field. */
export function idempotencyKeyOf(request: FastifyRequest): string | undefined {
  const header = headerOf(request, 'idempotency-key')
  if (header === undefined || header === '') return undefined
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header
  if (key.length > 0 && key.length <= 64 && !UNPRINTABLE.test(key)) return key
  throw new Problem(
    400,
    'idempotency_key_invalid',
    'Expected an Idempotency-Key of 1 to 64 printable characters.',
  )
}

/**
 * How long the client wants to wait, ms, from `Prefer: wait=N` (seconds, RFC 7240); undefined where it doesn't say.
 * More than `waitMaxMs` becomes that.
 */
export function waitOf(request: FastifyRequest, waitMaxMs: number): number | undefined {
  const preference = headerOf(request, 'prefer')
  const seconds = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?/i.exec(preference ?? '')?.[1]
  return seconds === undefined ? undefined : Math.min(Number(seconds) * 1000, waitMaxMs)
}

/** The place that a page begins behind. @throws Problem `cursor_invalid` */
export function cursorOf(text: string | undefined, length: number): Cursor | null {
  if (text === undefined) return null
  const cursor = decodeCursor(text, length)
  if (cursor === undefined) {
    throw new Problem(400, 'cursor_invalid', 'Expected a cursor from a Link header.', {
      members: { property: 'cursor' },
    })
  }
  return cursor
}

/** Names the next page in a Link header (RFC 8288), with the request's own filters. */
export function linkNext(request: FastifyRequest, reply: FastifyReply, page: Page<unknown>): void {
  if (page.next === null) return
  const url = new URL(request.url, 'http://api')
  url.searchParams.set('cursor', encodeCursor(page.next))
  reply.header('link', `<${url.pathname}${url.search}>; rel="next"`)
}

/** ISO 8601 with its zone: without one it would mean another moment on another machine. */
const ISO_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})$/

/** A time from ISO 8601 text with its zone. @throws Problem `time_invalid` */
export function timeOf(text: string, field: string): Date {
  const time = new Date(ISO_TIME.test(text) && isCalendarDay(text) ? text : Number.NaN)
  if (!Number.isNaN(time.getTime())) return time
  throw new Problem(
    400,
    'time_invalid',
    `Expected ${field} as ISO 8601 with a zone, for example 2026-01-31T12:00:00Z.`,
    { members: { property: field } },
  )
}

/**
 * A record's time, ms since 1970, from that or from ISO 8601 text; one that the ledger couldn't keep would end as a dead letter.
 *
 * @throws Problem `time_invalid`
 */
export function recordTimeOf(time: string | number, field: string): number {
  const timeMs = typeof time === 'number' ? time : timeOf(time, field).getTime()
  if (timeMs >= TIME_MIN_MS && timeMs <= TIME_MAX_MS) return timeMs
  throw new Problem(400, 'time_invalid', `Expected ${field} in the years 1 to 9999.`, {
    members: { property: field },
  })
}

/** A time as JSON records hold it: ms since 1970, or, since those have no sign there, ISO 8601 text for what was before. */
export const recordTime = (timeMs: number): number | string =>
  timeMs < 0 ? new Date(timeMs).toISOString() : timeMs

/** The query parameters of every listing, for route schemas. */
export const pageQuery = {
  cursor: {
    type: 'string',
    maxLength: 200,
    description: 'Where to go on; from the Link header of the page before.',
  },
  limit: {
    type: 'integer',
    minimum: 1,
    maximum: PAGE_SIZE_MAX,
    default: PAGE_SIZE_DEFAULT,
    description: 'Most items of a page.',
  },
} as const
