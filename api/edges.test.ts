/** Requests at the edges: times, texts and paths that the ledger couldn't keep, and changes that were not made. */
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { buildTestApi } from '#api/fixtures.ts'
import { PositionWaiter } from '#api/gateway/position-waiter.ts'

const post = (url: string, payload: object, headers: Record<string, string> = {}) =>
  ({ method: 'POST', url, payload, headers }) as const

test('times before 1970 are published as text: a number below zero would be a dead letter', async () => {
  const { app, published } = await buildTestApi()
  const times = { occurredAt: '1965-04-01T02:00:00+02:00', valueTime: '1969-12-31T23:59:59.999Z' }
  const reply = await app.inject(post('/transactions', { from: 'a', to: 'b', amount: '1', ...times }))
  expect(reply.statusCode).toBe(202)
  expect(published[0]?.record).toMatchObject({
    occurredAt: '1965-04-01T00:00:00.000Z',
    valueTime: '1969-12-31T23:59:59.999Z',
    expiresAt: null,
  })
})

test('a path or query that no table could hold is refused before anything is asked', async () => {
  const read = async (): Promise<never> => {
    throw new Error('asked')
  }
  const { app } = await buildTestApi({ cache: { read, expireOlder: async () => {} } })
  for (const url of ['/balance/a%00b', '/accounts/%00/entries', '/transactions?source=%00']) {
    const reply = await app.inject({ method: 'GET', url })
    expect([reply.statusCode, reply.json().code], url).toEqual([400, 'encoding_invalid'])
  }
})

test('a path that no route can read is refused as a problem, without repeating it', async () => {
  const { app } = await buildTestApi()
  for (const [url, status] of [
    ['/balance/%ff-4111111111111111', 400],
    [`/balance/${'x'.repeat(5_000)}`, 414],
  ] as const) {
    const reply = await app.inject({ method: 'GET', url })
    expect(reply.statusCode).toBe(status)
    expect(reply.headers['content-type']).toContain('application/problem+json')
    expect(reply.json()).toMatchObject({ status, code: 'request_invalid' })
    expect(reply.body).not.toMatch(/4111111111111111|xxx/)
  }
})

test('a compressed body is refused as such', async () => {
  const { app, published } = await buildTestApi()
  const headers = { 'content-encoding': 'gzip', 'content-type': 'application/json' }
  const payload = gzipSync('{"from":"a","to":"b","amount":"1"}')
  const reply = await app.inject({ method: 'POST', url: '/transactions', headers, payload })
  expect(reply.statusCode).toBe(415)
  expect(reply.headers['content-type']).toContain('application/problem+json')
  expect(reply.json()).toMatchObject({ code: 'content_encoding_unsupported' })
  expect(published).toEqual([])
})

test.each([
  [{ from: 'a', to: 'b', amount: 1e15 }, 'amount'],
  [{ from: 'a', to: 'b', amount: 1e20 }, 'amount'],
  [{ postings: [{ debit: 'a', credit: 'b', amount: 1e20, currency: 'EUR' }] }, 'postings/0/amount'],
])('%j is too large, whatever the form', async (body, property) => {
  const { app } = await buildTestApi()
  const reply = await app.inject(post('/transactions', body))
  expect(reply.json()).toMatchObject({ status: 422, code: 'amount_too_large', property })
})

test('an account that is there otherwise than asked for is a conflict', async () => {
  const row = {
    ...{ account_id: 'new', currency: 978, account_class: 'customer', normal_side: 'credit', status: 'open' },
    ...{ limited: true, overdraft_limit: 0n, reversal_may_overdraw: false, posted: 0n, reserved: 0n },
    ...{ version: 1n, opened_sequence: 1n, timeline: 1n, tick_ms: 0n },
  }
  let refusal: string | null = null
  const { app } = await buildTestApi({
    readRefusal: async () => refusal,
    pool: {
      query: async <Row>() => [row as Row],
      close: async () => {},
      load: () => ({ connections: 0, waiting: 0 }),
    },
    positions: new PositionWaiter({ readAppliedOffsets: async () => new Map([['accounts:0', 100n]]) }),
  })
  const open = (terms: object) =>
    app.inject(post('/accounts', { accountId: 'new', currency: 'EUR', ...terms }, { prefer: 'wait=10' }))
  expect((await open({})).statusCode).toBe(200)
  for (const terms of [{ overdraftLimit: 1 }, { normalSide: 'debit' }, { reversalMayOverdraw: true }]) {
    expect((await open(terms)).json(), JSON.stringify(terms)).toMatchObject({ code: 'account_not_changed' })
  }
  refusal = 'balance_not_zero'
  expect((await open({ action: 'close' })).json()).toMatchObject({
    status: 409,
    code: 'balance_not_zero',
    detail: expect.stringContaining('zero balance'),
  })
})
