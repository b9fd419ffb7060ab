/** GET /reviews: what waits for a reviewer. POST /reviews: a reviewer's decision, published to the topic `reviews`. */
import type { FastifyInstance } from 'fastify'
import { showAmount } from '#api/amounts.ts'
import type { ApiDependencies } from '#api/dependencies.ts'
import { Problem, problems } from '#api/problem.ts'
import { cursorOf, linkNext, namedActor, PAGE_SIZE_DEFAULT, pageQuery, waitOf } from '#api/request.ts'
import { shownStatus } from '#api/routes/transactions/show-transaction.ts'
import {
  nullableTextSchema,
  outcomeExamples,
  outcomeSchema,
  postingSchema,
  timeSchema,
} from '#api/schemas.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import { HELD_CURSOR_LENGTH, type HeldTransaction, listHeld } from '#platform/postgres/queries/list-held.ts'
import type { LogPosition } from '#platform/postgres/queries/read-applied-offsets.ts'
import { readProgress } from '#platform/postgres/queries/read-progress.ts'
import { readTransaction } from '#platform/postgres/queries/read-transaction.ts'

interface ReviewBody {
  transactionId: string
  source?: string
  decision: 'release' | 'decline'
  reason?: string
}

const heldSchema = {
  type: 'object',
  properties: {
    txn_id: { type: 'string' },
    source: { type: 'string' },
    held_at: timeSchema,
    expires_at: timeSchema,
    postings: { type: 'array', items: postingSchema },
  },
} as const

const HELD_EXAMPLE = {
  txn_id: 'pay-17',
  source: 'shop',
  held_at: '2026-01-31T12:00:00.000Z',
  expires_at: '2026-02-07T12:00:00.000Z',
  postings: [{ debit: 'alice', credit: 'bob', amount: '9000.00', currency: 'EUR' }],
} as const

/** A transaction that waits for a reviewer, as the API shows it. */
export const showHeld = (held: HeldTransaction) => ({
  txn_id: held.id,
  source: held.source,
  held_at: held.heldAt.toISOString(),
  expires_at: new Date(held.expiresAtMs).toISOString(),
  postings: held.postings.map((posting) => ({
    debit: posting.debit,
    credit: posting.credit,
    amount: showAmount(posting.amountMinor, posting.currency),
    currency: posting.currency,
  })),
})

/** Registers the routes. */
export function registerReviews(app: FastifyInstance, dependencies: ApiDependencies): void {
  const { pool, options } = dependencies
  app.get<{ Querystring: { cursor?: string; limit?: number } }>(
    '/reviews',
    {
      schema: {
        operationId: 'listHeld',
        summary: 'Transactions held for review, those that expire first at the front',
        description: 'Their money is reserved. A Link header names the next page.',
        tags: ['reviews'],
        querystring: { type: 'object', additionalProperties: false, properties: pageQuery },
        response: {
          200: {
            type: 'array',
            description: 'A page of held transactions.',
            items: heldSchema,
            examples: [[HELD_EXAMPLE]],
          },
          ...problems(400, 503),
        },
      },
    },
    async (request, reply) => {
      const { cursor, limit = PAGE_SIZE_DEFAULT } = request.query
      const page = await listHeld(pool, { after: cursorOf(cursor, HELD_CURSOR_LENGTH), limit })
      linkNext(request, reply, page)
      return page.items.map(showHeld)
    },
  )
  app.post<{ Body: ReviewBody }>(
    '/reviews',
    {
      handlerTimeout: options.waitMaxMs + 15_000,
      schema: {
        operationId: 'review',
        summary: 'Release or decline a held transaction',
        description: 'The reviewer is named by the header `x-actor`. The first decision wins.',
        tags: ['reviews'],
        body: {
          type: 'object',
          additionalProperties: false,
          required: ['transactionId', 'decision'],
          properties: {
            transactionId: { type: 'string', minLength: 1, maxLength: 64 },
            source: { type: 'string', maxLength: 64, default: '' },
            decision: { type: 'string', enum: ['release', 'decline'] },
            reason: { type: 'string', maxLength: 512, default: '' },
          },
          examples: [{ transactionId: 'pay-17', decision: 'release', reason: 'customer called back' }],
        },
        response: {
          200: {
            ...outcomeSchema,
            description: 'What the transaction is after this review.',
            examples: [outcomeExamples.completed],
          },
          202: {
            type: 'object',
            description: 'Published, not decided yet; the Location header names the transaction.',
            examples: [outcomeExamples.pending],
            properties: {
              txn_id: { type: 'string' },
              status: { type: 'string' },
              source: nullableTextSchema,
            },
          },
          ...problems(400, 409, 413, 415, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const { transactionId, source = '', decision, reason = '' } = request.body
      const actor = namedActor(request)
      if (actor === undefined)
        throw new Problem(400, 'actor_required', 'A review needs a reviewer: the header x-actor.')
      const waitMs = waitOf(request, options.waitMaxMs) ?? 0
      const { gateway, positions } = dependencies
      const position = await gateway.publish('reviews', transactionId, {
        transactionId,
        source,
        decision,
        reason,
        actor,
      })
      reply.header('location', `/transactions/${encodeURIComponent(transactionId)}`)
      if (!(await positions.wait(position, waitMs))) {
        return await reply.status(202).send({ txn_id: transactionId, status: 'pending' })
      }
      return await reviewed(dependencies, { transactionId, source }, position)
    },
  )
}

/** The decision that this very review brought, if it was the first. */
async function reviewed(
  { pool, cache }: ApiDependencies,
  { transactionId, source }: { transactionId: string; source: string },
  position: LogPosition,
): Promise<object> {
  const transaction = await readTransaction(pool, transactionKey(source, transactionId))
  const decision = transaction?.decisions.find(
    ({ topic, partition, offset }) =>
      topic === position.topic && partition === position.partition && offset === position.offset,
  )
  if (transaction === undefined || decision === undefined) {
    throw new Problem(409, 'not_held', 'The transaction is not held, or another review came first.')
  }
  const accountIds = (transaction.hold?.postings ?? []).flatMap(({ debit, credit }) => [debit, credit])
  const timeline = (await readProgress(pool))?.timeline ?? 0n
  await cache.expireOlder(accountIds, { sequence: decision.sequence, timeline })
  return {
    txn_id: transactionId,
    ...(source === '' ? {} : { source }),
    status: shownStatus(decision.status),
    ...(decision.reason === null ? {} : { reason: decision.reason }),
    sequence: decision.sequence.toString(),
    recorded_at: decision.recordedAt.toISOString(),
  }
}
