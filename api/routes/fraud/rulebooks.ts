/** /fraud/rulebooks: the rulebooks that the ledger was told, and changing them under four eyes. Changes are records of the topic `rules`. */
import type { FastifyInstance } from 'fastify'
import type { ApiDependencies } from '#api/dependencies.ts'
import { approvalRecord, problemOfDefinition, proposalRecord } from '#api/gateway/rulebook-records.ts'
import { requiredActor, submitChange } from '#api/gateway/submit-change.ts'
import { Problem, problems } from '#api/problem.ts'
import { cursorOf, linkNext, PAGE_SIZE_DEFAULT, pageQuery } from '#api/request.ts'
import { nullableTextSchema } from '#api/schemas.ts'
import { parseRulebook } from '#domain/fraud/rulebook/parse.ts'
import {
  listRulebooks,
  RULEBOOK_CURSOR_LENGTH,
  type StoredRulebook,
} from '#platform/postgres/queries/list-rulebooks.ts'

/** A rulebook has up to 131,072 characters; as UTF-8 and with white space it is longer. */
const BODY_BYTES_MAX = 1024 * 1024
const VERSION = /^\d{1,18}$/

const bookProperties = {
  version: {
    type: 'string',
    description: 'Sequence of the batch that brought it: approve a proposal by it.',
  },
  kind: { type: 'string', enum: ['proposal', 'approval'] },
  state: {
    type: 'string',
    enum: ['open', 'approved', 'in_force', 'superseded'],
    description: 'A proposal is open, approved or superseded; an approval is in force or superseded.',
  },
  name: { type: 'string' },
  rulebook_version: { type: 'integer', description: 'The version that its text states.' },
  rules: { type: 'integer', description: 'How many rules it has.' },
  author: { type: 'string' },
  approved_by: nullableTextSchema,
  approves: { ...nullableTextSchema, description: 'approval: version of the proposal.' },
} as const

const bookSchema = { type: 'object', properties: bookProperties } as const

const BOOK_EXAMPLE = {
  version: '42',
  kind: 'proposal',
  state: 'open',
  name: 'my_rules',
  rulebook_version: 1,
  rules: 12,
  author: 'ann',
  approved_by: null,
  approves: null,
} as const

const DEFINITION_EXAMPLE = { format: 1, name: 'my_rules', version: 1, rules: [], typologies: [] } as const

const versionParams = {
  type: 'object',
  properties: {
    version: { type: 'string', maxLength: 18, description: 'Of the batch that brought it; digits.' },
  },
} as const

const pendingSchema = {
  type: 'object',
  description: 'Published, not decided yet; the Location header says where to look.',
  properties: { status: { type: 'string' } },
  examples: [{ status: 'pending' }],
} as const

const showBook = (book: StoredRulebook) => {
  const { name, version, rules } = parseRulebook(JSON.parse(book.definition))
  return {
    version: book.version.toString(),
    kind: book.kind,
    state: book.state,
    name,
    rulebook_version: version,
    rules: rules.length,
    author: book.author,
    approved_by: book.approvedBy,
    approves: book.approves?.toString() ?? null,
  }
}

/** @throws Problem `version_invalid` */
const versionOf = (text: string): bigint => {
  if (VERSION.test(text)) return BigInt(text)
  throw new Problem(
    400,
    'version_invalid',
    'Expected a version in digits, as the list of rulebooks shows it.',
    {
      members: { property: 'version' },
    },
  )
}

/** Registers the routes. */
export function registerRulebooks(app: FastifyInstance, dependencies: ApiDependencies): void {
  registerReading(app, dependencies)
  registerChanging(app, dependencies)
}

