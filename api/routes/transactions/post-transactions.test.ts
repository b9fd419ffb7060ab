/** Posting: what becomes of a request once it is published, and when it can't be. */
import { expect, test } from 'vitest'
import { buildTestApi, outcomeOf } from '#api/fixtures.ts'
import { OutcomeWaiter } from '#api/gateway/outcome-waiter.ts'
import { contentHash, transactionKey } from '#domain/transactions/canonical.ts'
import { blankCommand } from '#domain/transactions/command.ts'
import { UnreachableError } from '#platform/errors.ts'

const post = (url: string, payload: object, headers: Record<string, string> = {}) =>
  ({ method: 'POST', url, payload, headers }) as const

/** A waiter to which everything published is decided at once. */
const deciding = (status: 'applied' | 'held' | 'rejected', content: (key: string) => string) =>
  new OutcomeWaiter({
    readOutcomes: async (keys) =>
      keys.map((key) =>
        outcomeOf({
          key,
          content: content(key),
          status,
          reason: status === 'rejected' ? 'insufficient_funds' : null,
        }),
      ),
    intervalMinMs: 1,
  })

const flatCommand = blankCommand({
  id: 't1',
  source: '',
  postings: [{ debit: '1', credit: '2', amount: 10_000n, currency: 'USD' }],
  occurredAt: 0,
  actor: 'anonymous',
})
const flatContent = contentHash(flatCommand, { occurredAtGiven: false })

test.each([
  ['applied', '/transaction', 200, 'completed'],
  ['applied', '/process_transaction', 200, 'completed'],
  ['held', '/process_transaction', 422, 'held'],
  ['rejected', '/process_transaction', 422, 'rejected'],
] as const)('older calls wait: %s by %s is %i %s', async (status, url, code, word) => {
  const expired: unknown[] = []
  const { app, published } = await buildTestApi({
    outcomes: deciding(status, () => flatContent),
    cache: {
      read: async () => undefined,
      expireOlder: async (...values) => void expired.push(values),
    },
  })
  const reply = await app.inject(post(url, { id: 't1', from: 1, to: 2, amount: 100 }))
  expect(reply.statusCode).toBe(code)
  expect(reply.json()).toMatchObject({
    txn_id: 't1',
    status: word,
    ...(status === 'rejected' ? { reason: 'insufficient_funds' } : {}),
    ...(status === 'held' ? { reason: 'held_for_review' } : {}),
  })
  expect(published).toHaveLength(1)
  expect(expired).toMatchObject([[['alice', 'bob'], { sequence: 7n, timeline: 1n }]])
})

test('older calls are refused in their own shape where the ledger would refuse anyway', async () => {
  const { app, published } = await buildTestApi()
  const reply = await app.inject(post('/transaction', { from: 1, to: 1, amount: 5 }))
  expect(reply.statusCode).toBe(422)
  expect(reply.json()).toMatchObject({
    txn_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    status: 'rejected',
    reason: 'same_account',
    code: 'same_account',
    property: 'to',
  })
  expect(published).toEqual([])
})

test('a refusal has one shape, whether this gateway or the ledger refused', async () => {
  const { app } = await buildTestApi({ outcomes: deciding('rejected', () => flatContent) })
  const wait = { prefer: 'wait=5' }
  const byLedger = await app.inject(post('/transactions', { id: 't1', from: 1, to: 2, amount: 100 }, wait))
  const byGateway = await app.inject(post('/transactions', { id: 't1', from: 1, to: 1, amount: 100 }, wait))
  const problem = { type: 'about:blank', title: 'Unprocessable Entity', status: 422, txn_id: 't1' }
  for (const reply of [byLedger, byGateway]) {
    expect(reply.statusCode).toBe(422)
    expect(reply.headers['content-type']).toContain('application/problem+json')
    expect(reply.json()).toMatchObject(problem)
  }
  expect(byLedger.headers.location).toBe('/transactions/t1')
  expect(byLedger.json()).toMatchObject({
    code: 'insufficient_funds',
    reason: 'insufficient_funds',
    outcome: 'rejected',
    sequence: '7',
    detail: expect.stringContaining('less available'),
  })
  expect(byGateway.json()).toMatchObject({ code: 'same_account' })
})

