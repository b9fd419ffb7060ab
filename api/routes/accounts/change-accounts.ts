/** POST /accounts: opens and changes accounts, by publishing to the topic `accounts`. */
import type { FastifyInstance } from 'fastify'
import { showAmount } from '#api/amounts.ts'
import type { ApiDependencies } from '#api/dependencies.ts'
import { Problem, problems } from '#api/problem.ts'
import { actorOf, waitOf } from '#api/request.ts'
import { accountSchema, showAccount } from '#api/routes/accounts/read-accounts.ts'
import { accountIdSchema, anyAccountIdSchema, currencySchema } from '#api/schemas.ts'
import {
  ACCOUNT_CLASSES,
  type AccountChange,
  type AccountClass,
  type Side,
} from '#domain/transactions/command.ts'
import type { Refusal } from '#domain/transactions/outcomes.ts'
import { REFUSAL_TEXTS } from '#domain/transactions/reason-texts.ts'
import { validateAccountChange } from '#domain/transactions/validate.ts'
import { type AccountDetails, readAccount } from '#platform/postgres/queries/read-account.ts'
import { readProgress } from '#platform/postgres/queries/read-progress.ts'

interface AccountBody {
  action?: Exclude<AccountChange['action'], 'unknown'>
  accountId: string | number
  currency?: string
  accountClass?: AccountClass
  normalSide?: Side
  limited?: boolean
  overdraftLimit?: string | number
  reversalMayOverdraw?: boolean
}

const bodySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['accountId'],
  properties: {
    action: { type: 'string', enum: ['open', 'freeze', 'unfreeze', 'close', 'set_limit'], default: 'open' },
    accountId: anyAccountIdSchema,
    currency: { ...currencySchema, description: 'open: the account’s currency.' },
    accountClass: { type: 'string', enum: ACCOUNT_CLASSES, default: 'customer' },
    normalSide: { type: 'string', enum: ['debit', 'credit'], default: 'credit' },
    limited: { type: 'boolean', default: true, description: 'open, set_limit: false = no limit at all.' },
    overdraftLimit: {
      type: ['string', 'integer'],
      pattern: '^[0-9]{1,18}$',
      minimum: 0,
      default: 0,
      description: 'open, set_limit: how far below zero it may go, minor units.',
    },
    reversalMayOverdraw: { type: 'boolean', default: false },
  },
  examples: [{ accountId: 'alice', currency: 'EUR', overdraftLimit: 50000 }],
} as const

const changeOf = (body: AccountBody, actor: string, nowMs: number): AccountChange => ({
  action: body.action ?? 'open',
  accountId: String(body.accountId),
  currency: body.currency ?? null,
  accountClass: body.accountClass ?? 'customer',
  normalSide: body.normalSide ?? 'credit',
  limited: body.limited ?? true,
  overdraftLimit: BigInt(body.overdraftLimit ?? 0),
  reversalMayOverdraw: body.reversalMayOverdraw ?? false,
  actor,
  occurredAt: nowMs,
})

/** Whether the account is as the change wants it. */
function isAsWanted(account: AccountDetails | undefined, change: AccountChange): account is AccountDetails {
  if (account === undefined) return false
  switch (change.action) {
    case 'open':
      return (
        account.currency === change.currency &&
        account.accountClass === change.accountClass &&
        account.normalSide === change.normalSide &&
        account.reversalMayOverdraw === change.reversalMayOverdraw &&
        account.limited === change.limited &&
        account.overdraftLimit === change.overdraftLimit
      )
    case 'freeze':
      return account.status === 'frozen'
    case 'unfreeze':
      return account.status === 'open'
    case 'close':
      return account.status === 'closed'
    default:
      return account.limited === change.limited && account.overdraftLimit === change.overdraftLimit
  }
}

/** Registers the route. */
export function registerChangeAccounts(app: FastifyInstance, dependencies: ApiDependencies): void {
  const { gateway, positions, readRefusal, pool, cache, options, nowMs } = dependencies
  app.post<{ Body: AccountBody }>(
    '/accounts',
    {
      handlerTimeout: options.waitMaxMs + 15_000,
      schema: {
        operationId: 'changeAccount',
        summary: 'Open an account, or change one',
        description:
          'The body is the record of the topic `accounts`. Answers 202, or with `Prefer: wait=N` the account as it then is.',
        tags: ['accounts'],
        body: bodySchema,
        response: {
          200: { ...accountSchema, description: 'Applied: the account as it is now.' },
          202: {
            type: 'object',
            description: 'Published, not applied yet; the Location header names the account.',
            properties: { account_id: accountIdSchema, status: { type: 'string' } },
            examples: [{ account_id: 'alice', status: 'pending' }],
          },
          ...problems(400, 409, 413, 415, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const change = changeOf(request.body, actorOf(request), nowMs())
      const refusal = validateAccountChange(change)
      if (refusal !== null) throw new Problem(422, refusal, `The ledger refuses such a change: ${refusal}.`)
      const waitMs = waitOf(request, options.waitMaxMs) ?? 0
      // What applies the record comes after this.
      const { sequence = 0n } = (waitMs > 0 ? await readProgress(pool) : undefined) ?? {}
      const position = await gateway.publish('accounts', change.accountId, { ...change })
      reply.header('location', `/accounts/${encodeURIComponent(change.accountId)}`)
      if (!(await positions.wait(position, waitMs))) {
        return await reply.status(202).send({ account_id: change.accountId, status: 'pending' })
      }
      const account = await readAccount(pool, change.accountId)
      if (!isAsWanted(account, change)) {
        const refusal = await readRefusal(position, sequence)
        const found = account === undefined ? 'no such account' : describe(account)
        throw notChanged(refusal, found)
      }
      await cache.expireOlder([account.accountId], account.version)
      return showAccount(account)
    },
  )
}

/** @param refusal The ledger's reason; null where it isn't known, or another change followed at once. */
function notChanged(refusal: string | null, found: string): Problem {
  const words = refusal === null ? undefined : REFUSAL_TEXTS[refusal as Refusal]
  const why = words === undefined ? '' : `: ${words}`
  return new Problem(
    409,
    refusal ?? 'account_not_changed',
    `The ledger refused the change${why}. There is ${found}.`,
  )
}

const describe = ({ status, accountClass, currency, limited, overdraftLimit }: AccountDetails): string =>
  `${status === 'open' ? 'an' : 'a'} ${status} ${accountClass} account in ${currency}, ${limited ? `limit ${showAmount(overdraftLimit, currency)}` : 'no limit'}`
