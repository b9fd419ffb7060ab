/**
 * /reviews/{id}: one held transaction with its story, and the work on it: who has it, notes. That decides nothing and is no part of
 * the ledger's history; releasing and declining is POST /reviews.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ApiDependencies } from '#api/dependencies.ts'
import { readReviewStory } from '#api/gateway/review-story.ts'
import { requiredActor } from '#api/gateway/submit-change.ts'
import { Problem, problems } from '#api/problem.ts'
import { HELD_EXAMPLE, heldSchema } from '#api/routes/reviews/reviews.ts'
import { nullableTextSchema, timeSchema } from '#api/schemas.ts'
import { NOTE_LENGTH_MAX, WORK_REFUSALS, type WorkCommand } from '#domain/reviews/review-work.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'

const params = {
  type: 'object',
  properties: {
    id: { type: 'string', minLength: 1, maxLength: 64, description: 'The held transaction’s id.' },
  },
} as const

const sourceQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    source: { type: 'string', maxLength: 64, default: '', description: 'Ids are unique within a source.' },
  },
} as const

const workSchema = {
  type: 'object',
  properties: {
    txn_id: { type: 'string' },
    source: { type: 'string' },
    owner: { ...nullableTextSchema, description: 'Who works on it now.' },
  },
  examples: [{ txn_id: 'pay-17', source: 'shop', owner: 'ann' }],
} as const

interface WorkRoute {
  Params: { id: string }
  Querystring: { source?: string }
}

/** Registers the routes. */
export function registerReviewWork(app: FastifyInstance, dependencies: ApiDependencies): void {
  registerStory(app, dependencies)
  app.post<WorkRoute & { Body: { owner?: string | null } }>(
    '/reviews/:id/assignment',
    {
      schema: {
        operationId: 'assignReview',
        summary: 'Take a held transaction, assign it to somebody, or give it back',
        description:
          'Without an owner whoever is named by `x-actor` takes it, where nobody else has it (409 taken_by_other); with one it is theirs; with null it is nobody’s. Decides nothing.',
        tags: ['reviews'],
        params,
        querystring: sourceQuery,
        body: {
          type: 'object',
          additionalProperties: false,
          properties: { owner: { type: ['string', 'null'], maxLength: 128 } },
          examples: [{ owner: 'ann' }],
        },
        response: { 200: { ...workSchema, description: 'Done.' }, ...problems(400, 409, 413, 415, 422, 503) },
      },
    },
    async (request) => {
      const { owner } = request.body
      return await work(
        dependencies,
        request,
        owner === undefined
          ? { type: 'take' }
          : owner === null
            ? { type: 'give_back' }
            : { type: 'assign', owner },
      )
    },
  )
  app.post<WorkRoute & { Body: { note: string } }>(
    '/reviews/:id/notes',
    {
      schema: {
        operationId: 'noteReview',
        summary: 'Write a note about a held transaction',
        description: 'Kept with its time and whoever is named by `x-actor`; never changed. Decides nothing.',
        tags: ['reviews'],
        params,
        querystring: sourceQuery,
        body: {
          type: 'object',
          additionalProperties: false,
          required: ['note'],
          properties: { note: { type: 'string', minLength: 1, maxLength: NOTE_LENGTH_MAX } },
          examples: [{ note: 'called the customer, no answer' }],
        },
        response: { 200: { ...workSchema, description: 'Done.' }, ...problems(400, 409, 413, 415, 422, 503) },
      },
    },
    async (request) => await work(dependencies, request, { type: 'note', note: request.body.note }),
  )
}

function registerStory(app: FastifyInstance, dependencies: ApiDependencies): void {
  app.get<WorkRoute>(
    '/reviews/:id',
    {
      schema: {
        operationId: 'readReview',
        summary: 'One transaction that is or was held for review',
        description:
          'Why it is held, in words and values; every decision about it; who had it, and the notes, oldest first.',
        tags: ['reviews'],
        params,
        querystring: sourceQuery,
        response: {
          200: {
            type: 'object',
            description: 'The hold and its story.',
            properties: {
              ...heldSchema.properties,
              status: { type: 'string', description: 'held, or how it ended.' },
              decisions: { type: 'array', items: { type: 'object', additionalProperties: true } },
              events: {
                type: 'array',
                items: {
                  type: 'object',
                  properties: {
                    at: timeSchema,
                    actor: { type: 'string' },
                    kind: { type: 'string', enum: ['assigned', 'given_back', 'noted'] },
                    owner: nullableTextSchema,
                    note: nullableTextSchema,
                  },
                },
              },
            },
            examples: [
              {
                ...HELD_EXAMPLE,
                status: 'held',
                decisions: [{ outcome: 'held', explanation: 'Held for review.' }],
                events: [
                  {
                    at: '2026-01-31T12:30:00.000Z',
                    actor: 'ann',
                    kind: 'assigned',
                    owner: 'ann',
                    note: null,
                  },
                ],
              },
            ],
          },
          ...problems(400, 404, 503),
        },
      },
    },
    async (request) => {
      const { source = '' } = request.query
      const story = await readReviewStory(dependencies, { id: request.params.id, source })
      if (story === undefined)
        throw new Problem(
          404,
          'review_not_found',
          'No transaction of this id and source was held for review.',
        )
      return story
    },
  )
}

async function work(
  { doReviewWork, nowMs }: ApiDependencies,
  request: FastifyRequest<WorkRoute>,
  command: WorkCommand,
): Promise<object> {
  const actor = requiredActor(request)
  const { id } = request.params
  const { source = '' } = request.query
  const key = transactionKey(source, id)
  const done = await doReviewWork({ key, subject: `${source}/${id}`, command, actor, atMs: nowMs() })
  if ('refusal' in done)
    throw new Problem(409, done.refusal, `That can’t be done: ${WORK_REFUSALS[done.refusal]}.`)
  return { txn_id: id, source, owner: done.owner }
}
