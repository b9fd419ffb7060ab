/** Requests and replies of the API, where nothing behind it matters. */
import { expect, test } from 'vitest'
import { buildTestApi, TEST_TIME_MS } from '#api/fixtures.ts'
import { OperatingError } from '#platform/errors.ts'
import { balanceOf } from '#platform/redis/fixtures.ts'

const post = (url: string, payload: object, headers: Record<string, string> = {}) =>
  ({ method: 'POST', url, payload, headers }) as const

test('the flat form is published in minor units, as the ledger reads it', async () => {
  const { app, published } = await buildTestApi()
  const reply = await app.inject(
    post(
      '/transactions',
      { id: 'x1', from: 'alice', to: 7, amount: '12.75', currency: 'EUR' },
      { 'x-actor': 'till 3' },
    ),
  )
  expect(reply.statusCode).toBe(202)
  expect(reply.headers.location).toBe('/transactions/x1')
  expect(reply.json()).toEqual({ txn_id: 'x1', status: 'pending' })
  expect(published).toHaveLength(1)
  expect(published[0]).toMatchObject({
    topic: 'transactions',
    key: 'alice',
    record: {
      id: 'x1',
      actor: 'till 3',
      kind: 'post',
      postings: [{ debit: 'alice', credit: '7', amount: 1275n, currency: 'EUR' }],
    },
  })
  // Not stated by the client, so not stated by us: the same request again is then the same record.
  expect(published[0]?.record).not.toHaveProperty('occurredAt')
})

test('the older form is credited from the configured account', async () => {
  const { app, published } = await buildTestApi()
  const reply = await app.inject(
    post('/transactions', { user_id: 'user_11', amount: 12.75, currency: 'USD' }),
  )
  expect(reply.statusCode).toBe(202)
  const { txn_id: id, status } = reply.json() as { txn_id: string; status: string }
  expect(status).toBe('pending')
  expect(id).toMatch(/^[0-9a-f-]{36}$/)
  expect(reply.headers.location).toBe(`/transactions/${id}`)
  expect(published[0]?.record).toMatchObject({
    actor: 'anonymous',
    postings: [{ debit: 'external:funding', credit: 'user_11', amount: 1275n, currency: 'USD' }],
  })
  const pending = await app.inject(`/transactions/${id}`)
  expect(pending.json()).toMatchObject({ id, status: 'pending' })
})

test('the full form carries everything', async () => {
  const { app, published } = await buildTestApi()
  const reply = await app.inject(
    post(
      '/transactions',
      {
        source: 'shop',
        kind: 'authorize',
        postings: [
          { debit: 'a', credit: 'b', amount: 100, currency: 'JPY' },
          { debit: 'a', credit: 'c', amount: '900719925474099', currency: 'JPY' },
        ],
        occurredAt: '2026-06-15T10:00:00+02:00',
        expiresAt: TEST_TIME_MS + 1000,
        metadata: { order: '5' },
        after: { topic: 'accounts', partition: 0, offset: '12' },
      },
      { 'idempotency-key': '"order-5"' },
    ),
  )
  expect(reply.statusCode).toBe(202)
  expect(reply.headers.location).toBe('/transactions/order-5?source=shop')
  expect(published[0]?.record).toMatchObject({
    id: 'order-5',
    kind: 'authorize',
    occurredAt: Date.UTC(2026, 5, 15, 8),
    expiresAt: TEST_TIME_MS + 1000,
    after: { topic: 'accounts', partition: 0, offset: 12n },
    postings: [{ amount: 100n }, { amount: 900719925474099n }],
  })
})

