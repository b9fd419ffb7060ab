/** GET /balance/{id}: now, from the cache where that can be believed; or as of a recorded or an effective time. */
import type { FastifyInstance } from 'fastify'
import { presentedPosted, showCompatibleAmount, shownBalance } from '#api/amounts.ts'
import type { ApiDependencies } from '#api/dependencies.ts'
import { Problem, problems } from '#api/problem.ts'
import { timeOf } from '#api/request.ts'
import {
  accountIdSchema,
  accountParams,
  compatibleAmountSchema,
  currencySchema,
  timeSchema,
} from '#api/schemas.ts'
import { balanceAsOf, type PastBalance } from '#platform/postgres/queries/balance-as-of.ts'
import { balanceAsOfValueTime } from '#platform/postgres/queries/balance-as-of-value-time.ts'

const balanceSchema = {
  type: 'object',
  description: 'The balance.',
  examples: [
    {
      account_id: 'user_11',
      balance: 12.75,
      currency: 'EUR',
      available: 10.75,
      reserved: 2,
      cached: true,
      as_of: '2026-01-31T12:00:00.000Z',
    },
  ],
  required: ['account_id', 'balance', 'cached'],
  properties: {
    account_id: accountIdSchema,
    balance: { ...compatibleAmountSchema, description: 'Positive on the account’s normal side. ' },
    currency: currencySchema,
    available: {
      ...compatibleAmountSchema,
      description:
        'balance − reserved + overdraft limit; null where the account has no limit, and for past balances.',
    },
    reserved: {
      ...compatibleAmountSchema,
      description: 'By authorizations and held transactions; null for past balances.',
    },
    cached: { type: 'boolean', description: 'Whether Redis answered.' },
    as_of: {
      ...timeSchema,
      description:
        'Ledger time at which the balance is known to hold: the time asked for, or the ledger’s own where that is earlier (a backlog is being read, a partition is stopped). What is recorded later is not in it.',
    },
    effective_as_of: { ...timeSchema, description: 'The effective time asked for.' },
  },
} as const

interface Query {
  as_of?: string
  effective_as_of?: string
}

const notFound = (): Problem => new Problem(404, 'account_not_found', 'There is no such account.')

/** Registers the routes. */
export function registerBalances(app: FastifyInstance, dependencies: ApiDependencies): void {
  app.get<{ Params: { id: string }; Querystring: Query }>(
    '/balance/:id',
    {
      schema: {
        operationId: 'getBalance',
        summary: 'An account’s balance',
        description:
          'Now: from Redis where that can be believed, else from Postgres (`cached` says which). As of a recorded or an effective time: from the ledger’s entries.',
        tags: ['accounts'],
        params: accountParams,
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            as_of: { ...timeSchema, description: 'What the ledger said at that recorded time.' },
            effective_as_of: { ...timeSchema, description: 'What is effective (value time) by then.' },
          },
        },
        response: { 200: balanceSchema, ...problems(400, 404, 410, 422, 503) },
      },
    },
    async (request) => {
      const { as_of, effective_as_of } = request.query
      if (as_of !== undefined || effective_as_of !== undefined) {
        return await pastBalance(dependencies, request.params.id, request.query)
      }
      const answer = await dependencies.cache.read(request.params.id)
      if (answer === undefined) throw notFound()
      const { balance, cached } = answer
      const { currency } = balance
      const shown = shownBalance(balance)
      return {
        account_id: balance.accountId,
        balance: showCompatibleAmount(shown.balanceMinor, currency),
        currency,
        available:
          shown.availableMinor === null ? null : showCompatibleAmount(shown.availableMinor, currency),
        reserved: showCompatibleAmount(shown.reservedMinor, currency),
        cached,
        as_of: new Date(balance.recordedAtMs).toISOString(),
      }
    },
  )
}

async function pastBalance(
  { pool, nowMs }: ApiDependencies,
  accountId: string,
  query: Query,
): Promise<object> {
  const recordedAt = query.as_of === undefined ? undefined : timeOf(query.as_of, 'as_of')
  const valueAt =
    query.effective_as_of === undefined ? undefined : timeOf(query.effective_as_of, 'effective_as_of')
  const found: PastBalance | undefined =
    valueAt === undefined
      ? await balanceAsOf(pool, accountId, recordedAt ?? new Date(nowMs()))
      : await balanceAsOfValueTime(pool, accountId, { valueAt, recordedAt })
  if (found === undefined) throw notFound()
  return {
    account_id: found.accountId,
    balance: showCompatibleAmount(presentedPosted(found.posted, found.normalSide), found.currency),
    currency: found.currency,
    available: null,
    reserved: null,
    cached: false,
    as_of: found.asOf.toISOString(),
    ...(valueAt === undefined ? {} : { effective_as_of: valueAt.toISOString() }),
  }
}
