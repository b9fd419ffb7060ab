/**
 * /recon: how pairs of sources stand, their breaks, and what people decide about them. Deciding publishes a command to the topic
 * `reconciliation.commands`; what becomes of it is the reconciler's.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ApiDependencies } from '#api/dependencies.ts'
import { Problem, problems } from '#api/problem.ts'
import { namedActor, PAGE_SIZE_DEFAULT, pageQuery, waitOf } from '#api/request.ts'
import { dateOf, shownBreak } from '#api/routes/reconciliation/shown.ts'
import { decimalSchema, nullableTextSchema, timeSchema } from '#api/schemas.ts'
import { BREAK_KINDS, SEVERITIES } from '#domain/breaks/classify.ts'
import {
  readBreaks,
  readCommandOutcome,
  readItemStory,
  readPairStatus,
} from '#platform/postgres/reconciliation/queries.ts'

const POLL_MS = 50
const ID_LENGTH_MAX = 256

const breakSchema = {
  type: 'object',
  properties: {
    break_id: { type: 'string' },
    status: { type: 'string', description: 'open, proposed, posting or closed.' },
    kind: { type: 'string' },
    severity: { type: 'string' },
    owner: nullableTextSchema,
    side: nullableTextSchema,
    account: nullableTextSchema,
    currency: nullableTextSchema,
    amount: { ...decimalSchema, type: ['string', 'null'] },
    date: nullableTextSchema,
    opened_at: timeSchema,
  },
} as const

const BREAK_EXAMPLE = {
  break_id: 'ledger:42.0.0',
  status: 'open',
  kind: 'missing_in_bank',
  severity: 'medium',
  owner: 'ann',
  side: 'ledger',
  account: 'nostro-eur',
  currency: 'EUR',
  amount: '700.00',
  date: '2026-03-02',
  opened_at: '2026-03-02T18:00:00.000Z',
} as const

const pairParam = { type: 'string', maxLength: 63, description: 'The pair’s name.' } as const
const pairParams = { type: 'object', properties: { pair: pairParam } } as const
const breakParams = {
  type: 'object',
  properties: {
    pair: pairParam,
    id: { type: 'string', maxLength: ID_LENGTH_MAX, description: 'The item or break.' },
  },
} as const
/** What is shown as it was stored: its members differ by kind. */
const freeObject = { type: 'object', additionalProperties: true } as const

interface ListQuery {
  cursor?: string
  limit?: number
  kind?: string
  status?: string
  owner?: string
  severity?: string
}

