/** What of the API's traffic is noted for the audit log, and as what. */
import { expect, test } from 'vitest'
import { buildTestApi, TEST_TIME_MS } from '#api/fixtures.ts'
import type { AccessNote } from '#platform/postgres/audit-log-buffer.ts'
import { balanceOf } from '#platform/redis/fixtures.ts'

const build = async () => {
  const noted: AccessNote[] = []
  const { app } = await buildTestApi({
    audit: { note: (entry) => void noted.push(entry) },
    cache: {
      read: async (id) => (id === 'alice' ? { balance: balanceOf('alice', 7n), cached: true } : undefined),
      expireOlder: async () => {},
    },
  })
  return { app, noted }
}

test('reads of accounts and writes are noted with actor, route, subject and status', async () => {
  const { app, noted } = await build()
  await app.inject({ url: '/balance/alice', headers: { 'x-actor': 'teller 7' } })
  await app.inject('/balance/nobody')
  await app.inject({
    method: 'POST',
    url: '/transactions',
    payload: { id: 'x1', from: 'alice', to: 7, amount: '12.75', currency: 'EUR' },
  })
  await app.inject({
    method: 'POST',
    url: '/transactions',
    payload: { from: 'alice', to: 7, amount: '12.75', currency: 'EUR' },
  })
  expect(noted).toEqual([
    {
      atMs: TEST_TIME_MS,
      actor: 'teller 7',
      action: 'GET /balance/:id',
      subject: 'alice',
      details: { status: 200 },
      isChange: false,
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
    },
    expect.objectContaining({ actor: 'anonymous', subject: 'nobody', details: { status: 404 } }),
    expect.objectContaining({
      action: 'POST /transactions',
      subject: 'x1',
      details: { status: 202 },
      isChange: true,
    }),
    expect.objectContaining({ subject: expect.stringMatching(/^\/transactions\/[0-9a-f-]{36}$/) }),
  ])
})

test('health, metrics and the description are not', async () => {
  const { app, noted } = await build()
  for (const url of ['/', '/metrics', '/health', '/health/ready', '/docs', '/docs/json', '/nowhere'])
    await app.inject(url)
  expect(noted).toEqual([])
})
