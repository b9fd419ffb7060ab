/** The API on the real stack, with the engine behind it: what clients post is decided, shown, cached, and survives Redis. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeDecisionReader, withRequested } from '#api/gateway/decision-reader.ts'
import { makeIngestGateway } from '#api/gateway/ingest-gateway.ts'
import { type ApiServer, startApi } from '#api/server.ts'
import { LOGIC_VERSION } from '#domain/ledger/state.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { readToEnd, testConsumer } from '#platform/kafka/kafka.fixtures.ts'
import { BatchingProducer } from '#platform/kafka/producer.ts'
import { makeEngineMetrics } from '#platform/observability/engine-metrics.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { migrateLedger } from '#platform/postgres/migrate.ts'
import { makePool } from '#platform/postgres/pool.ts'
import type { Cursor } from '#platform/postgres/queries/cursor.ts'
import { type ListedTransaction, listTransactions } from '#platform/postgres/queries/list-transactions.ts'
import { isApplied } from '#platform/postgres/queries/read-applied-offsets.ts'
import { closeRedis, openRedis, untilRedisReady } from '#platform/redis/client.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { type Pipeline, startPipeline } from '#processors/pipeline.ts'
import { ALL_TOPICS, topicConfiguration } from '#schemas/topics.ts'

let configuration: Configuration
let pipeline: Pipeline
let api: ApiServer
const logger = createLogger({ level: 'silent', service: 'test' })

beforeAll(async () => {
  configuration = testConfiguration('api', { COMPAT_OPEN_ACCOUNTS: 'true', COMPAT_SOURCE_ACCOUNT: 'funding' })
  const { ledger, postgres } = configuration
  await migrateLedger(postgres, { ledger: ledger.name, nowMs: Date.now(), logicVersion: LOGIC_VERSION })
  const admin = new KafkaAdmin(makeKafka(configuration.kafka, { clientId: 'test' }))
  await admin.ensureTopics(
    ALL_TOPICS.map((topic) => ({
      name: `${ledger.topicPrefix}${topic.name}`,
      partitions: topic.partitions,
      replication: 1,
      config: topicConfiguration(topic),
    })),
  )
  await admin.close()
  pipeline = await startPipeline({
    configuration,
    roles: ['processor', 'publisher', 'ticker'],
    logger,
    metrics: makeEngineMetrics(),
    onIncident: (incident) => {
      throw incident
    },
  })
  api = await startApi({ configuration, logger })
  // The engine needs some seconds to take its partitions; the first request shall not pay for it.
  await eventually(async () => expect((await get('/health/ready')).body).toMatchObject({ status: 'ready' }))
})

afterAll(async () => {
  await api?.close()
  await pipeline?.stop()
})

interface Reply {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: what a client sees
  body: any
}

async function ask(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const reply = await fetch(`${api.url}${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(60_000),
  })
  const text = await reply.text()
  const isJson = reply.headers.get('content-type')?.includes('json') ?? false
  return { status: reply.status, headers: reply.headers, body: isJson ? JSON.parse(text) : text }
}
const get = (path: string) => ask('GET', path)
const post = (path: string, body: unknown, headers?: Record<string, string>) =>
  ask('POST', path, body, headers)
const WAIT = { prefer: 'wait=20' }

async function eventually(check: () => Promise<void>, timeoutMs = 30_000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

/** An open account with money on it. */
async function funded(id: string, amount: string, currency = 'USD'): Promise<void> {
  const reply = await post('/transactions', { user_id: id, amount, currency }, WAIT)
  expect(reply.status, JSON.stringify(reply.body)).toBe(200)
}

