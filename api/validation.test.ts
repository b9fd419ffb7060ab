/** Refused requests: the message names the property and what is expected of it. */
import { expect, test } from 'vitest'
import { buildTestApi } from '#api/fixtures.ts'

const posting = { debit: 'a', credit: 'b', amount: 100, currency: 'EUR' }

test.each<[object, string, RegExp]>([
  [
    { postings: [{ ...posting, amount: [1] }] },
    'postings/0/amount',
    /^postings\/0\/amount must be text or a whole number \(Minor units; for example 1275\)$/,
  ],
  [
    { postings: [posting, { ...posting, amount: '1.5' }] },
    'postings/1/amount',
    /must be whole minor units, for example 1275/,
  ],
  [{ postings: [posting, { ...posting, amount: 0 }] }, 'postings/1/amount', /must be more than zero/],
  [{ postings: [{ ...posting, currency: 'EURO' }] }, 'postings/0/currency', /at most 3 characters.*"EUR"/],
  [{ postings: [{ ...posting, currency: 'XQX' }] }, 'postings/0/currency', /ISO 4217/],
  [{ postings: [{ debit: 'a', amount: 1, currency: 'EUR' }] }, 'postings/0/credit', /is missing/],
  [{ from: 'a', to: 'b', amount: '1', amuont: '2' }, 'amuont', /is not known here; expected .*amount/],
  [{ from: 'a', to: 'b', amount: '12,75' }, 'amount', /major units .* exact in USD, for example "12.75"/],
  [{ from: 'a', to: 'b', amount: '12.75', currency: 'JPY' }, 'amount', /exact in JPY, for example "1275"/],
  [{ from: 'a', to: 'a', amount: '1' }, 'to', /must differ/],
  [{ user_id: 'external:funding', amount: '1' }, 'user_id', /must differ/],
  [{ from: 'a', to: 'b', amount: '1', occurredAt: 'yesterday' }, 'occurredAt', /ISO 8601 with a zone/],
  [{ kind: 'pay', postings: [posting] }, 'kind', /must be one of post, authorize/],
  [{ kind: 'capture' }, 'parentId', /need parentId/],
  [{ from: 'a', to: 'b', amount: '1', metadata: { note: 'x'.repeat(513) } }, 'metadata/note', /512/],
])('%j names %s', async (payload, property, detail) => {
  const { app } = await buildTestApi()
  const reply = await app.inject({ method: 'POST', url: '/transactions', payload })
  const problem = reply.json() as { property: string; detail: string }
  expect(problem.property, reply.body).toBe(property)
  expect(problem.detail).toMatch(detail)
})

/** Values that text could be made of, were a body's types bent as those of a query are. */
test.each<[string, object, string]>([
  ['/process_transaction', { from: true, to: 2, amount: 100 }, 'from'],
  ['/process_transaction', { from: 1, to: null, amount: 100 }, 'to'],
  ['/process_transaction', { from: 1.5, to: 2, amount: 100 }, 'from'],
  ['/process_transaction', { from: -1, to: 2, amount: 100 }, 'from'],
  ['/process_transaction', { from: 1e21, to: 2, amount: 100 }, 'from'],
  ['/transaction', { from: 1, to: 2, amount: true }, 'amount'],
  ['/transaction', { from: 1, to: 2, amount: null }, 'amount'],
  ['/transactions', { user_id: false, amount: '1' }, 'user_id'],
  ['/transactions', { id: 7, from: 'a', to: 'b', amount: '1' }, 'id'],
  ['/transactions', { from: 'a', to: 'b', amount: '1', source: null }, 'source'],
  ['/transactions', { postings: [{ ...posting, debit: true }] }, 'postings/0/debit'],
  ['/transactions', { from: 'a', to: 'b', amount: '1', metadata: { vip: true } }, 'metadata/vip'],
  ['/transactions', { from: 'a', to: 'b', amount: '1', occurredAt: false }, 'occurredAt'],
  ['/accounts', { accountId: true, currency: 'EUR' }, 'accountId'],
  ['/accounts', { accountId: 'a', currency: 'EUR', limited: 'false' }, 'limited'],
  ['/reviews', { transactionId: 5, decision: 'release' }, 'transactionId'],
])('POST %s %j: a value of another type is refused, not turned into one', async (url, payload, property) => {
  const { app, published } = await buildTestApi()
  const reply = await app.inject({ method: 'POST', url, payload })
  expect([reply.statusCode, reply.json().code, reply.json().property], reply.body).toEqual([
    400,
    'request_invalid',
    property,
  ])
  expect(published).toEqual([])
})

test('an account may be a number wherever a body names one', async () => {
  const { app, published } = await buildTestApi()
  const bodies: [string, object][] = [
    ['/transactions', { from: 1, to: 2, amount: 100 }],
    ['/transactions', { user_id: 11, amount: 12.75, currency: 'USD' }],
    ['/transactions', { postings: [{ ...posting, debit: 1, credit: 2 }] }],
    ['/accounts', { accountId: 3, currency: 'EUR' }],
  ]
  for (const [url, payload] of bodies) {
    const reply = await app.inject({ method: 'POST', url, payload })
    expect(reply.statusCode, reply.body).toBe(202)
  }
  expect(published.map(({ record }) => record)).toMatchObject([
    { postings: [{ debit: '1', credit: '2', amount: 10_000n }] },
    { postings: [{ credit: '11', amount: 1_275n }] },
    { postings: [{ debit: '1', credit: '2' }] },
    { accountId: '3' },
  ])
})

test('query parameters are named as such', async () => {
  const { app } = await buildTestApi()
  expect((await app.inject('/transactions?limit=501')).json()).toMatchObject({
    detail: 'query parameter limit must be at most 500',
    property: 'limit',
  })
  expect((await app.inject('/transactions?sort=asc')).json()).toMatchObject({
    detail: expect.stringMatching(/^query parameter sort is not known here; expected cursor, limit, status/),
  })
})

test('a body that is no object is said to be that', async () => {
  const { app } = await buildTestApi()
  const reply = await app.inject({
    method: 'POST',
    url: '/transactions',
    headers: { 'content-type': 'application/json' },
    payload: '[]',
  })
  expect([reply.statusCode, reply.json().detail]).toEqual([400, expect.stringContaining('must be an object')])
})