/** Registers the routes. */
export function registerReconciliation(app: FastifyInstance, dependencies: ApiDependencies): void {
  const { pool } = dependencies
  app.get(
    '/recon',
    {
      schema: {
        operationId: 'listPairs',
        summary: 'How every pair of sources stands',
        description: 'Items, matches by pass (`ended`: taken back), open breaks by kind with the oldest.',
        tags: ['reconciliation'],
        response: {
          200: {
            type: 'array',
            description: 'All pairs.',
            items: {
              type: 'object',
              properties: {
                pair: { type: 'string' },
                ledger_sequence: { type: 'string', description: 'The last batch that was read.' },
                items: { type: 'string' },
                statements: { type: 'string' },
                refused: { type: 'string', description: 'Records that are no item.' },
                matches: { type: 'array', items: freeObject },
                open: { type: 'array', items: freeObject },
              },
            },
            examples: [
              [
                {
                  pair: 'nostro',
                  ledger_sequence: '4711',
                  items: '2000',
                  statements: '12',
                  refused: '0',
                  matches: [{ pass: 'reference:endToEndId', matches: 990, ended: 1 }],
                  open: [{ kind: 'timing', breaks: 20, oldest: '2026-03-01' }],
                },
              ],
            ],
          },
          ...problems(503),
        },
      },
    },
    async () =>
      (await readPairStatus(pool)).map(({ open, ledger_sequence, items, statements, refused, ...pair }) => ({
        ...pair,
        ledger_sequence: String(ledger_sequence),
        items: String(items),
        statements: String(statements),
        refused: String(refused),
        open: open.map(({ oldest_day, ...one }) => ({ ...one, oldest: dateOf(oldest_day) })),
      })),
  )
  app.get<{ Params: { pair: string }; Querystring: ListQuery }>(
    '/recon/:pair/breaks',
    {
      schema: {
        operationId: 'listBreaks',
        summary: 'Breaks of a pair, by their ids; without a status those that are not closed',
        description: 'A Link header names the next page.',
        tags: ['reconciliation'],
        params: pairParams,
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            ...pageQuery,
            cursor: { ...pageQuery.cursor, maxLength: 400 },
            kind: { type: 'string', enum: [...BREAK_KINDS], description: 'Only of this kind.' },
            status: {
              type: 'string',
              enum: ['open', 'proposed', 'posting', 'closed'],
              description: 'Only these.',
            },
            owner: { type: 'string', maxLength: 128, description: 'Only those of somebody.' },
            severity: { type: 'string', enum: [...SEVERITIES], description: 'Only of this severity.' },
          },
        },
        response: {
          200: {
            type: 'array',
            description: 'A page of breaks.',
            items: breakSchema,
            examples: [[BREAK_EXAMPLE]],
          },
          ...problems(400, 503),
        },
      },
    },
    async (request, reply) => {
      const { cursor, limit = PAGE_SIZE_DEFAULT, kind, status, owner, severity } = request.query
      const rows = await readBreaks(pool, {
        pair: request.params.pair,
        kind: kind ?? null,
        status: status ?? null,
        owner: owner ?? null,
        severity: severity ?? null,
        after: cursor === undefined ? null : Buffer.from(cursor, 'base64url').toString(),
        limit: limit + 1,
      })
      const page = rows.slice(0, limit)
      if (rows.length > limit) linkAfter(request, reply, page.at(-1)!.break_id)
      return page.map(shownBreak)
    },
  )
  app.get<{ Params: { pair: string; id: string } }>(
    '/recon/:pair/items/:id',
    {
      schema: {
        operationId: 'readItemStory',
        summary: 'All about an item or a break',
        description:
          'Where it came from, every match it was ever part of with both sides, what happened to its break.',
        tags: ['reconciliation'],
        params: breakParams,
        response: {
          200: {
            type: 'object',
            description: 'Where it came from, its matches, its break with all events.',
            properties: {
              item: { type: ['object', 'null'], additionalProperties: true },
              break: { type: ['object', 'null'], additionalProperties: true },
              events: { type: 'array', items: freeObject },
              matches: { type: 'array', items: freeObject },
            },
            examples: [
              {
                item: { id: 'ledger:42.0.0', provenance: 'entry 42.0.0 of pay-17, transactions:3:1042' },
                break: BREAK_EXAMPLE,
                events: [{ type: 'opened', kind: 'timing', atMs: 1772474400000 }],
                matches: [],
              },
            ],
          },
          ...problems(404, 503),
        },
      },
    },
    async (request) => {
      const { pair, id } = request.params
      const story = await readItemStory(pool, pair, id)
      if (story.item === null && story.break === null) {
        throw new Problem(404, 'item_not_found', 'The pair has no such item or break.')
      }
      return {
        item: story.item,
        break: story.break === null ? null : shownBreak(story.break),
        events: story.events,
        matches: story.matches.map(({ difference, ...match }) => ({
          ...match,
          difference: String(difference),
        })),
      }
    },
  )
  registerDecisions(app, dependencies)
}

function linkAfter(request: FastifyRequest, reply: FastifyReply, breakId: string): void {
  const url = new URL(request.url, 'http://api')
  url.searchParams.set('cursor', Buffer.from(breakId).toString('base64url'))
  reply.header('link', `<${url.pathname}${url.search}>; rel="next"`)
}

