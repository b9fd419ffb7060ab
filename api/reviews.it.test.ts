/** The review queue over HTTP on the real stack: order, filters, who has it, notes, the story, and releases that two people must agree to. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ApiServer, startApi } from '#api/server.ts'
import { ruleValue } from '#connectors/ingest/wire.ts'
import { ruleChange } from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { AuditLog } from '#platform/postgres/audit-log.ts'
import { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'

const configuration = testConfiguration('apireviews')
let fixture: PipelineFixture
let api: ApiServer

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration)
  await fixture.start(['processor', 'publisher', 'ticker'])
  api = await startApi({ configuration, logger: createLogger({ level: 'silent', service: 'test' }) })
  await post('/accounts', { accountId: 'alice', currency: 'EUR', limited: false })
  await post('/accounts', { accountId: 'bob', currency: 'EUR' })
  const rules = [
    ruleChange({ ruleId: 'big', type: 'amount_limit', threshold: 1_000n, action: 'hold' }),
    ruleChange({ ruleId: 'two', type: 'second_reviewer', threshold: 1_000_000n, action: 'hold' }),
  ]
  await fixture.applied(await fixture.publishValues('rules', rules.map(ruleValue)))
  for (const [id, amount] of Object.entries({ small: '20.00', middle: '300.00', large: '20000.00' }))
    await post('/transactions', { id, from: 'alice', to: 'bob', amount, currency: 'EUR' })
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

const post = (path: string, body: object, actor?: string): Promise<Reply> =>
  ask(path, {
    method: 'POST',
    headers: {
      prefer: 'wait=20',
      'content-type': 'application/json',
      ...(actor === undefined ? {} : { 'x-actor': actor }),
    },
    body: JSON.stringify(body),
  })

const ids = ({ body }: Reply): string[] => body.map(({ txn_id }: { txn_id: string }) => txn_id)

test('the queue: by priority or by expiry, page by page, filtered', async () => {
  // Those that were held at one tick expire together; then their keys order them.
  const all = ids(await ask('/reviews'))
  expect(all.toSorted()).toEqual(['large', 'middle', 'small'])
  const first = await ask('/reviews?order=priority&limit=2')
  expect(first.body).toMatchObject([
    { txn_id: 'large', priority: 500, reviewers_needed: 2, owner: null, notes: 0 },
    { txn_id: 'middle', priority: 300, reviewers_needed: 1 },
  ])
  expect(ids(await ask(first.link!))).toEqual(['small'])
  const byExpiry = await ask('/reviews?limit=2')
  expect([...ids(byExpiry), ...ids(await ask(byExpiry.link!))]).toEqual(all)
  expect(ids(await ask('/reviews?priority_min=300')).toSorted()).toEqual(['large', 'middle'])
  expect(ids(await ask('/reviews?held_before=2020-01-01T00:00:00Z'))).toEqual([])
  // A cursor of another order means nothing.
  expect((await ask(first.link!.replace('order=priority', 'order=expires'))).body.code).toBe('cursor_invalid')
})

test('taken, assigned, given back, noted: kept with its actor, and in the audit log', async () => {
  const path = '/reviews/middle'
  expect((await post(`${path}/assignment`, {})).body.code).toBe('actor_required')
  expect((await post(`${path}/assignment`, {}, 'ann')).body).toEqual({
    txn_id: 'middle',
    source: '',
    owner: 'ann',
  })
  const other = await post(`${path}/assignment`, {}, 'ben')
  expect([other.status, other.body.code]).toEqual([409, 'taken_by_other'])
  expect(ids(await ask('/reviews?owner=ann'))).toEqual(['middle'])
  expect(ids(await ask('/reviews?unassigned=true')).toSorted()).toEqual(['large', 'small'])
  await post(`${path}/assignment`, { owner: 'ben' }, 'head')
  expect((await post(`${path}/notes`, { note: 'called, no answer' }, 'ben')).body.owner).toBe('ben')
  expect((await post(`${path}/assignment`, { owner: null }, 'ben')).body.owner).toBeNull()
  expect((await post(`${path}/assignment`, { owner: null }, 'ben')).body.code).toBe('not_assigned')
  const story = await ask(path)
  expect(story.body).toMatchObject({
    status: 'held',
    owner: null,
    notes: 1,
    decisions: [
      {
        outcome: 'held',
        explanation: expect.stringMatching(/^Held for review\. Found: .*big \(amount 30000/),
      },
    ],
    events: [
      { actor: 'ann', kind: 'assigned', owner: 'ann' },
      { actor: 'head', kind: 'assigned', owner: 'ben' },
      { actor: 'ben', kind: 'noted', note: 'called, no answer' },
      { actor: 'ben', kind: 'given_back' },
    ],
  })
  const noted = await new AuditLog(fixture.ledger.pool).readNewest({ action: 'review noted' }, 5)
  expect(noted).toMatchObject([{ actor: 'ben', subject: '/middle' }])
  expect(JSON.parse(noted[0]!.details)).toMatchObject({ note: 'called, no answer' })
  await expect(fixture.ledger.pool.query('delete from review_events')).rejects.toThrow('append-only')
  const unknown = await post('/reviews/nothing/notes', { note: 'x' }, 'ben')
  expect([unknown.status, unknown.body.code]).toEqual([409, 'not_held'])
  expect((await ask('/reviews/nothing')).status).toBe(404)
})

test('of two who take it at once, one gets it', async () => {
  const actors = Array.from({ length: 8 }, (_, n) => `reviewer-${n}`)
  const replies = await Promise.all(actors.map((actor) => post('/reviews/small/assignment', {}, actor)))
  expect(replies.map(({ status }) => status).toSorted()).toEqual([200, ...Array(7).fill(409)])
})

test('a large one: the first release is noted and refused, the same person’s again too, another one’s releases it', async () => {
  const review = { transactionId: 'large', decision: 'release', reason: 'known customer' }
  for (const _attempt of [1, 2]) {
    const alone = await post('/reviews', review, 'ann')
    expect([alone.status, alone.body.code]).toEqual([409, 'second_reviewer_needed'])
  }
  expect((await ask('/reviews/large')).body).toMatchObject({ status: 'held', released_by: 'ann' })
  const both = await post('/reviews', review, 'ben')
  expect([both.status, both.body.status]).toEqual([200, 'completed'])
  const story = (await ask('/reviews/large')).body
  expect(story).toMatchObject({ status: 'released', released_by: 'ann' })
  expect(story.decisions.at(-1).explanation).toBe('Applied after a review by ben.')
  const late = await post('/reviews/large/notes', { note: 'late' }, 'ann')
  expect([late.status, late.body.code]).toEqual([409, 'not_held'])
  const one = await post('/reviews', { ...review, transactionId: 'small' }, 'ann')
  expect([one.status, one.body.status]).toEqual([200, 'completed'])
})