test('without an outcome in time the answer is 202', async () => {
  const { app } = await buildTestApi()
  const reply = await app.inject(post('/transaction', { from: 1, to: 2, amount: 5 }, { prefer: 'wait=0' }))
  expect(reply.statusCode).toBe(202)
  expect(reply.json()).toMatchObject({ status: 'pending' })
  const bounded = await buildTestApi({ options: { waitMaxMs: 20 } })
  const waited = await bounded.app.inject(
    post('/transactions', { from: 1, to: 2, amount: 5 }, { prefer: 'respond-async, wait=9999' }),
  )
  expect(waited.statusCode).toBe(202)
  expect(waited.headers['preference-applied']).toBe('wait=0.02')
})

test('too many waiters: refused before anything is published', async () => {
  const outcomes = new OutcomeWaiter({ readOutcomes: async () => [], waitersMax: 1 })
  const { app, published } = await buildTestApi({ outcomes })
  const waiting = outcomes.wait(transactionKey('', 'other'), 10_000)
  const reply = await app.inject(post('/transaction', { from: 1, to: 2, amount: 5 }))
  expect(reply.statusCode).toBe(503)
  expect(reply.headers['retry-after']).toBe('1')
  expect(reply.json()).toMatchObject({ code: 'too_many_waiters' })
  expect(published).toEqual([])
  outcomes.close()
  await waiting
})

test('another content under a taken id is a conflict', async () => {
  const { app } = await buildTestApi({ outcomes: deciding('applied', () => 'f'.repeat(32)) })
  const reply = await app.inject(post('/transaction', { id: 't1', from: 1, to: 2, amount: 100 }))
  expect([reply.statusCode, reply.json().code]).toEqual([409, 'id_conflict'])
})

test('a broker that is away: 503, with the id to try again with, and no inner detail', async () => {
  const { app, lines } = await buildTestApi({
    gateway: {
      publish: async () => {
        throw new UnreachableError('kafka', 'connect ECONNREFUSED 10.1.2.3:9092')
      },
    },
  })
  const reply = await app.inject(post('/transactions', { id: 'again', from: 1, to: 2, amount: 5 }))
  expect(reply.statusCode).toBe(503)
  expect(reply.headers['retry-after']).toBe('1')
  expect(reply.json()).toMatchObject({ code: 'kafka_unreachable', txn_id: 'again' })
  expect(reply.body).not.toContain('10.1.2.3')
  expect(lines.join('')).toContain('kafka_unreachable')
})

test('an id that was taken in a dropped period is gone at once, and nothing is published', async () => {
  const command = { ...flatCommand, occurredAt: Date.UTC(2026, 0, 5) }
  const taken = { content: contentHash(command), recorded_at: new Date('2026-01-05Z') }
  const rows: Record<string, object[]> = {
    'read-dropped-id': [{ ...taken, until: new Date('2026-04-01Z') }],
    // No horizon of ids.
    undefined: [{ tick_ms: '1781524800000', published: null, archived: null, rules: [] }],
  }
  const { app, published } = await buildTestApi({
    pool: {
      query: async <Row>({ name }: { name?: string }) => (rows[String(name)] ?? []) as Row[],
      close: async () => {},
      load: () => ({ connections: 0, waiting: 0 }),
    },
  })
  const asked = { id: 't1', from: 1, to: 2, amount: 100 }
  for (const wait of [{}, { prefer: 'wait=5' }]) {
    const reply = await app.inject(post('/transactions', asked, wait))
    expect(reply.json()).toMatchObject({
      status: 410,
      code: 'period_dropped',
      txn_id: 't1',
      available_from: '2026-04-01T00:00:00.000Z',
    })
  }
  const occurredAt = '2026-01-05T00:00:00Z'
  const same = await app.inject(post('/transactions', { ...asked, occurredAt }))
  expect(same.json()).toMatchObject({ status: 410, code: 'period_dropped' })
  const other = await app.inject(post('/transactions', { ...asked, amount: 101, occurredAt }))
  expect(other.json()).toMatchObject({ status: 409, code: 'id_conflict' })
  const older = await app.inject(post('/transaction', asked))
  expect([older.statusCode, older.json().code]).toEqual([410, 'period_dropped'])
  expect(published).toEqual([])
})