test('the calls of older systems, as their clients make them', async () => {
  const credit = await post('/transactions', { user_id: 'user_11', amount: 12.75, currency: 'USD' })
  expect(credit.status).toBe(202)
  expect(credit.body).toEqual({ txn_id: expect.any(String), status: 'pending' })
  const location = credit.headers.get('location')!
  await eventually(async () => expect((await get(location)).body).toMatchObject({ status: 'completed' }))
  expect((await get(location)).body).toMatchObject({ from: 'funding', to: 'user_11', amount: 12.75 })
  await funded('1', '250')

  const transfer = await post('/process_transaction', { from: 1, to: 2, amount: 100 })
  expect(transfer.status).toBe(200)
  expect(transfer.body).toMatchObject({ txn_id: expect.any(String), status: 'completed' })
  const second = await post('/transaction', { from: 1, to: 2, amount: 100.5 })
  expect(second.body.status).toBe('completed')
  const broke = await post('/transaction', { from: 1, to: 2, amount: 100 })
  expect(broke.status).toBe(422)
  expect(broke.body).toMatchObject({ status: 'rejected', reason: 'insufficient_funds' })

  const balance = await get('/balance/1')
  expect(balance.body).toMatchObject({
    account_id: '1',
    balance: 49.5,
    currency: 'USD',
    available: 49.5,
    reserved: 0,
  })
  expect(typeof balance.body.cached).toBe('boolean')
  const list = await get('/transactions?limit=2')
  expect(list.body.map(({ status }: { status: string }) => status)).toEqual(['rejected', 'completed'])
  expect(list.body[1]).toMatchObject({ id: second.body.txn_id, from: '1', to: '2', amount: 100.5 })
  const next = /^<(.*)>; rel="next"$/.exec(list.headers.get('link')!)?.[1]
  expect((await get(next!)).body[0]).toMatchObject({ id: transfer.body.txn_id, amount: 100 })
  const shown = await get(`/transactions/${second.body.txn_id}`)
  expect(shown.body).toMatchObject({
    entries: [
      { account_id: '1', side: 'debit', amount: '100.50', posted_after: '49.50' },
      { account_id: '2', side: 'credit', amount: '100.50', posted_after: '200.50' },
    ],
    decision: { cause: 'transaction', outcome: 'applied', rules: [] },
  })
})

test('who is told of a transaction reads its effect, from the cache too', async () => {
  await funded('hot', '1000')
  let expected = 1000
  const seen = { cached: 0, fresh: 0 }
  for (let round = 0; round < 30; round += 1) {
    const reply = await post('/transaction', { from: 'hot', to: 'cold', amount: 1 })
    expect(reply.body.status).toBe('completed')
    expected -= 1
    for (let reads = 0; reads < 3; reads += 1) {
      const { body } = await get('/balance/hot')
      expect(body.balance).toBe(expected)
      seen[body.cached ? 'cached' : 'fresh'] += 1
    }
  }
  expect(seen.cached).toBeGreaterThan(0)
})

test('the cache is used, follows the publisher, and a flush loses nothing', async () => {
  await funded('flushed', '10')
  await eventually(async () =>
    expect((await get('/balance/flushed')).body).toMatchObject({ cached: true, balance: 10 }),
  )
  const { redis } = configuration
  const client = openRedis({ url: redis.url, connectionName: 'test' })
  await untilRedisReady(client, 5000)
  const keys = await client.keys(`${redis.keyPrefix}*`)
  await client.del(...keys)
  closeRedis(client)
  expect((await get('/balance/flushed')).body).toMatchObject({ cached: false, balance: 10 })
  await eventually(async () =>
    expect((await get('/balance/flushed')).body).toMatchObject({ cached: true, balance: 10 }),
  )
})

test('the same again is answered with the first outcome; other content is a conflict', async () => {
  await funded('twice', '100')
  const body = { from: 'twice', to: 'other', amount: '60.00', currency: 'USD' }
  const headers = { ...WAIT, 'idempotency-key': 'pay-once' }
  const both = await Promise.all([post('/transactions', body, headers), post('/transactions', body, headers)])
  expect(both.map(({ status }) => status)).toEqual([200, 200])
  const again = await post('/transactions', body, headers)
  expect(again.body).toEqual(both[0]!.body)
  expect((await get('/balance/twice')).body.balance).toBe(40)
  const other = await post('/transactions', { ...body, amount: '61.00' }, headers)
  expect([other.status, other.body.code]).toEqual([409, 'id_conflict'])
  expect((await get('/transactions?account=twice')).body).toHaveLength(2)
})