function registerReading(app: FastifyInstance, { pool }: ApiDependencies): void {
  app.get<{ Querystring: { cursor?: string; limit?: number } }>(
    '/fraud/rulebooks',
    {
      schema: {
        operationId: 'listRulebooks',
        summary: 'Every rulebook that was proposed or approved, newest first',
        description: 'The one that decides has the state in_force. A Link header names the next page.',
        tags: ['fraud'],
        querystring: { type: 'object', additionalProperties: false, properties: pageQuery },
        response: {
          200: {
            type: 'array',
            description: 'A page of rulebooks.',
            items: bookSchema,
            examples: [[BOOK_EXAMPLE]],
          },
          ...problems(400, 503),
        },
      },
    },
    async (request, reply) => {
      const { cursor, limit = PAGE_SIZE_DEFAULT } = request.query
      const before = cursorOf(cursor, RULEBOOK_CURSOR_LENGTH)
      const page = await listRulebooks(pool, { before, limit })
      linkNext(request, reply, page)
      return page.items.map(showBook)
    },
  )
  app.get<{ Params: { version: string } }>(
    '/fraud/rulebooks/:version',
    {
      schema: {
        operationId: 'getRulebook',
        summary: 'A rulebook with its whole text',
        description: 'Proposals and approvals alike; the text is as docs/fraud.md describes it.',
        tags: ['fraud'],
        params: versionParams,
        response: {
          200: {
            type: 'object',
            description: 'The rulebook.',
            properties: { ...bookProperties, definition: { type: 'object', additionalProperties: true } },
            examples: [{ ...BOOK_EXAMPLE, definition: DEFINITION_EXAMPLE }],
          },
          ...problems(400, 404, 503),
        },
      },
    },
    async (request) => {
      const version = versionOf(request.params.version)
      const [book] = (await listRulebooks(pool, { before: null, limit: 1, version })).items
      if (book === undefined) throw new Problem(404, 'rulebook_not_found', 'No rulebook has this version.')
      return { ...showBook(book), definition: JSON.parse(book.definition) as object }
    },
  )
}

function registerChanging(app: FastifyInstance, dependencies: ApiDependencies): void {
  const { pool, options } = dependencies
  const handlerTimeout = options.waitMaxMs + 15_000
  const newest = async (kind: StoredRulebook['kind']) =>
    (await listRulebooks(pool, { before: null, limit: 50 })).items.find((book) => book.kind === kind)
  app.post<{ Body: object }>(
    '/fraud/rulebooks',
    {
      handlerTimeout,
      bodyLimit: BODY_BYTES_MAX,
      schema: {
        operationId: 'proposeRulebook',
        summary: 'Propose a rulebook',
        description:
          'The body is the rulebook. Who proposes it is named by the header `x-actor`; somebody else approves it. A wrong one is 422 with every problem and its place.',
        tags: ['fraud'],
        body: { type: 'object', additionalProperties: true, examples: [DEFINITION_EXAMPLE] },
        response: {
          200: { ...bookSchema, description: 'The newest proposal.', examples: [BOOK_EXAMPLE] },
          202: pendingSchema,
          ...problems(400, 409, 413, 415, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const actor = requiredActor(request)
      const definition = JSON.stringify(request.body)
      const problem = problemOfDefinition(definition)
      if (problem !== null) throw new Problem(422, 'rulebook_invalid', problem)
      const record = proposalRecord(definition, actor)
      const change = { topic: 'rules', key: 'rulebook_proposal', record } as const
      reply.header('location', '/fraud/rulebooks')
      const { isApplied } = await submitChange(dependencies, request, change)
      const book = isApplied ? await newest('proposal') : undefined
      return book === undefined ? await reply.status(202).send({ status: 'pending' }) : showBook(book)
    },
  )
  app.post<{ Params: { version: string } }>(
    '/fraud/rulebooks/:version/approval',
    {
      handlerTimeout,
      schema: {
        operationId: 'approveRulebook',
        summary: 'Bring a proposed rulebook into force',
        description:
          'Who approves is named by the header `x-actor`, and is somebody else than the proposer (409 approver_is_author). Only the newest proposal can be approved (409 proposal_unknown).',
        tags: ['fraud'],
        params: versionParams,
        response: {
          200: {
            ...bookSchema,
            description: 'The rulebook in force.',
            examples: [
              {
                ...BOOK_EXAMPLE,
                version: '57',
                kind: 'approval',
                state: 'in_force',
                approved_by: 'ben',
                approves: '42',
              },
            ],
          },
          202: pendingSchema,
          ...problems(400, 409, 503),
        },
      },
    },
    async (request, reply) => {
      const actor = requiredActor(request)
      const record = approvalRecord(versionOf(request.params.version), actor)
      reply.header('location', '/fraud/rulebooks')
      const { isApplied } = await submitChange(dependencies, request, {
        topic: 'rules',
        key: 'rulebook',
        record,
      })
      const book = isApplied ? await newest('approval') : undefined
      return book === undefined ? await reply.status(202).send({ status: 'pending' }) : showBook(book)
    },
  )
}