test.each<[object, Record<string, string>, number, string]>([
  [
    { from: 'a', to: 'b', amount: '1' },
    { 'idempotency-key': 'x'.repeat(70) },
    400,
    'idempotency_key_invalid',
  ],
  [{ id: 'x', from: 'a', to: 'b', amount: '1' }, { 'idempotency-key': 'y' }, 400, 'idempotency_key_mismatch'],
  [{ from: 'a', to: 'b', user_id: 'c', amount: '1' }, {}, 400, 'form_ambiguous'],
  [{ from: 'a', amount: '1' }, {}, 400, 'form_incomplete'],
  [{}, {}, 400, 'form_incomplete'],
  [{ from: 'a', to: 'b', amount: '1', surprise: 1 }, {}, 400, 'request_invalid'],
  [{ from: 'a', to: 'b', amount: '1.234', currency: 'EUR' }, {}, 422, 'amount_invalid'],
  [{ from: 'a', to: 'b', amount: '1', currency: 'XYZ' }, {}, 422, 'currency_unknown'],
  [{ from: 'a', to: 'b', amount: '-1', currency: 'EUR' }, {}, 422, 'amount_not_positive'],
  [{ from: 'a', to: 'a', amount: '1', currency: 'EUR' }, {}, 422, 'same_account'],
  [{ kind: 'capture', postings: [] }, {}, 422, 'parent_required'],
  [{ postings: [{ debit: 'a', credit: 'b', amount: '1.5', currency: 'EUR' }] }, {}, 422, 'amount_invalid'],
  [{ from: 'a', to: 'b', amount: '1', card: '4111111111111111' }, {}, 422, 'card_number_refused'],
  [{ from: 'a', to: 'b', amount: '1' }, { 'x-actor': '4111111111111111' }, 422, 'card_number_refused'],
  [{ from: 'a', to: 'b', amount: '1', occurredAt: '2026-06-15' }, {}, 400, 'time_invalid'],
  [{ from: 'a', to: 'b', amount: '1', occurredAt: 253_402_300_800_000 }, {}, 400, 'time_invalid'],
  [{ from: 'a', to: 'b', amount: '1', valueTime: '0000-12-31T23:59:59Z' }, {}, 400, 'time_invalid'],
  [{ from: 'a', to: 'b', amount: '1', valueTime: '2026-02-30T00:00:00Z' }, {}, 400, 'time_invalid'],
  [
    { from: 'a', to: 'b', amount: '1', after: { topic: 'nope', partition: 0, offset: 1 } },
    {},
    400,
    'request_invalid',
  ],
  [{ from: 'a', to: 'b', amount: '1', merchant: 'a\0b' }, {}, 400, 'encoding_invalid'],
  [{ from: 'a', to: 'b', amount: '1', metadata: { note: 'x'.repeat(70_000) } }, {}, 413, 'body_too_large'],
])('%j %j is refused with %i %s', async (payload, headers, status, code) => {
  const { app, published, lines } = await buildTestApi()
  const reply = await app.inject(post('/transactions', payload, headers))
  expect(reply.statusCode).toBe(status)
  expect(reply.headers['content-type']).toContain('application/problem+json')
  expect(reply.json()).toMatchObject({ status, code, type: 'about:blank' })
  expect(published).toEqual([])
  expect(`${lines.join('')}${reply.body}`).not.toContain('4111111111111111')
})

test('numbers that a double would round are refused', async () => {
  const { app, published } = await buildTestApi()
  for (const amount of ['0.1234567890123456789', '9007199254740993']) {
    const reply = await app.inject({
      method: 'POST',
      url: '/process_transaction',
      headers: { 'content-type': 'application/json' },
      payload: `{"from":1,"to":2,"amount":${amount}}`,
    })
    expect(reply.statusCode).toBe(400)
    expect(reply.json()).toMatchObject({ code: 'number_inexact' })
  }
  expect(published).toEqual([])
})

test('other media types, routes and methods are refused as problems', async () => {
  const { app } = await buildTestApi()
  const plain = await app.inject({
    method: 'POST',
    url: '/transactions',
    headers: { 'content-type': 'text/plain' },
    payload: 'x',
  })
  expect([plain.statusCode, plain.json().code]).toEqual([415, 'media_type_unsupported'])
  const unknown = await app.inject('/nothing')
  expect([unknown.statusCode, unknown.json().code]).toEqual([404, 'route_not_found'])
  const card = await app.inject('/balance/4111111111111111')
  expect([card.statusCode, card.json().code]).toEqual([422, 'card_number_refused'])
  const encoded = await app.inject('/balance/%34111-1111-1111-1111')
  expect(encoded.json()).toMatchObject({ code: 'card_number_refused' })
})