test('accounts: open, read, freeze; authorize, capture; entries and the past', async () => {
  const opened = await post('/accounts', { accountId: 'corp', currency: 'EUR', overdraftLimit: 50_000 }, WAIT)
  expect(opened.status).toBe(200)
  expect(opened.body).toMatchObject({
    account_id: 'corp',
    overdraft_limit: '500.00',
    available: '500.00',
    status: 'open',
  })
  const clash = await post('/accounts', { accountId: 'corp', currency: 'JPY' }, WAIT)
  expect([clash.status, clash.body.code]).toEqual([409, 'exists_with_other_content'])
  await post('/accounts', { accountId: 'supplier', currency: 'EUR' }, WAIT)
  // Recorded times are the ledger's: its clock moves with the ticks, some seconds behind ours at most.
  const longBefore = new Date(Date.now() - 60_000).toISOString()
  const before = new Date().toISOString()
  const authorized = await post(
    '/transactions',
    { id: 'auth-1', kind: 'authorize', from: 'corp', to: 'supplier', amount: '120.00', currency: 'EUR' },
    WAIT,
  )
  expect(authorized.body).toMatchObject({ status: 'authorized' })
  expect((await get('/balance/corp')).body).toMatchObject({ balance: 0, reserved: 120, available: 380 })
  const captured = await post('/transactions', { kind: 'capture', parentId: 'auth-1', postings: [] }, WAIT)
  expect(captured.body).toMatchObject({ status: 'completed' })
  expect((await get('/balance/corp')).body).toMatchObject({ balance: -120, reserved: 0, available: 380 })
  const entries = await get('/accounts/corp/entries')
  expect(entries.body).toMatchObject([
    { side: 'debit', amount: '120.00', counterparty: 'supplier', kind: 'capture' },
  ])
  expect((await get(`/balance/corp?as_of=${longBefore}`)).body).toMatchObject({ balance: 0, cached: false })
  expect((await get(`/balance/corp?effective_as_of=${before}`)).body).toMatchObject({ balance: 0 })
  const kept = await post('/accounts', { accountId: 'corp', action: 'close' }, WAIT)
  expect([kept.status, kept.body.code]).toEqual([409, 'balance_not_zero'])
  const frozen = await post('/accounts', { accountId: 'corp', action: 'freeze' }, WAIT)
  expect(frozen.body).toMatchObject({ status: 'frozen' })
  const refused = await post(
    '/transactions',
    { from: 'corp', to: 'supplier', amount: 1, currency: 'EUR' },
    WAIT,
  )
  expect([refused.status, refused.body.reason]).toEqual([422, 'account_frozen'])
})

test('a held transaction: explained, listed, released by the first reviewer', async () => {
  const { ledger, postgres } = configuration
  const producer = new BatchingProducer({ kafka: makeKafka(configuration.kafka, { clientId: 'test' }) })
  const gateway = makeIngestGateway({ sender: producer, topicPrefix: ledger.topicPrefix })
  const rule = { ruleId: 'big', type: 'amount_limit', currency: 'GBP', threshold: 100_000n, action: 'hold' }
  const position = await gateway.publish('rules', 'big', rule)
  await producer.close()
  const pool = makePool({ ...postgres, applicationName: 'test' })
  await eventually(async () => expect(await isApplied(pool, ledger.clusterId, position)).toBe(true))
  await pool.close()
  await post('/accounts', { accountId: 'rich', currency: 'GBP', limited: false }, WAIT)
  await post('/accounts', { accountId: 'shop', currency: 'GBP' }, WAIT)
  const payment = { id: 'big-1', from: 'rich', to: 'shop', amount: '1000.01', currency: 'GBP' }
  const held = await post('/transactions', payment, WAIT)
  expect([held.status, held.body.status]).toEqual([202, 'held'])
  expect((await get('/transactions/big-1')).body).toMatchObject({
    status: 'held',
    amount: 1000.01,
    hold: { kind: 'review', status: 'active' },
    decision: {
      outcome: 'held',
      rules: [{ rule_id: 'big', value: '100001', threshold: '100000', action: 'hold' }],
    },
  })
  expect((await get('/balance/rich')).body).toMatchObject({ balance: 0, reserved: 1000.01 })
  expect((await get('/reviews')).body).toMatchObject([{ txn_id: 'big-1', postings: [{ amount: '1000.01' }] }])
  const review = { transactionId: 'big-1', decision: 'release', reason: 'known customer' }
  const released = await post('/reviews', review, { ...WAIT, 'x-actor': 'eve' })
  expect([released.status, released.body.status]).toEqual([200, 'completed'])
  expect((await get('/balance/rich')).body).toMatchObject({ balance: -1000.01, reserved: 0 })
  const late = await post('/reviews', { ...review, decision: 'decline' }, { ...WAIT, 'x-actor': 'mallory' })
  expect([late.status, late.body.code]).toEqual([409, 'not_held'])
  const decisions = (await get('/transactions/big-1')).body.decisions
  expect(decisions).toMatchObject([
    { outcome: 'held' },
    { cause: 'review', outcome: 'applied', actor: 'eve' },
  ])
  expect((await get('/reviews')).body).toEqual([])
})

