/**
 * Notes who looked at and changed what, for the audit log. After the reply has left, and nobody waits for it. Every route is noted,
 * but those that show nothing of accounts or money.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ApiDependencies } from '#api/dependencies.ts'

/** Health, metrics and the description of the API. */
const NOT_NOTED = /^\/(?:$|(?:health|metrics|docs)(?:\/|$))/
const SUBJECT_LENGTH_MAX = 256

/** Adds the hook. */
export function noteAccess(
  app: FastifyInstance,
  { audit, nowMs }: Pick<ApiDependencies, 'audit' | 'nowMs'>,
): void {
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url
    if (route === undefined || NOT_NOTED.test(route)) return
    audit.note({
      atMs: nowMs(),
      actor: headerText(request, 'x-actor') ?? 'anonymous',
      action: `${request.method} ${route}`,
      subject: subjectOf(request, reply.getHeader('location')),
      details: { status: reply.statusCode },
      isChange: request.method !== 'GET' && request.method !== 'HEAD',
      ...(request.trace === null ? {} : { traceId: request.trace.traceId }),
    })
  })
}

const headerText = (request: FastifyRequest, name: string): string | undefined => {
  const value = request.headers[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Fields of bodies that say what a request is about. */
const SUBJECT_FIELDS = ['id', 'accountId', 'transactionId'] as const

/** What a request is about: what its path names, the id in its body or the one it was given, the filters of a listing. */
function subjectOf({ params, query, body }: FastifyRequest, location: unknown): string {
  const named = Object.values((params ?? {}) as Record<string, string>)
  if (named.length > 0) return named.join(' ').slice(0, SUBJECT_LENGTH_MAX)
  const fields = (body ?? {}) as Record<string, unknown>
  const id = SUBJECT_FIELDS.map((name) => fields[name]).find((value) =>
    ['string', 'number'].includes(typeof value),
  )
  if (id !== undefined) return String(id).slice(0, SUBJECT_LENGTH_MAX)
  if (typeof location === 'string') return location.slice(0, SUBJECT_LENGTH_MAX)
  const filters = Object.entries((query ?? {}) as Record<string, unknown>).filter(
    ([name]) => name !== 'cursor',
  )
  return filters
    .map(([name, value]) => `${name}=${String(value)}`)
    .join('&')
    .slice(0, SUBJECT_LENGTH_MAX)
}
