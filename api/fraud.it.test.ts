/** Fraud over HTTP on the real stack: a rulebook is proposed by one and approved by another, decides, alerts; a payment is labelled. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ApiServer, startApi } from '#api/server.ts'
import { builtinModelJson, builtinRulebookWith } from '#domain/fraud/builtin/builtin.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'

const configuration = testConfiguration('apifraud')
const WAIT = { prefer: 'wait=20' }
let fixture: PipelineFixture
let api: ApiServer

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration)
  await fixture.start(['processor', 'publisher', 'ticker'])
  api = await startApi({ configuration, logger: createLogger({ level: 'silent', service: 'test' }) })
  await post('/accounts', { accountId: 'alice', currency: 'EUR', limited: false })
  await post('/accounts', { accountId: 'bob', currency: 'EUR' })
})

afterAll(async () => {
  await api?.close()
  await fixture?.close()
})

interface Reply {
  status: number
  link: string | null
  // biome-ignore lint/suspicious/noExplicitAny: what a client sees
  body: any
}

async function ask(path: string, init: RequestInit = {}): Promise<Reply> {
  const reply = await fetch(`${api.url}${path}`, { ...init, signal: AbortSignal.timeout(60_000) })
  const link = /^<(.*)>; rel="next"$/.exec(reply.headers.get('link') ?? '')?.[1] ?? null
  return { status: reply.status, link, body: await reply.json() }
}

const post = (path: string, body: object | undefined, actor?: string): Promise<Reply> =>
  ask(path, {
    method: 'POST',
    headers: {
      ...WAIT,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(actor === undefined ? {} : { 'x-actor': actor }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

const rule = (id: string, above: number, action: string, mode: 'live' | 'shadow' = 'live') => ({
  id,
  version: 1,
  title: id,
  words: 'amount {value}, limit {threshold}',
  fires: { feature: 'amount', above },
  weight: 10,
  action,
  mode,
  onError: 'open',
  author: 'ann',
  ...(mode === 'live' ? { approvedBy: 'ben' } : {}),
})

const RULEBOOK = {
  format: 1,
  name: 'over_http',
  version: 1,
  rules: [
    rule('noticed', 1_000, 'alert'),
    rule('held', 10_000, 'hold'),
    rule('refused', 100_000, 'reject'),
    rule('tried', 500, 'hold', 'shadow'),
  ],
  typologies: [],
}

const pay = async (id: string, amount: string): Promise<Reply> => {
  await post('/transactions', { id, from: 'alice', to: 'bob', amount, currency: 'EUR' })
  return await ask(`/transactions/${id}`)
}

test('a rulebook is proposed, refused to its author, approved by another, listed and read', async () => {
  const nobody = await post('/fraud/rulebooks', RULEBOOK)
  expect([nobody.status, nobody.body.code]).toEqual([400, 'actor_required'])
  const wrong = await post('/fraud/rulebooks', { ...RULEBOOK, rules: [{ id: 'x' }] }, 'ann')
  expect([wrong.status, wrong.body.code]).toEqual([422, 'rulebook_invalid'])
  expect(wrong.body.detail).toMatch(/rules\/0|rules\[0\]/)
  const proposed = await post('/fraud/rulebooks', RULEBOOK, 'ann')
  expect(proposed.body).toMatchObject({
    kind: 'proposal',
    state: 'open',
    name: 'over_http',
    rules: 4,
    author: 'ann',
  })
  const { version } = proposed.body as { version: string }
  const byAuthor = await post(`/fraud/rulebooks/${version}/approval`, undefined, 'ann')
  expect([byAuthor.status, byAuthor.body.code]).toEqual([409, 'approver_is_author'])
  const unknown = await post('/fraud/rulebooks/999999/approval', undefined, 'ben')
  expect([unknown.status, unknown.body.code]).toEqual([409, 'proposal_unknown'])
  const approved = await post(`/fraud/rulebooks/${version}/approval`, undefined, 'ben')
  expect(approved.body).toMatchObject({
    state: 'in_force',
    author: 'ann',
    approved_by: 'ben',
    approves: version,
  })
  const [first, second] = [await ask('/fraud/rulebooks?limit=1'), await ask('/fraud/rulebooks?limit=5')]
  expect(first.body).toEqual([approved.body])
  expect(second.body).toMatchObject([{ state: 'in_force' }, { state: 'approved', version }])
  expect((await ask(first.link!)).body).toMatchObject([{ state: 'approved', version }])
  expect((await ask(`/fraud/rulebooks/${version}`)).body.definition).toEqual(RULEBOOK)
  expect((await ask('/fraud/rulebooks/1')).status).toBe(404)
})

test('a rulebook that carries a model comes through as well', async () => {
  const reply = await post('/fraud/rulebooks', builtinRulebookWith(builtinModelJson()) as object, 'ann')
  expect(reply.status, JSON.stringify(reply.body)).toBe(200)
  expect(reply.body).toMatchObject({ kind: 'proposal', state: 'open', author: 'ann' })
})

test('every action is explained in words, and comes on the feed of alerts', async () => {
  const fine = await pay('fine', '1.00')
  expect(fine.body.decision).toMatchObject({ explanation: 'Applied.', rules: [] })
  const shadowed = await pay('shadowed', '6.00')
  expect(shadowed.body.decision.explanation).toBe(
    'Applied. Found: in shadow, without effect: tried (amount 600, limit 500).',
  )
  const alerted = await pay('alerted', '20.00')
  expect(alerted.body.decision.explanation).toMatch(
    /^Applied\. Found: alerting: noticed \(amount 2000, limit 1000\)/,
  )
  const held = await pay('held', '200.00')
  expect(held.body.decision.explanation).toMatch(
    /^Held for review\. Found: demanding review: held \(amount 20000, limit 10000\); alerting: noticed/,
  )
  const refused = await pay('refused', '2000.00')
  expect(refused.body.decision.explanation).toMatch(
    /^Rejected: a fraud rule rejects it\. Found: demanding rejection: refused \(amount 200000, limit 100000\)/,
  )
  await fixture.published()
  const feed = await ask('/fraud/alerts?limit=2')
  expect(feed.body).toMatchObject([
    { txn_id: 'alerted', action: 'alert', account: 'alice' },
    { txn_id: 'held', action: 'hold' },
  ])
  const rest = await ask(feed.link!)
  expect(rest.body).toMatchObject([
    {
      txn_id: 'refused',
      action: 'reject',
      rules: expect.arrayContaining([expect.objectContaining({ words: 'amount 200000, limit 100000' })]),
    },
  ])
  const none = await ask(rest.link!)
  expect([none.status, none.body]).toEqual([200, []])
  await pay('later', '30.00')
  await fixture.published()
  expect((await ask(none.link!)).body).toMatchObject([{ txn_id: 'later' }])
})

test('a payment is labelled; what the ledger refuses says why', async () => {
  const label = { transactionId: 'alerted', verdict: 'fraud', reason: 'chargeback' }
  const nobody = await post('/fraud/labels', label)
  expect([nobody.status, nobody.body.code]).toEqual([400, 'actor_required'])
  const done = await post('/fraud/labels', label, 'desk')
  expect([done.status, done.body]).toEqual([
    200,
    { txn_id: 'alerted', source: '', verdict: 'fraud', status: 'applied' },
  ])
  const rows = await fixture.ledger.rows('select is_fraud, actor, reason from fraud_labels')
  expect(rows).toEqual([{ is_fraud: true, actor: 'desk', reason: 'chargeback' }])
  const unknown = await post('/fraud/labels', { ...label, transactionId: 'nobody-knows' }, 'desk')
  expect([unknown.status, unknown.body.code]).toEqual([409, 'unknown_transaction'])
})
