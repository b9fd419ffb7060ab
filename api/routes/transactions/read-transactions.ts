/** GET /transactions and GET /transactions/{id}. */
import type { FastifyInstance } from 'fastify'
import type { ApiDependencies } from '#api/dependencies.ts'
import { withRequested } from '#api/gateway/decision-reader.ts'
import type { RecentlyPublished } from '#api/gateway/recently-published.ts'
import { Problem, problems } from '#api/problem.ts'
import { cursorOf, linkNext, PAGE_SIZE_DEFAULT, pageQuery, timeOf } from '#api/request.ts'
import { showListed, showTransaction, statusOfShown } from '#api/routes/transactions/show-transaction.ts'
import {
  accountIdSchema,
  compatibleAmountSchema,
  decimalSchema,
  entrySchema,
  nullableTextSchema,
  postingSchema,
  ruleHitSchema,
  statusSchema,
  timeSchema,
} from '#api/schemas.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import {
  KINDS,
  REASONS,
  type ReasonCode,
  STATUSES,
  type TransactionKind,
  type TransactionStatus,
} from '#domain/transactions/outcomes.ts'
import { listTransactions, TRANSACTION_CURSOR_LENGTH } from '#platform/postgres/queries/list-transactions.ts'
import { readTransaction } from '#platform/postgres/queries/read-transaction.ts'

interface ListQuery {
  cursor?: string
  limit?: number
  status?: string
  kind?: TransactionKind
  account?: string
  card?: string
  source?: string
  reason?: ReasonCode
  from?: string
  to?: string
}

const listedSchema = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    from: {
      ...nullableTextSchema,
      description:
        'Debited account, also where it was held or rejected; null where there are several, or none was named.',
    },
    to: {
      ...nullableTextSchema,
      description:
        'Credited account, also where it was held or rejected; null where there are several, or none was named.',
    },
    amount: {
      ...compatibleAmountSchema,
      description: `${compatibleAmountSchema.description} Null where there are several currencies, or an unknown one.`,
    },
    currency: nullableTextSchema,
    status: statusSchema,
    reason: nullableTextSchema,
    kind: { type: 'string' },
    source: { type: 'string' },
    recorded_at: timeSchema,
    postings: {
      type: 'array',
      description: 'Where there are several. An amount is null where the currency is unknown.',
      items: {
        type: 'object',
        properties: { ...postingSchema.properties, currency: { type: 'string' }, amount: nullableTextSchema },
      },
    },
  },
} as const

const decisionSchema = {
  type: 'object',
  properties: {
    cause: { type: 'string', description: 'transaction, review or tick (time).' },
    outcome: { type: 'string', description: 'The ledger’s own word.' },
    reason: nullableTextSchema,
    actor: { type: 'string' },
    recorded_at: timeSchema,
    sequence: { type: 'string' },
    index: { type: 'integer' },
    topic: { type: 'string' },
    partition: { type: 'integer' },
    offset: { type: 'string' },
    explanation: { type: 'string', description: 'Outcome, reason and what rules found, in words.' },
    rules: { type: 'array', description: 'Fraud rules that fired.', items: ruleHitSchema },
  },
} as const

const LISTED_EXAMPLE = {
  id: 'pay-1',
  from: 'alice',
  to: 'bob',
  amount: 12.75,
  currency: 'EUR',
  status: 'completed',
  reason: null,
  kind: 'post',
  source: '',
  recorded_at: '2026-01-31T12:00:00.000Z',
} as const
const REJECTED_EXAMPLE = {
  ...LISTED_EXAMPLE,
  id: 'pay-0',
  amount: 1275,
  status: 'rejected',
  reason: 'insufficient_funds',
} as const
const DECISION_EXAMPLE = {
  cause: 'transaction',
  outcome: 'applied',
  reason: null,
  actor: 'till 3',
  recorded_at: '2026-01-31T12:00:00.000Z',
  sequence: '4711',
  index: 0,
  topic: 'transactions',
  partition: 3,
  offset: '1042',
  explanation: 'Applied.',
  rules: [],
} as const
const ENTRY = { amount: '12.75', currency: 'EUR' } as const
const TRANSACTION_EXAMPLE = {
  ...LISTED_EXAMPLE,
  occurred_at: '2026-01-31T11:59:59.000Z',
  value_at: '2026-01-31T11:59:59.000Z',
  parent: null,
  card: null,
  end_to_end_id: null,
  uetr: null,
  entries: [
    { account_id: 'alice', side: 'debit', ...ENTRY, posted_after: '87.25' },
    { account_id: 'bob', side: 'credit', ...ENTRY, posted_after: '12.75' },
  ],
  decision: DECISION_EXAMPLE,
  decisions: [DECISION_EXAMPLE],
  hold: null,
  reversed: [],
} as const

