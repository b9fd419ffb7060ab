/** GET /dead-letters: records that could not be read, and what was decided about them. Their bytes are for the command line alone. */
import type { FastifyInstance } from 'fastify'
import type { ApiDependencies } from '#api/dependencies.ts'
import { problems } from '#api/problem.ts'
import { cursorOf, linkNext, PAGE_SIZE_DEFAULT, pageQuery, timeOf } from '#api/request.ts'
import { deadLetterSchema, showDeadLetter } from '#api/routes/operations/show-dead-letter.ts'
import type { DeadLetterStatus } from '#domain/ledger/state.ts'
import { DEAD_LETTERS_CURSOR_LENGTH, readDeadLetters } from '#platform/postgres/queries/read-dead-letters.ts'

interface Query {
  cursor?: string
  limit?: number
  reason?: string
  topic?: string
  status?: DeadLetterStatus
  since?: string
  until?: string
}

const time = { type: 'string', maxLength: 40, description: 'ISO 8601 with its zone.' } as const

const maybeTime = (text: string | undefined, field: string): Date | undefined =>
  text === undefined ? undefined : timeOf(text, field)

const LETTER_EXAMPLE = {
  letter: 'transactions:3:1042',
  topic: 'transactions',
  partition: 3,
  offset: '1042',
  first_offset: null,
  sequence: '4711',
  reason: 'json_invalid',
  detail: 'expected a JSON document',
  value_bytes: '17',
  value_sha256: '4b68ab3847feda7d6c62c1fbcbeebfa35eab7351ed5e78f4ddadea5df64b8015',
  kept: 'whole',
  content_type: 'application/json',
  recorded_at: '2026-01-31T12:00:00.000Z',
  status: 'open',
  decided: null,
} as const

/** Registers the route. */
export function registerDeadLetters(app: FastifyInstance, { pool }: ApiDependencies): void {
  app.get<{ Querystring: Query }>(
    '/dead-letters',
    {
      schema: {
        operationId: 'listDeadLetters',
        summary: 'Records that could not be read, newest first',
        description: 'Without their bytes: `npx tallystream dlq show` has those, and retries and discards.',
        tags: ['operations'],
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            ...pageQuery,
            reason: { type: 'string', maxLength: 64, description: 'Reason code.' },
            topic: { type: 'string', maxLength: 249, description: 'Without the ledger’s prefix.' },
            status: {
              type: 'string',
              enum: ['open', 'retried', 'discarded'],
              description: 'What was decided about it.',
            },
            since: time,
            until: time,
          },
        },
        response: {
          200: {
            type: 'array',
            description: 'A page of dead letters.',
            items: deadLetterSchema,
            examples: [[LETTER_EXAMPLE]],
          },
          ...problems(400, 503),
        },
      },
    },
    async (request, reply) => {
      const { cursor, limit = PAGE_SIZE_DEFAULT, reason, topic, status, since, until } = request.query
      const page = await readDeadLetters(pool, {
        after: cursorOf(cursor, DEAD_LETTERS_CURSOR_LENGTH),
        limit,
        filter: {
          reason,
          topic,
          status,
          since: maybeTime(since, 'since'),
          until: maybeTime(until, 'until'),
        },
      })
      linkNext(request, reply, page)
      return page.items.map(showDeadLetter)
    },
  )
}
