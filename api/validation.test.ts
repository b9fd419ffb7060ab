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
