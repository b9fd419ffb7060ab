/** Errors as RFC 9457 problem details, each with a stable code of its own. */
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { OperatingError, UnreachableError } from '#platform/errors.ts'
import { PeriodDroppedError } from '#platform/postgres/queries/history-start.ts'

/** What went wrong with a request, to be answered as application/problem+json. */
export class Problem extends Error {
  readonly status: number
  /** Stable, lower snake case, safe to match on. */
  readonly code: string
  /** Further members of the reply, and headers. */
  readonly members: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    code: string,
    detail: string,
    options: { members?: Record<string, unknown>; headers?: Record<string, string> } = {},
  ) {
    super(detail)
    this.status = status
    this.code = code
    this.members = options.members ?? {}
    this.headers = options.headers ?? {}
  }
}

export const problemSchema = {
  $id: 'Problem',
  type: 'object',
  description: 'RFC 9457 problem details; `code` is stable and safe to match on.',
  required: ['type', 'title', 'status', 'code', 'detail'],
  additionalProperties: true,
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    code: { type: 'string', examples: ['account_not_found'] },
    detail: { type: 'string' },
    request_id: { type: 'string', description: 'As in the header x-request-id.' },
    trace_id: { type: 'string', description: 'As in the header traceparent.' },
    property: {
      type: 'string',
      description: 'What of the request it is about.',
      examples: ['postings/0/amount'],
    },
  },
} as const

/** What a client typically meets at each status. */
const EXAMPLES: Readonly<Record<number, { code: string; detail: string; property?: string }>> = {
  400: {
    code: 'request_invalid',
    detail: 'query parameter limit must be at most 500',
    property: 'limit',
  },
  404: { code: 'account_not_found', detail: 'There is no such account.' },
  409: { code: 'id_conflict', detail: 'Another transaction has taken this id.' },
  410: {
    code: 'period_dropped',
    detail: 'entries: kept is what was recorded from 2026-01-01T00:00:00.000Z on',
  },
  413: { code: 'body_too_large', detail: 'Request body is too large' },
  415: { code: 'media_type_unsupported', detail: 'Unsupported Media Type: text/plain' },
  422: {
    code: 'insufficient_funds',
    detail: 'Rejected: the debited account has less available than the amount.',
  },
  503: { code: 'postgres_unreachable', detail: 'A service behind this one is away or busy; try again.' },
}

/** Response schemas of the statuses at which a route can fail. */
export const problems = (...statuses: number[]): Record<number, object> =>
  Object.fromEntries(
    statuses.map((status) => [
      status,
      {
        description: STATUS_CODES[status] ?? 'Error',
        content: {
          'application/problem+json': {
            schema: { $ref: 'Problem#' },
            example: {
              type: 'about:blank',
              title: STATUS_CODES[status] ?? 'Error',
              status,
              ...EXAMPLES[status],
              request_id: '0f9bc776-1359-403c-aa28-433f618e0e17',
              trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
            },
          },
        },
      },
    ]),
  )

/** Operating errors that are the request's doing, and the status they get. */
const STATUS_BY_CODE: Readonly<Record<string, number>> = {
  record_too_large: 413,
  query_timeout: 503,
  producer_overloaded: 503,
  too_many_waiters: 503,
}

const RETRY_AFTER_S = '1'

/** The problem that an error means. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof OperatingError) {
    if (error instanceof PeriodDroppedError) {
      const members = { available_from: error.availableFrom.toISOString() }
      return new Problem(410, error.code, error.message, { members })
    }
    const status =
      STATUS_BY_CODE[error.code] ?? (error instanceof UnreachableError || error.retriable ? 503 : 500)
    const headers = status === 503 ? { 'retry-after': RETRY_AFTER_S } : {}
    if (error.code === 'query_timeout') {
      const narrower = 'The question takes too long to answer: narrow it, for example by `from` and `to`.'
      return new Problem(status, error.code, narrower, { headers })
    }
    // An operating error's message may name hosts and statements: it goes to the log, a plain one to the client.
    const detail =
      status === 503
        ? 'A service behind this one is away or busy; try again.'
        : 'The request could not be served.'
    return new Problem(status, error.code, detail, { headers })
  }
  const { statusCode, code, message } = error as FastifyError
  if (statusCode !== undefined && statusCode < 500) {
    return new Problem(statusCode, codeOfFastify(code), PATH_DETAILS[code] ?? message)
  }
  if (code === 'FST_ERR_HANDLER_TIMEOUT') {
    return new Problem(503, 'request_timeout', 'The request took too long.', {
      headers: { 'retry-after': RETRY_AFTER_S },
    })
  }
  return new Problem(500, 'internal_error', 'Something unforeseen happened; the log says more.')
}

/** Fastify's own words repeat the path, which may hold a card number. */
const PATH_DETAILS: Readonly<Record<string, string>> = {
  FST_ERR_BAD_URL: 'Expected a path whose percent-encoding is UTF-8.',
  FST_ERR_MAX_PARAM_LENGTH: 'Expected a shorter path.',
}

/** Fastify's own refusals (body too large, media type, broken JSON) by stable names. */
function codeOfFastify(code: string | undefined): string {
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return 'body_too_large'
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return 'media_type_unsupported'
  if (code === 'FST_ERR_CTP_EMPTY_JSON_BODY' || code === 'FST_ERR_CTP_INVALID_JSON_BODY')
    return 'json_invalid'
  return 'request_invalid'
}

/** The members of a problem's reply. */
export const problemBody = (request: FastifyRequest, problem: Problem): Record<string, unknown> => ({
  type: 'about:blank',
  title: STATUS_CODES[problem.status] ?? 'Error',
  status: problem.status,
  code: problem.code,
  detail: problem.message,
  request_id: request.id,
  trace_id: request.trace?.traceId,
  ...problem.members,
})

/** Answers with a problem. */
export async function sendProblem(
  request: FastifyRequest,
  reply: FastifyReply,
  problem: Problem,
): Promise<FastifyReply> {
  return await reply
    .status(problem.status)
    .headers(problem.headers)
    .type('application/problem+json')
    .send(problemBody(request, problem))
}