test('the published record carries the trace of its request', async () => {
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
  const traceparent = `00-${traceId}-00f067aa0ba902b7-01`
  const body = { id: 'traced-1', from: 'many', to: 'sink', amount: '1' }
  const reply = await post('/transactions', body, { ...WAIT, traceparent })
  const replied = reply.headers.get('traceparent')!
  expect(replied).toContain(traceId)
  const topic = `${configuration.ledger.topicPrefix}transactions`
  const reader = testConsumer([topic])
  await reader.consumer.start()
  const records = await readToEnd(reader, topic)
  await reader.consumer.stop()
  const published = records.find(({ value }) => value?.includes('traced-1'))
  expect(published?.headers?.traceparent?.toString()).toBe(replied)
})

test('refused transactions show what they asked for, in the list and alone', async () => {
  await funded('poor', '5')
  const ask = (id: string, body: object) => post('/transactions', { id, ...body }, WAIT)
  const postings = [
    { debit: 'poor', credit: 'nobody 1', amount: 700, currency: 'USD' },
    { debit: 'poor', credit: 'nobody 2', amount: 800, currency: 'USD' },
  ]
  const replies = [
    await ask('refused-1', { from: 'poor', to: 'other', amount: '7.50', currency: 'USD' }),
    await ask('refused-2', { postings }),
    await ask('refused-3', { kind: 'capture', parentId: 'nothing', postings: [] }),
  ]
  expect(replies.map(({ body }) => body.code)).toEqual([
    'insufficient_funds',
    'unknown_account',
    'parent_unknown',
  ])
  const flat = { from: 'poor', to: 'other', amount: 7.5, currency: 'USD', status: 'rejected' }
  const several = { from: 'poor', to: null, amount: 15, postings: [{ amount: '7.00' }, { amount: '8.00' }] }
  const nothing = { from: null, to: null, amount: null, currency: null, reason: 'parent_unknown' }
  const list = (await get('/transactions?status=rejected&limit=3')).body
  expect(list).toMatchObject([nothing, several, flat])
  expect((await get('/transactions/refused-1')).body).toMatchObject({ ...flat, entries: [] })
  expect((await get('/transactions/refused-2')).body).toMatchObject(several)
  expect((await get('/transactions/refused-3')).body).toMatchObject(nothing)
})

test('a page that would unpack too much ends early and goes on behind that', async () => {
  const pool = makePool({ ...configuration.postgres, applicationName: 'test' })
  const reader = makeDecisionReader({
    pool,
    registry: new SchemaRegistry(configuration.schemaRegistry),
    bytesMax: 1,
    onFailure: (error) => {
      throw error
    },
  })
  const statuses = ['rejected'] as const
  const list = (before: Cursor | null) => listTransactions(pool, { filters: { statuses }, before, limit: 10 })
  const whole = await list(null)
  expect(whole.items.length).toBeGreaterThan(2)
  const seen: ListedTransaction[] = []
  let page = await withRequested(whole, reader)
  for (;;) {
    expect(new Set(page.items.map(({ sequence }) => sequence)).size).toBe(1)
    seen.push(...page.items)
    if (page.next === null) break
    page = await withRequested(await list(page.next), reader)
  }
  expect(seen.map(({ id }) => id)).toEqual(whole.items.map(({ id }) => id))
  expect(seen.find(({ id }) => id === 'refused-1')?.postings).toMatchObject([{ amountMinor: 750n }])
  await pool.close()
})

test('a hundred waiting at once are all answered', async () => {
  await funded('many', '1000')
  const replies = await Promise.all(
    Array.from({ length: 100 }, () => post('/transaction', { from: 'many', to: 'sink', amount: 1 })),
  )
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]))
  expect((await get('/balance/many')).body.balance).toBe(900)
})

test('closing ends waits at once and takes less than five seconds', async () => {
  const other = await startApi({ configuration, logger })
  // Its ledger never hears of this one, so that it would wait to the end.
  const waiting = fetch(`${other.url}/transactions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'wait=30' },
    body: JSON.stringify({
      from: 'many',
      to: 'sink',
      amount: '1',
      after: { topic: 'accounts', partition: 0, offset: 10_000_000 },
    }),
  })
  await eventually(async () =>
    expect((await other.app.inject('/metrics')).body).toContain('tallystream_http_waiters 1'),
  )
  const startedMs = performance.now()
  await other.close()
  expect(performance.now() - startedMs).toBeLessThan(5000)
  expect((await waiting).status).toBe(202)
})
