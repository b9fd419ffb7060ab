/** POST /transactions, and the calls of older systems: POST /transaction and POST /process_transaction. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ApiDependencies } from '#api/dependencies.ts'
import type { RecentlyPublished } from '#api/gateway/recently-published.ts'
import { Problem, problemBody, problems } from '#api/problem.ts'
import { actorOf, idempotencyKeyOf, waitOf } from '#api/request.ts'
import { shownStatus } from '#api/routes/transactions/show-transaction.ts'
import { TransactionGateway } from '#api/routes/transactions/transaction-gateway.ts'
import {
  type TransactionBody,
  type TransactionRequest,
  transactionRequest,
} from '#api/routes/transactions/transaction-request.ts'
import {
  amountSchema,
  anyAccountIdSchema,
  currencySchema,
  outcomeExamples,
  outcomeSchema,
} from '#api/schemas.ts'
import { KINDS } from '#domain/transactions/outcomes.ts'
import { REASON_TEXTS } from '#domain/transactions/reason-texts.ts'
import { INGEST_TOPICS } from '#schemas/topics.ts'
import type { StoredOutcome } from '#platform/postgres/queries/read-outcomes.ts'

const nullableText = (lengthMax: number) => ({ type: ['string', 'null'], maxLength: lengthMax })
const timeInput = { type: ['string', 'integer', 'null'], minimum: 0, maxLength: 40 }

const flatProperties = {
  from: anyAccountIdSchema,
  to: anyAccountIdSchema,
  amount: amountSchema,
  currency: currencySchema,
}

const bodySchema = {
  type: 'object',
  description:
    'One of three forms: `postings` in minor units; `from`, `to`, `amount` in major units; `user_id`, `amount` in major units, credited from the configured account.',
  additionalProperties: false,
  properties: {
    id: {
      type: 'string',
      minLength: 1,
      maxLength: 64,
      description: 'Unique in its source; the Idempotency-Key where absent.',
    },
    source: { type: 'string', maxLength: 64 },
    kind: { type: 'string', enum: KINDS },
    postings: {
      type: 'array',
      maxItems: 100,
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['debit', 'credit', 'amount', 'currency'],
        properties: {
          debit: anyAccountIdSchema,
          credit: anyAccountIdSchema,
          amount: {
            type: ['string', 'integer'],
            maxLength: 20,
            description: 'Minor units.',
            examples: [1275],
          },
          currency: currencySchema,
        },
      },
    },
    ...flatProperties,
    user_id: anyAccountIdSchema,
    parentId: nullableText(64),
    parentSource: nullableText(64),
    card: { ...nullableText(64), description: 'Token, never a card number.' },
    merchant: nullableText(64),
    terminal: nullableText(64),
    device: nullableText(64),
    country: nullableText(2),
    endToEndId: nullableText(35),
    uetr: nullableText(36),
    valueTime: timeInput,
    occurredAt: timeInput,
    expiresAt: timeInput,
    metadata: { type: 'object', maxProperties: 32, additionalProperties: { type: 'string', maxLength: 512 } },
    after: {
      type: ['object', 'null'],
      additionalProperties: false,
      required: ['topic', 'partition', 'offset'],
      properties: {
        topic: { type: 'string', enum: INGEST_TOPICS.map(({ name }) => name) },
        partition: { type: 'integer', minimum: 0, maximum: 2 ** 31 - 1 },
        offset: { type: ['string', 'integer'], pattern: '^[0-9]{1,18}$', minimum: 0 },
      },
    },
  },
  examples: [
    { from: 'alice', to: 'bob', amount: '12.75', currency: 'EUR' },
    { postings: [{ debit: 'alice', credit: 'bob', amount: 1275, currency: 'EUR' }] },
    { user_id: 'user_11', amount: 12.75, currency: 'USD' },
  ],
} as const

const headersSchema = {
  type: 'object',
  properties: {
    prefer: {
      type: 'string',
      maxLength: 200,
      description: '`wait=N`: wait up to N seconds for the outcome.',
    },
    'idempotency-key': { type: 'string', maxLength: 80, description: 'The id, where the body has none.' },
    'x-actor': { type: 'string', maxLength: 128, description: 'Who acts.' },
    traceparent: {
      type: 'string',
      description: 'W3C Trace Context: gone on with in replies, logs and the published record.',
    },
  },
} as const

/** What both answers, of success and of refusal, say of a decided transaction. */
const factsOf = ({ command }: TransactionRequest, outcome: StoredOutcome) => ({
  txn_id: command.id,
  ...(command.source === '' ? {} : { source: command.source }),
  ...(outcome.reason === null ? {} : { reason: outcome.reason }),
  sequence: outcome.sequence.toString(),
  recorded_at: outcome.recordedAt.toISOString(),
})

/** Why a held transaction isn't done yet: older clients look for a reason. Which rules hold it, the transaction says. */
const HELD_REASON = 'held_for_review'

/** Whoever refuses, this gateway or the ledger: one shape, whose code is the reason. */
const rejection = (request: TransactionRequest, outcome: StoredOutcome): Problem => {
  const { reason } = outcome
  const detail = reason === null ? 'The ledger rejected it.' : `Rejected: ${REASON_TEXTS[reason]}.`
  const members = { ...factsOf(request, outcome), outcome: outcome.status }
  return new Problem(422, reason ?? 'rejected', detail, { members })
}

