/** GET /reviews: what waits for a reviewer. POST /reviews: a reviewer's decision, published to the topic `reviews`. */
import type { FastifyInstance } from 'fastify'
import { showAmount } from '#api/amounts.ts'
import type { ApiDependencies } from '#api/dependencies.ts'
import { Problem, problems } from '#api/problem.ts'
import { cursorOf, linkNext, namedActor, PAGE_SIZE_DEFAULT, pageQuery, timeOf, waitOf } from '#api/request.ts'
import { shownStatus } from '#api/routes/transactions/show-transaction.ts'
import {
  nullableTextSchema,
  outcomeExamples,
  outcomeSchema,
  postingSchema,
  timeSchema,
} from '#api/schemas.ts'
import { wordsOf } from '#domain/transactions/reason-texts.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import {
  HELD_CURSOR_LENGTHS,
  type HeldTransaction,
  listHeld,
  QUEUE_ORDERS,
  type QueueOrder,
} from '#platform/postgres/queries/list-held.ts'
import type { LogPosition } from '#platform/postgres/queries/read-applied-offsets.ts'
import { readProgress } from '#platform/postgres/queries/read-progress.ts'
import { readTransaction } from '#platform/postgres/queries/read-transaction.ts'

interface ReviewBody {
  transactionId: string
  source?: string
  decision: 'release' | 'decline'
  reason?: string
}

interface ListQuery {
  cursor?: string
  limit?: number
  order?: QueueOrder
  owner?: string
  unassigned?: boolean
  priority_min?: number
  held_before?: string
}

const listQuery = {
  ...pageQuery,
  order: { type: 'string', enum: QUEUE_ORDERS, default: 'expires', description: 'What stands at the front.' },
  owner: { type: 'string', maxLength: 128, description: 'Only what somebody works on.' },
  unassigned: { type: 'boolean', description: 'true: only what nobody works on.' },
  priority_min: {
    type: 'integer',
    minimum: 0,
    maximum: 2_147_483_647,
    description: 'Only from this priority on.',
  },
  held_before: {
    type: 'string',
    maxLength: 40,
    description: 'Only what was held before this time (ISO 8601).',
  },
} as const

export const heldSchema = {
  type: 'object',
  properties: {
    txn_id: { type: 'string' },
    source: { type: 'string' },
    held_at: timeSchema,
    expires_at: timeSchema,
    age_seconds: { type: 'integer', description: 'Since it was held, by the clock of the API.' },
    priority: { type: 'integer', description: 'The larger, the sooner: see docs/fraud.md.' },
    owner: { ...nullableTextSchema, description: 'Who works on it.' },
    notes: { type: 'integer', description: 'How many were written.' },
    reviewers_needed: { type: 'integer', description: 'How many people must release it.' },
    released_by: { ...nullableTextSchema, description: 'Who has, while another one is still needed.' },
    postings: { type: 'array', items: postingSchema },
  },
} as const

export const HELD_EXAMPLE = {
  txn_id: 'pay-17',
  source: 'shop',
  held_at: '2026-01-31T12:00:00.000Z',
  expires_at: '2026-02-07T12:00:00.000Z',
  age_seconds: 3600,
  priority: 520,
  owner: 'ann',
  notes: 1,
  reviewers_needed: 2,
  released_by: null,
  postings: [{ debit: 'alice', credit: 'bob', amount: '9000.00', currency: 'EUR' }],
} as const

/** A transaction that waits for a reviewer, as the API shows it. @param nowMs ms since 1970 */
export const showHeld = (held: HeldTransaction, nowMs: number) => ({
  txn_id: held.id,
  source: held.source,
  held_at: held.heldAt.toISOString(),
  expires_at: new Date(held.expiresAtMs).toISOString(),
  age_seconds: Math.max(0, Math.floor((nowMs - held.heldAt.getTime()) / 1000)),
  priority: held.priority,
  owner: held.owner,
  notes: held.notes,
  reviewers_needed: held.reviewers,
  released_by: held.releasedBy,
  postings: held.postings.map((posting) => ({
    debit: posting.debit,
    credit: posting.credit,
    amount: showAmount(posting.amountMinor, posting.currency),
    currency: posting.currency,
  })),
})

/** Registers the routes. */
export function registerReviews(app: FastifyInstance, dependencies: ApiDependencies): void {
  const { pool, options, nowMs } = dependencies
  app.get<{ Querystring: ListQuery }>(
    '/reviews',
    {
      schema: {
        operationId: 'listHeld',
        summary:
          'Transactions held for review: those that expire first, or those of the highest priority, at the front',
        description: 'Their money is reserved. A Link header names the next page.',
        tags: ['reviews'],
        querystring: { type: 'object', additionalProperties: false, properties: listQuery },
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
      const { cursor, limit = PAGE_SIZE_DEFAULT, order = 'expires', ...given } = request.query
      const page = await listHeld(pool, {
        after: cursorOf(cursor, HELD_CURSOR_LENGTHS[order]),
        limit,
        order,
        filters: {
          owner: given.owner,
          unassigned: given.unassigned,
          priorityMin: given.priority_min,
          heldBefore: given.held_before === undefined ? undefined : timeOf(given.held_before, 'held_before'),
        },
      })
      linkNext(request, reply, page)
      return page.items.map((held) => showHeld(held, nowMs()))
    },
  )
  app.post<{ Body: ReviewBody }>(
    '/reviews',
    {
      handlerTimeout: options.waitMaxMs + 15_000,
      schema: {
        operationId: 'review',
        summary: 'Release or decline a held transaction',
        description:
          'The reviewer is named by the header `x-actor`. The first decision wins. Where two people must release it, the first release is noted and answered with 409 second_reviewer_needed.',
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
      // What decides the review comes after this.
      const { sequence = 0n } = (waitMs > 0 ? await readProgress(pool) : undefined) ?? {}
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
      return await reviewed(dependencies, { transactionId, source, afterSequence: sequence }, position)
    },
  )
}

/** The decision that this very review brought, if it was the first. */
async function reviewed(
  { pool, cache, readRefusal }: ApiDependencies,
  { transactionId, source, afterSequence }: { transactionId: string; source: string; afterSequence: bigint },
  position: LogPosition,
): Promise<object> {
  const transaction = await readTransaction(pool, transactionKey(source, transactionId))
  const decision = transaction?.decisions.find(
    ({ topic, partition, offset }) =>
      topic === position.topic && partition === position.partition && offset === position.offset,
  )
  if (transaction === undefined || decision === undefined) {
    const refusal = (await readRefusal(position, afterSequence)) ?? 'not_held'
    throw new Problem(409, refusal, `The ledger refused the review: ${wordsOf(refusal) ?? refusal}.`)
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
