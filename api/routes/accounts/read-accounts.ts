/** GET /accounts/{id} and its entries. */
import type { FastifyInstance } from 'fastify'
import { showAmount, shownBalance } from '#api/amounts.ts'
import type { ApiDependencies } from '#api/dependencies.ts'
import { Problem, problems } from '#api/problem.ts'
import { cursorOf, linkNext, PAGE_SIZE_DEFAULT, pageQuery } from '#api/request.ts'
import {
  accountIdSchema,
  accountParams,
  currencySchema,
  decimalSchema,
  entrySchema,
  nullableTextSchema,
  timeSchema,
} from '#api/schemas.ts'
import { type AccountDetails, readAccount } from '#platform/postgres/queries/read-account.ts'
import {
  ENTRY_CURSOR_LENGTH,
  type LedgerEntry,
  readEntries,
} from '#platform/postgres/queries/read-entries.ts'

export const accountSchema = {
  type: 'object',
  description: 'The account.',
  examples: [
    {
      account_id: 'alice',
      currency: 'EUR',
      account_class: 'customer',
      normal_side: 'credit',
      status: 'open',
      balance: '12.75',
      reserved: '2.00',
      available: '510.75',
      overdraft_limit: '500.00',
      reversal_may_overdraw: false,
      as_of: '2026-01-31T12:00:00.000Z',
    },
  ],
  properties: {
    account_id: accountIdSchema,
    currency: currencySchema,
    account_class: { type: 'string' },
    normal_side: { type: 'string', enum: ['debit', 'credit'] },
    status: { type: 'string', enum: ['open', 'frozen', 'closed'] },
    balance: decimalSchema,
    reserved: decimalSchema,
    available: { ...nullableTextSchema, description: 'Null where the account has no limit.' },
    overdraft_limit: { ...nullableTextSchema, description: 'Null where the account has no limit.' },
    reversal_may_overdraw: { type: 'boolean' },
    as_of: timeSchema,
  },
} as const

/** An account as the API shows it. */
export function showAccount(account: AccountDetails): object {
  const { currency, limited } = account
  const shown = shownBalance(account)
  return {
    account_id: account.accountId,
    currency,
    account_class: account.accountClass,
    normal_side: account.normalSide,
    status: account.status,
    balance: showAmount(shown.balanceMinor, currency),
    reserved: showAmount(shown.reservedMinor, currency),
    available: shown.availableMinor === null ? null : showAmount(shown.availableMinor, currency),
    overdraft_limit: limited ? showAmount(account.overdraftLimit, currency) : null,
    reversal_may_overdraw: account.reversalMayOverdraw,
    as_of: new Date(account.recordedAtMs).toISOString(),
  }
}

/** One side of a posting of an account, as the API shows it. */
export const showEntry = (entry: LedgerEntry) => ({
  side: entry.side,
  amount: showAmount(entry.amountMinor, entry.currency),
  currency: entry.currency,
  posted_after: showAmount(entry.postedAfter, entry.currency),
  counterparty: entry.counterparty,
  txn_id: entry.transactionId,
  source: entry.source,
  kind: entry.kind,
  sequence: entry.sequence.toString(),
  recorded_at: entry.recordedAt.toISOString(),
  value_at: entry.valueAt.toISOString(),
})

const ENTRY_EXAMPLE = {
  account_id: 'alice',
  side: 'debit',
  amount: '12.75',
  currency: 'EUR',
  posted_after: '87.25',
  counterparty: 'bob',
  txn_id: 'pay-1',
  source: 'shop',
  kind: 'post',
  sequence: '4711',
  recorded_at: '2026-01-31T12:00:00.000Z',
  value_at: '2026-01-31T12:00:00.000Z',
} as const

const accountEntrySchema = {
  type: 'object',
  properties: {
    ...entrySchema.properties,
    counterparty: accountIdSchema,
    txn_id: { type: 'string' },
    source: { type: 'string' },
    kind: { type: 'string' },
    sequence: { type: 'string' },
    recorded_at: timeSchema,
    value_at: timeSchema,
  },
} as const

/** Registers the routes. */
export function registerReadAccounts(app: FastifyInstance, { pool, cache }: ApiDependencies): void {
  app.get<{ Params: { id: string } }>(
    '/accounts/:id',
    {
      schema: {
        operationId: 'getAccount',
        summary: 'An account with its reference data and balance, from Postgres',
        description: 'Amounts are exact decimal text in major units.',
        tags: ['accounts'],
        params: accountParams,
        response: { 200: accountSchema, ...problems(404, 422, 503) },
      },
    },
    async (request) => {
      const account = await readAccount(pool, request.params.id)
      if (account === undefined) throw new Problem(404, 'account_not_found', 'There is no such account.')
      // What was shown here must not be followed by an older balance from the cache.
      await cache.expireOlder([account.accountId], account.version)
      return showAccount(account)
    },
  )
  app.get<{ Params: { id: string }; Querystring: { cursor?: string; limit?: number } }>(
    '/accounts/:id/entries',
    {
      schema: {
        operationId: 'listEntries',
        summary: 'An account’s ledger entries, newest first',
        description: 'A Link header names the next page.',
        tags: ['accounts'],
        params: accountParams,
        querystring: { type: 'object', additionalProperties: false, properties: pageQuery },
        response: {
          200: {
            type: 'array',
            description: 'A page of entries.',
            items: accountEntrySchema,
            examples: [[ENTRY_EXAMPLE]],
          },
          ...problems(400, 404, 410, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const { cursor, limit = PAGE_SIZE_DEFAULT } = request.query
      const page = await readEntries(pool, {
        accountId: id,
        before: cursorOf(cursor, ENTRY_CURSOR_LENGTH),
        limit,
      })
      if (page.items.length === 0 && cursor === undefined && (await readAccount(pool, id)) === undefined) {
        throw new Problem(404, 'account_not_found', 'There is no such account.')
      }
      linkNext(request, reply, page)
      return page.items.map((entry) => ({ account_id: id, ...showEntry(entry) }))
    },
  )
}