const locationOf = ({ command }: TransactionRequest): string => {
  const path = `/transactions/${encodeURIComponent(command.id)}`
  return command.source === '' ? path : `${path}?source=${encodeURIComponent(command.source)}`
}

/** Registers the routes. */
export function registerPostTransactions(
  app: FastifyInstance,
  dependencies: ApiDependencies,
  recent: RecentlyPublished,
): void {
  const { options, nowMs } = dependencies
  const gateway = new TransactionGateway(dependencies, recent)
  // Opening accounts and waiting come on top of what any request may take.
  const handlerTimeout = options.waitMaxMs + options.defaultWaitMs + 10_000

  const requestOf = (request: FastifyRequest<{ Body: TransactionBody }>): TransactionRequest =>
    transactionRequest(request.body, {
      actor: actorOf(request),
      idempotencyKey: idempotencyKeyOf(request),
      options,
      nowMs: nowMs(),
    })

  /** @throws Problem where it is rejected: its code is the ledger's reason */
  const submit = async (
    transaction: TransactionRequest,
    reply: FastifyReply,
    wait: { waitMs: number; heldStatus: number },
  ): Promise<FastifyReply> => {
    const outcome = await gateway.submit(transaction, wait.waitMs)
    reply.header('location', locationOf(transaction))
    if (outcome === undefined) {
      return await reply.status(202).send({ txn_id: transaction.command.id, status: 'pending' })
    }
    if (outcome.status === 'rejected') throw rejection(transaction, outcome)
    const body = { ...factsOf(transaction, outcome), status: shownStatus(outcome.status) }
    if (outcome.status !== 'held') return await reply.status(200).send(body)
    return await reply.status(wait.heldStatus).send({ ...body, reason: HELD_REASON })
  }

  app.post<{ Body: TransactionBody }>(
    '/transactions',
    {
      handlerTimeout,
      schema: {
        operationId: 'postTransaction',
        summary: 'Post a transaction',
        description:
          'Answers 202 with the place of its status, or with `Prefer: wait=N` the outcome, if it comes in time.',
        tags: ['transactions'],
        headers: headersSchema,
        body: bodySchema,
        response: {
          200: { ...outcomeSchema, description: 'Decided.', examples: [outcomeExamples.completed] },
          202: {
            ...outcomeSchema,
            description: 'Published, not decided yet; or held for review.',
            examples: [outcomeExamples.pending],
          },
          ...problems(400, 409, 410, 413, 415, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const waitMs = waitOf(request, options.waitMaxMs)
      if (waitMs !== undefined) reply.header('preference-applied', `wait=${waitMs / 1000}`)
      return await submit(requestOf(request), reply, { waitMs: waitMs ?? 0, heldStatus: 202 })
    },
  )

  for (const [path, operationId] of [
    ['/transaction', 'transfer'],
    ['/process_transaction', 'processTransaction'],
  ] as const) {
    app.post<{ Body: TransactionBody }>(
      path,
      {
        handlerTimeout,
        schema: {
          operationId,
          summary: 'Post a transfer and wait for its outcome (as older systems do)',
          description:
            'Amounts in major units; the currency is the configured one where the body names none. A refusal is 422 with `status` and `reason`.',
          tags: ['compatibility'],
          headers: headersSchema,
          body: {
            type: 'object',
            additionalProperties: false,
            required: ['from', 'to', 'amount'],
            properties: { ...flatProperties, id: bodySchema.properties.id },
            examples: [{ from: 1, to: 2, amount: 100 }],
          },
          response: {
            200: { ...outcomeSchema, description: 'Completed.', examples: [outcomeExamples.completed] },
            202: {
              ...outcomeSchema,
              description: 'Not decided in time.',
              examples: [outcomeExamples.pending],
            },
            422: refusedAsOutcomeSchema,
            ...problems(400, 409, 410, 413, 415, 503),
          },
        },
      },
      async (request, reply) => {
        const waitMs = waitOf(request, options.waitMaxMs) ?? options.defaultWaitMs
        try {
          return await submit(requestOf(request), reply, { waitMs, heldStatus: 422 })
        } catch (error) {
          return await refusedAsOutcome(error, request, reply)
        }
      },
    )
  }
}

/** Older clients read `txn_id`, `status` and `reason` of a refusal, whoever refused; what a problem says stands beside them. */
async function refusedAsOutcome(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  if (!(error instanceof Problem) || error.status !== 422 || error.code === 'card_number_refused') throw error
  const body = { ...problemBody(request, error), status: 'rejected', reason: error.code }
  return await reply.status(422).send(body)
}

const refusedAsOutcomeSchema = {
  description: 'Rejected or held, with the reason; and what a problem says, but for `status`.',
  content: {
    'application/json': {
      schema: {
        type: 'object',
        properties: {
          ...outcomeSchema.properties,
          status: { type: 'string', enum: ['rejected', 'held'] },
          title: { type: 'string' },
          code: { type: 'string' },
          detail: { type: 'string' },
          property: { type: 'string' },
          request_id: { type: 'string' },
          trace_id: { type: 'string' },
        },
      },
      example: { txn_id: 'pay-1', status: 'rejected', reason: 'insufficient_funds' },
    },
    'application/problem+json': {
      schema: { $ref: 'Problem#' },
      example: { status: 422, code: 'card_number_refused' },
    },
  },
} as const