test('a balance: numbers where exact, null where there is no limit', async () => {
  const balances = new Map([
    ['alice', balanceOf('alice', 5n, { posted: 12_75n, reserved: 75n, overdraftLimit: 1000n })],
    ['card:1', balanceOf('card:1', 5n, { posted: -(2n ** 60n), normalSide: 'debit', limited: false })],
  ])
  const { app } = await buildTestApi({
    cache: {
      read: async (id) => {
        const balance = balances.get(id)
        return balance && { balance, cached: true }
      },
      expireOlder: async () => {},
    },
  })
  expect((await app.inject('/balance/alice')).json()).toEqual({
    account_id: 'alice',
    balance: 12.75,
    currency: 'EUR',
    available: 22,
    reserved: 0.75,
    cached: true,
    as_of: '2023-11-14T22:13:20.005Z',
  })
  expect((await app.inject('/balance/card:1')).json()).toMatchObject({
    balance: '11529215046068469.76',
    available: null,
  })
  const missing = await app.inject('/balance/nobody')
  expect([missing.statusCode, missing.json().code]).toEqual([404, 'account_not_found'])
  const when = await app.inject('/balance/alice?as_of=yesterday')
  expect([when.statusCode, when.json().code]).toEqual([400, 'time_invalid'])
})

test('pages are bounded and cursors checked', async () => {
  const { app } = await buildTestApi()
  for (const [query, code] of [
    ['limit=501', 'request_invalid'],
    ['limit=0', 'request_invalid'],
    ['limit=x', 'request_invalid'],
    ['cursor=nonsense', 'cursor_invalid'],
    ['status=done', 'status_invalid'],
    ['sort=asc', 'request_invalid'],
  ]) {
    const reply = await app.inject(`/transactions?${query}`)
    expect([reply.statusCode, reply.json().code]).toEqual([400, code])
  }
})

test('a review needs a reviewer', async () => {
  const { app, published } = await buildTestApi()
  const nobody = await app.inject(post('/reviews', { transactionId: 'x', decision: 'release' }))
  expect([nobody.statusCode, nobody.json().code]).toEqual([400, 'actor_required'])
  const reply = await app.inject(
    post('/reviews', { transactionId: 'x', decision: 'release' }, { 'x-actor': 'eve' }),
  )
  expect(reply.statusCode).toBe(202)
  expect(published).toMatchObject([
    {
      topic: 'reviews',
      key: 'x',
      record: { transactionId: 'x', source: '', decision: 'release', actor: 'eve' },
    },
  ])
})

test('opening an account publishes the record; what can never be is refused at once', async () => {
  const { app, published } = await buildTestApi()
  const reply = await app.inject(
    post('/accounts', { accountId: 'new', currency: 'EUR', overdraftLimit: 500 }),
  )
  expect(reply.statusCode).toBe(202)
  expect(reply.headers.location).toBe('/accounts/new')
  expect(published).toMatchObject([
    {
      topic: 'accounts',
      key: 'new',
      record: { action: 'open', currency: 'EUR', overdraftLimit: 500n, limited: true },
    },
  ])
  const wrong = await app.inject(post('/accounts', { accountId: 'new', currency: 'ABC' }))
  expect([wrong.statusCode, wrong.json().code]).toEqual([422, 'currency_unknown'])
})

test('errors that nobody foresaw say nothing to the client and all to the log', async () => {
  const { app, lines } = await buildTestApi({
    cache: {
      read: async () => {
        throw new Error('secret detail')
      },
      expireOlder: async () => {},
    },
  })
  const reply = await app.inject('/balance/alice')
  expect([reply.statusCode, reply.json().code]).toEqual([500, 'internal_error'])
  expect(reply.body).not.toContain('secret')
  expect(lines.join('')).toContain('secret detail')
})

test('readiness tells the truth', async () => {
  const head = {
    ledger: 'x',
    sequence: 9n,
    tick_ms: BigInt(TEST_TIME_MS),
    timeline: 1n,
    published_sequence: 7n,
  }
  const pool = (row: object) => ({
    query: async <Row>() => [row as Row],
    close: async () => {},
    load: () => ({ connections: 0, waiting: 0 }),
  })
  const away = {
    ...pool({}),
    query: async () => {
      throw new OperatingError('postgres_unreachable', 'away', { retriable: true })
    },
  }
  const up = { kafka: async () => true, redis: async () => true }
  const old = { ...head, tick_ms: BigInt(TEST_TIME_MS - 60_000) }
  const cases = [
    [{ pool: pool(head), checks: up }, 200, { status: 'ready', engine: 'up', unpublished_batches: '2' }],
    [{ pool: pool(old), checks: up }, 200, { status: 'degraded', engine: 'stalled' }],
    [
      { pool: pool(head), checks: { ...up, redis: async () => false } },
      200,
      { status: 'degraded', redis: 'down' },
    ],
    [
      { pool: pool(head), checks: { ...up, kafka: async () => false } },
      503,
      { status: 'unavailable', kafka: 'down' },
    ],
    [{ pool: away, checks: up }, 503, { status: 'unavailable', postgres: 'down', engine: 'unknown' }],
  ] as const
  for (const [dependencies, status, body] of cases) {
    const { app } = await buildTestApi(dependencies)
    const reply = await app.inject('/health/ready')
    expect(reply.statusCode).toBe(status)
    expect(reply.json()).toMatchObject(body)
    expect((await app.inject('/health/live')).statusCode).toBe(200)
  }
})