interface DecisionBody {
  command: string
  owner?: string | null
  text?: string
  reason?: string
  kind?: string
  resolution?: Record<string, unknown>
}

function registerDecisions(app: FastifyInstance, { pool, gateway, options, nowMs }: ApiDependencies): void {
  app.post<{ Params: { pair: string; id: string }; Body: DecisionBody }>(
    '/recon/:pair/breaks/:id/commands',
    {
      handlerTimeout: options.waitMaxMs + 15_000,
      schema: {
        operationId: 'decideBreak',
        summary: 'Assign a break, write a note, propose a resolution, approve or refuse one, open it again',
        description:
          'Who decides is named by the header `x-actor`; who proposed can’t approve. With `Prefer: wait=N` the reply says what became of it; a refusal is 409 with its code.',
        tags: ['reconciliation'],
        params: breakParams,
        body: {
          type: 'object',
          additionalProperties: false,
          required: ['command'],
          properties: {
            command: { type: 'string', enum: ['assign', 'note', 'propose', 'approve', 'refuse', 'reopen'] },
            owner: { type: ['string', 'null'], maxLength: 128, description: 'assign.' },
            text: { type: 'string', maxLength: 2000, description: 'note.' },
            reason: { type: 'string', maxLength: 2000, description: 'propose, refuse, reopen.' },
            kind: { type: 'string', enum: [...BREAK_KINDS], description: 'reopen: what it is from now on.' },
            resolution: {
              type: 'object',
              additionalProperties: false,
              required: ['kind'],
              description: 'propose.',
              properties: {
                kind: { type: 'string', enum: ['match', 'write_off', 'unmatch', 'ignore'] },
                ledger: {
                  type: 'array',
                  maxItems: 1000,
                  items: { type: 'string', maxLength: ID_LENGTH_MAX },
                },
                bank: { type: 'array', maxItems: 1000, items: { type: 'string', maxLength: ID_LENGTH_MAX } },
                account: { type: 'string', maxLength: 128 },
              },
            },
          },
          examples: [
            {
              command: 'propose',
              reason: 'the bank took a fee',
              resolution: { kind: 'write_off', account: 'fees', ledger: ['ledger:42.0.0'], bank: [] },
            },
          ],
        },
        response: {
          200: {
            type: 'object',
            description: 'Carried out.',
            properties: { id: { type: 'string' }, outcome: { type: 'string' } },
            examples: [{ id: 'api-6b1f0c1e', outcome: 'done' }],
          },
          202: {
            type: 'object',
            description: 'Published, not carried out yet.',
            properties: { id: { type: 'string' }, outcome: { type: 'string' } },
            examples: [{ id: 'api-6b1f0c1e', outcome: 'published' }],
          },
          ...problems(400, 409, 413, 415, 503),
        },
      },
    },
    async (request, reply) => {
      const { pair, id: subject } = request.params
      const { command, ...body } = request.body
      const actor = namedActor(request)
      if (actor === undefined) {
        throw new Problem(400, 'actor_required', 'A decision needs somebody: the header x-actor.')
      }
      const waitMs = waitOf(request, options.waitMaxMs) ?? 0
      const id = `api-${randomUUID()}`
      await gateway.publish('reconciliationCommands', pair, {
        id,
        pair,
        kind: command,
        subject,
        body: JSON.stringify(body),
        actor,
        occurredAt: nowMs(),
      })
      const deadline = performance.now() + waitMs
      while (performance.now() < deadline) {
        const outcome = await readCommandOutcome(pool, pair, id)
        if (outcome !== null) return carriedOut(id, outcome.refusal)
        await sleep(POLL_MS)
      }
      return await reply.status(202).send({ id, outcome: 'published' })
    },
  )
}

function carriedOut(id: string, refusal: string | null): object {
  if (refusal === null) return { id, outcome: 'done' }
  throw new Problem(409, 'command_refused', `The reconciler refused it: ${refusal}.`, {
    members: { refusal, id },
  })
}