const transactionSchema = {
  type: 'object',
  description: 'The transaction.',
  examples: [TRANSACTION_EXAMPLE],
  properties: {
    ...listedSchema.properties,
    occurred_at: timeSchema,
    value_at: timeSchema,
    parent: {
      type: ['object', 'null'],
      properties: { id: { type: 'string' }, source: { type: 'string' } },
    },
    card: nullableTextSchema,
    end_to_end_id: nullableTextSchema,
    uetr: nullableTextSchema,
    entries: { type: 'array', items: entrySchema },
    decision: { ...decisionSchema, description: 'The last decision: what the transaction is now.' },
    decisions: { type: 'array', items: decisionSchema },
    hold: {
      type: ['object', 'null'],
      properties: {
        kind: { type: 'string' },
        status: { type: 'string' },
        expires_at: timeSchema,
        postings: {
          type: 'array',
          items: { type: 'object', properties: { ...postingSchema.properties, remaining: decimalSchema } },
        },
      },
    },
    reversed: {
      type: 'array',
      description: 'What was given back so far, by place in the postings.',
      items: { type: 'object', properties: { posting: { type: 'integer' }, amount: decimalSchema } },
    },
  },
} as const

/** Registers the routes. */
export function registerReadTransactions(
  app: FastifyInstance,
  dependencies: ApiDependencies,
  recent: RecentlyPublished,
): void {
  const { pool } = dependencies
  app.get<{ Querystring: ListQuery }>(
    '/transactions',
    {
      schema: {
        operationId: 'listTransactions',
        summary: 'Transactions, newest first',
        description:
          'Each with what it is now; held and rejected ones show what they asked for. A Link header names the next page. With filters a page may be shorter than asked for, even empty, and have a next one: each looks through 5,000 transactions at most.',
        tags: ['transactions'],
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            ...pageQuery,
            status: {
              type: 'string',
              maxLength: 200,
              description: 'One or several, with commas.',
              examples: ['held,rejected'],
            },
            kind: { type: 'string', enum: KINDS, description: 'Only this kind.' },
            account: { ...accountIdSchema, description: 'Only what moved this account’s money.' },
            card: {
              type: 'string',
              minLength: 1,
              maxLength: 64,
              description: 'Only with this card (a token).',
            },
            source: { type: 'string', maxLength: 64, description: 'Only from this system.' },
            reason: { type: 'string', enum: REASONS, description: 'Only rejected for this reason.' },
            from: { ...timeSchema, description: 'Recorded at or after.' },
            to: { ...timeSchema, description: 'Recorded before.' },
          },
        },
        response: {
          200: {
            type: 'array',
            description: 'A page of transactions.',
            items: listedSchema,
            examples: [[LISTED_EXAMPLE, REJECTED_EXAMPLE]],
          },
          ...problems(400, 410, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const { cursor, limit = PAGE_SIZE_DEFAULT, account, from, to, status, ...filters } = request.query
      const page = await listTransactions(pool, {
        filters: {
          ...filters,
          accountId: account,
          statuses: status === undefined ? undefined : statusesOf(status),
          from: from === undefined ? undefined : timeOf(from, 'from'),
          to: to === undefined ? undefined : timeOf(to, 'to'),
        },
        before: cursorOf(cursor, TRANSACTION_CURSOR_LENGTH),
        limit,
      })
      const full = await withRequested(page, dependencies.readDecisions)
      linkNext(request, reply, full)
      return full.items.map(showListed)
    },
  )
  app.get<{ Params: { id: string }; Querystring: { source?: string } }>(
    '/transactions/:id',
    {
      schema: {
        operationId: 'getTransaction',
        summary: 'A transaction with its entries and decisions',
        description:
          'Every decision about it, oldest first, with the fraud rules that fired; what it still reserves, and what was given back.',
        tags: ['transactions'],
        params: {
          type: 'object',
          properties: {
            id: {
              type: 'string',
              minLength: 1,
              maxLength: 64,
              description: 'The transaction’s id.',
              examples: ['pay-1'],
            },
          },
        },
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            source: {
              type: 'string',
              maxLength: 64,
              default: '',
              description: 'Ids are unique within a source.',
            },
          },
        },
        response: { 200: transactionSchema, ...problems(404, 410, 422, 503) },
      },
    },
    async (request) => {
      const { id } = request.params
      const { source = '' } = request.query
      const key = transactionKey(source, id)
      const transaction = await readTransaction(pool, key)
      if (transaction === undefined) {
        if (recent.has(key)) return { id, source, status: 'pending' }
        throw new Problem(404, 'transaction_not_found', 'No transaction took this id of this source (yet).')
      }
      const places = transaction.decisions.map(({ sequence, index }) => ({ sequence, index, id }))
      return showTransaction(transaction, await dependencies.readDecisions(places))
    },
  )
}

function statusesOf(text: string): TransactionStatus[] {
  return text.split(',').map((part) => {
    const word = statusOfShown(part.trim())
    const status = STATUSES.find((known) => known === word)
    if (status !== undefined && status !== 'duplicate') return status
    throw new Problem(
      400,
      'status_invalid',
      'Expected status of completed, authorized, held, voided, declined, expired or rejected.',
      { members: { property: 'status' } },
    )
  })
}