test('metrics count requests by route pattern, and the document names every route', async () => {
  const { app } = await buildTestApi()
  await app.inject('/balance/someone')
  const { body } = await app.inject('/metrics')
  expect(body).toContain(
    'tallystream_http_request_seconds_count{method="GET",route="/balance/:id",status="404"} 1',
  )
  expect(body).not.toContain('someone')
  const document = (await app.inject('/docs/json')).json() as { paths: Record<string, object> }
  expect(Object.keys(document.paths).sort()).toEqual([
    '/accounts',
    '/accounts/{id}',
    '/accounts/{id}/entries',
    '/balance/{id}',
    '/dead-letters',
    '/fraud/alerts',
    '/fraud/labels',
    '/fraud/rulebooks',
    '/fraud/rulebooks/{version}',
    '/fraud/rulebooks/{version}/approval',
    '/health/live',
    '/health/ready',
    '/metrics',
    '/process_transaction',
    '/recon',
    '/recon/{pair}/breaks',
    '/recon/{pair}/breaks/{id}/commands',
    '/recon/{pair}/items/{id}',
    '/recon/{pair}/report',
    '/reviews',
    '/reviews/{id}',
    '/reviews/{id}/assignment',
    '/reviews/{id}/notes',
    '/transaction',
    '/transactions',
    '/transactions/{id}',
  ])
  expect((await app.inject('/docs')).statusCode).toBe(200)
})

test('a known path with another method names those that it takes; the root leads to the documentation', async () => {
  const { app } = await buildTestApi()
  const wrong = await app.inject({ method: 'DELETE', url: '/transactions/x?source=y' })
  expect([wrong.statusCode, wrong.json().code]).toEqual([405, 'method_not_allowed'])
  expect(wrong.headers.allow).toContain('GET')
  const root = await app.inject('/')
  expect([root.statusCode, root.headers.location]).toEqual([302, '/docs'])
})

test('a caller’s trace goes on: in replies, problems, log lines and what is published', async () => {
  const { app, lines } = await buildTestApi()
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
  const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01`, 'x-request-id': 'r1' }
  const reply = await app.inject({ ...post('/transactions', { from: 'a', to: 'a', amount: '1' }), headers })
  expect(reply.headers.traceparent).toMatch(new RegExp(`^00-${traceId}-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$`))
  expect(reply.json()).toMatchObject({ trace_id: traceId, request_id: 'r1' })
  const broken = await app.inject({
    ...post('/transactions', {}),
    payload: '{',
    headers: { ...headers, 'content-type': 'application/json' },
  })
  expect(broken.json()).toMatchObject({ code: 'json_invalid', trace_id: traceId })
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { msg: 'request', traceId, requestId: 'r1' },
    { msg: 'request', traceId },
  ])
  const fresh = await app.inject({ url: '/nothing', headers: { traceparent: `00-${'0'.repeat(32)}-1-01` } })
  expect(fresh.json()).toMatchObject({ trace_id: expect.stringMatching(/^(?!0{32})[0-9a-f]{32}$/) })
})

test('a caller’s request id comes back where it is harmless', async () => {
  const { app } = await buildTestApi()
  const kept = await app.inject({ url: '/health/live', headers: { 'x-request-id': 'trace-1' } })
  expect(kept.headers['x-request-id']).toBe('trace-1')
  const replaced = await app.inject({ url: '/health/live', headers: { 'x-request-id': 'a b"c' } })
  expect(replaced.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
})
