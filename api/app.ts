/**
 * The HTTP API: built here without listening, so that tests can ask it directly. It publishes and reads; deciding is the engine's.
 * Routes are registered one by one below: nothing is found by its file name.
 */
import { randomUUID } from 'node:crypto'
import fastifySwagger from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { noteAccess } from '#api/access-log.ts'
import type { ApiDependencies } from '#api/dependencies.ts'
import { parseExactJson, refuseCardNumber, refuseUnstorable } from '#api/exact-json.ts'
import { RecentlyPublished } from '#api/gateway/recently-published.ts'
import { Problem, problemOf, problemSchema, sendProblem } from '#api/problem.ts'
import { registerChangeAccounts } from '#api/routes/accounts/change-accounts.ts'
import { registerReadAccounts } from '#api/routes/accounts/read-accounts.ts'
import { registerBalances } from '#api/routes/balances/balances.ts'
import { registerAlerts } from '#api/routes/fraud/alerts.ts'
import { registerLabels } from '#api/routes/fraud/labels.ts'
import { registerRulebooks } from '#api/routes/fraud/rulebooks.ts'
import { registerDeadLetters } from '#api/routes/operations/dead-letters.ts'
import { registerOperations } from '#api/routes/operations/operations.ts'
import { registerReconciliation } from '#api/routes/reconciliation/breaks.ts'
import { registerReconciliationReport } from '#api/routes/reconciliation/report.ts'
import { registerReviewWork } from '#api/routes/reviews/review-work.ts'
import { registerReviews } from '#api/routes/reviews/reviews.ts'
import { registerPostTransactions } from '#api/routes/transactions/post-transactions.ts'
import { registerReadTransactions } from '#api/routes/transactions/read-transactions.ts'
import { buildValidator, validationProblem } from '#api/validation.ts'
import { maskCardNumbers } from '#domain/transactions/card-numbers.ts'
import {
  continueTrace,
  TRACE_HEADER,
  type Trace,
  traceparentOf,
  withTrace,
} from '#platform/observability/trace.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Null until the request's headers are read. */
    trace: Trace | null
  }
}

/** How long an ordinary request may take: longer than any service behind it may. */
const HANDLER_TIMEOUT_MS = 12_000
const RECEIVE_TIMEOUT_MS = 10_000
/** Account ids of 128 characters, each perhaps three bytes in the URL. */
const PARAMETER_LENGTH_MAX = 1200
/** Transactions published here are said to be pending for so long. */
const PENDING_LIFE_MS = 10 * 60_000

/** Builds the API. Listening, and closing what it was given, is the caller's; `close` ends the waits first. */
export async function buildApp(dependencies: ApiDependencies): Promise<FastifyInstance> {
  const { options } = dependencies
  const app: FastifyInstance = fastify({
    logger: false,
    bodyLimit: options.bodyBytesMax,
    requestTimeout: RECEIVE_TIMEOUT_MS,
    connectionTimeout: 60_000,
    keepAliveTimeout: 20_000,
    handlerTimeout: HANDLER_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    genReqId: ({ headers }) => requestId(headers['x-request-id']),
    // A path that can't be decoded meets no route, and so not the error handler either.
    frameworkErrors: (error, request, reply) => void sendProblem(request, reply, problemOf(error)),
    routerOptions: { maxParamLength: PARAMETER_LENGTH_MAX },
    schemaController: { compilersFactory: { buildValidator } },
    schemaErrorFormatter: validationProblem,
  })
  app.addSchema(problemSchema)
  app.decorateRequest('trace', null)
  acceptExactJson(app)
  observe(app, dependencies)
  noteAccess(app, dependencies)
  app.setErrorHandler(async (error, request, reply) => {
    const problem = problemOf(error)
    if (problem.status >= 500) {
      const route = request.routeOptions.url
      const fields = { err: error, ...idsOf(request), route, code: problem.code }
      dependencies.logger.error(fields, 'request failed')
    }
    return await sendProblem(request, reply, problem)
  })
  answerUnknownRoutes(app)
  await describe(app)
  registerRoutes(app, dependencies)
  app.addHook('preClose', async () => {
    dependencies.outcomes.close()
    dependencies.positions.close()
  })
  await app.ready()
  return app
}

/** What no route takes: another method of a known path is said to be that. */
function answerUnknownRoutes(app: FastifyInstance): void {
  const methods = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ method, url }) => {
    const known = methods.get(url) ?? new Set()
    for (const each of [method].flat()) known.add(each)
    methods.set(url, known)
  })
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? ''
    const allowed = [...methods].flatMap(([url, known]) => (matches(url, path) ? [...known] : []))
    if (allowed.length === 0) {
      const notFound = new Problem(
        404,
        'route_not_found',
        'There is no such route; /docs names those that are.',
      )
      return sendProblem(request, reply, notFound)
    }
    const allow = [...new Set(allowed)].join(', ')
    const problem = new Problem(405, 'method_not_allowed', `Expected ${allow}, got ${request.method}.`, {
      headers: { allow },
    })
    return sendProblem(request, reply, problem)
  })
}

