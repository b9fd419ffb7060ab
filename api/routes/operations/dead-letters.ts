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

/** Registers the route. */
export function registerDeadLetters(app: FastifyInstance, { pool }: ApiDependencies): void {
  app.get<{ Querystring: Query }>(
    '/dead-letters',
    {
      schema: {
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
            status: { type: 'string', enum: ['open', 'retried', 'discarded'] },
            since: time,
            until: time,
          },
        },
        response: { 200: { type: 'array', items: deadLetterSchema }, ...problems(400, 503) },
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