/** Whether a path is one of a pattern's; `:name` stands for any one segment. */
function matches(pattern: string, path: string): boolean {
  const [expected, actual] = [pattern.split('/'), path.split('/')]
  return (
    expected.length === actual.length &&
    expected.every((part, place) => (part.startsWith(':') ? actual[place] !== '' : part === actual[place]))
  )
}

function registerRoutes(app: FastifyInstance, dependencies: ApiDependencies): void {
  const recent = new RecentlyPublished({ lifeMs: PENDING_LIFE_MS, nowMs: dependencies.nowMs })
  registerBalances(app, dependencies)
  registerReadAccounts(app, dependencies)
  registerChangeAccounts(app, dependencies)
  registerReadTransactions(app, dependencies, recent)
  registerPostTransactions(app, dependencies, recent)
  registerReviews(app, dependencies)
  registerReviewWork(app, dependencies)
  registerOperations(app, dependencies)
  // Whoever opens the address in a browser wants to know what there is.
  app.get('/', { schema: { hide: true } }, (_request, reply) => reply.redirect('/docs'))
  registerDeadLetters(app, dependencies)
  registerRulebooks(app, dependencies)
  registerLabels(app, dependencies)
  registerAlerts(app, dependencies)
  registerReconciliation(app, dependencies)
  registerReconciliationReport(app, dependencies)
}

/** A caller's own id where it is harmless to repeat in logs and replies, else a new one. */
function requestId(given: string | string[] | undefined): string {
  const id = harmless(given)
  return id !== undefined && /^[\w.-]{1,64}$/.test(id) ? id : randomUUID()
}

/** Bodies are parsed by our own parser; nothing but JSON is taken. */
function acceptExactJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, parseExactJson(body as string))
    } catch (error) {
      done(error as Error)
    }
  })
}

/** Bodies are at most 64 KiB: unpacking them would only be a way to send more. @throws Problem `content_encoding_unsupported` */
function refuseEncoded(request: FastifyRequest): void {
  const encoding = request.headers['content-encoding']
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return
  throw new Problem(415, 'content_encoding_unsupported', 'Expected a body that is not compressed.', {
    // RFC 9110, section 15.5.16: says what would have been taken.
    headers: { 'accept-encoding': 'identity' },
  })
}

/** Refuses card numbers and what can't be stored wherever else a request could carry them, and measures every request. */
function observe(app: FastifyInstance, { metrics, logger }: ApiDependencies): void {
  app.addHook('onRequest', async (request, reply) => {
    request.trace = continueTrace(harmless(request.headers[TRACE_HEADER]))
    reply.headers({ 'x-request-id': request.id, [TRACE_HEADER]: traceparentOf(request.trace) })
    refuseEncoded(request)
    refuseUnstorable(decoded(request.url))
    for (const text of [request.url, request.headers['idempotency-key'], request.headers['x-actor']]) {
      if (typeof text === 'string') refuseCardNumber(decoded(text))
    }
  })
  // Here and not earlier: reading the body ends in another context than it began in.
  app.addHook('preHandler', (request, _reply, done) => {
    if (request.trace === null) done()
    else withTrace(request.trace, request.id, done)
  })
  app.addHook('onResponse', async (request, reply) => {
    const { method } = request
    // The pattern, not the path: paths carry ids, and there are as many as clients like.
    const route = request.routeOptions.url ?? 'none'
    const seconds = reply.elapsedTime / 1000
    metrics.requestSeconds.observe({ method, route, status: String(reply.statusCode) }, seconds)
    logger.debug({ ...idsOf(request), method, route, status: reply.statusCode, seconds }, 'request')
  })
}

const idsOf = ({ id, trace }: FastifyRequest): object => ({ requestId: id, traceId: trace?.traceId })

/** A header that may be repeated in logs, replies and records. */
const harmless = (given: string | string[] | undefined): string | undefined =>
  typeof given === 'string' && maskCardNumbers(given) === given ? given : undefined

/** Text with percent-encoding undone, as far as it can be. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

async function describe(app: FastifyInstance): Promise<void> {
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Tallystream',
        version: '0.1.0',
        description:
          'Double-entry balances from a Kafka log. Posting publishes a record; the outcome is decided by the engine, in the one order of the ledger’s history.',
      },
      tags: [
        { name: 'accounts', description: 'Accounts, balances, entries' },
        { name: 'transactions', description: 'Posting and reading transactions' },
        { name: 'reviews', description: 'Held transactions' },
        { name: 'fraud', description: 'Alerts, rulebooks, labels' },
        { name: 'reconciliation', description: 'Pairs of sources, breaks, reports' },
        { name: 'compatibility', description: 'Calls of systems that this one replaces' },
        { name: 'operations', description: 'Health, metrics, dead letters' },
      ],
    },
    refResolver: {
      buildLocalReference: (json, _base, _fragment, index) => String(json.$id ?? `def-${index}`),
    },
  })
  await app.register(fastifySwaggerUi, { routePrefix: '/docs' })
}
