/** The balance cache against a real Redis: versions, leases, flushes, gaps, generations. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { BalanceCacheReader, type CacheLookup } from '#platform/redis/balance-cache-reader.ts'
import { BalanceCacheWriter, type CacheWriterEvent } from '#platform/redis/balance-cache-writer.ts'
import type { AccountBalance } from '#platform/redis/balance-value.ts'
import { closeRedis, openRedis, type RedisClient, untilRedisReady } from '#platform/redis/client.ts'
import { balanceOf, CuttableProxy } from '#platform/redis/fixtures.ts'
import { rebuildCache } from '#platform/redis/rebuild-cache.ts'

let client: RedisClient
let keyPrefix: string
let database: Map<string, AccountBalance>
let lookups: CacheLookup[]
let events: CacheWriterEvent[]
const clients: RedisClient[] = []
const proxies: CuttableProxy[] = []

beforeEach(async () => {
  const { redis } = testConfiguration('cache')
  keyPrefix = redis.keyPrefix
  client = openRedis({ url: redis.url, connectionName: 'test' })
  clients.push(client)
  await untilRedisReady(client, 5000)
  database = new Map()
  lookups = []
  events = []
})

afterEach(async () => {
  for (const opened of clients.splice(0)) closeRedis(opened)
  for (const proxy of proxies.splice(0)) await proxy.cut()
})

/** "Flush" for this ledger alone: other test files share the Redis. */
const flush = async (): Promise<void> => {
  const keys = await client.keys(`${keyPrefix}*`)
  if (keys.length > 0) await client.del(...keys)
}

const makeWriter = (options: Partial<ConstructorParameters<typeof BalanceCacheWriter>[1]> = {}) =>
  new BalanceCacheWriter(client, {
    keyPrefix,
    timeline: 1n,
    sequence: 0n,
    recordedAtMs: 0,
    onEvent: (event) => events.push(event),
    ...options,
  })

const makeReader = (
  options: Partial<ConstructorParameters<typeof BalanceCacheReader>[1]> = {},
  on = client,
) =>
  new BalanceCacheReader(on, {
    keyPrefix,
    readBalances: async (ids) => ids.flatMap((id) => database.get(id) ?? []),
    onLookup: (lookup) => lookups.push(lookup),
    ...options,
  })

/** Commits a balance to the "database" and hands it back for the writer. */
const commit = (accountId: string, sequence: bigint): AccountBalance => {
  const balance = balanceOf(accountId, sequence)
  database.set(accountId, balance)
  return balance
}

const batch = (sequence: bigint) => ({ sequence, recordedAtMs: 1_700_000_000_000 + Number(sequence) })

test('a miss is filled, then answered from Redis, and follows the writer', async () => {
  const writer = makeWriter()
  const reader = makeReader()
  expect(await writer.applyBalances([commit('a', 1n)], batch(1n))).toBe('renewed')
  expect(await reader.read('a')).toMatchObject({ cached: false, balance: { posted: 1n } })
  expect(await reader.read('a')).toMatchObject({ cached: true, balance: { posted: 1n } })
  expect(await writer.applyBalances([commit('a', 2n)], batch(2n))).toBe('applied')
  expect(await reader.read('a')).toMatchObject({ cached: true, balance: { posted: 2n } })
  // A batch that doesn't touch the account moves on the time at which its balance is known to hold.
  expect(await writer.applyBalances([], batch(3n))).toBe('applied')
  const answer = await reader.read('a')
  expect(answer?.balance.recordedAtMs).toBe(batch(3n).recordedAtMs)
  expect(answer?.balance.version.sequence).toBe(2n)
  expect(lookups).toEqual(['miss', 'hit', 'hit', 'hit'])
})

test('an unknown account is not cached', async () => {
  await makeWriter().touch()
  const reader = makeReader()
  expect(await reader.read('nobody')).toBeUndefined()
  expect(await reader.read('nobody')).toBeUndefined()
  expect(lookups).toEqual(['miss', 'miss'])
})

test('a writer leaves keys alone that are not there, and only ever moves forward', async () => {
  const writer = makeWriter()
  await writer.applyBalances([], batch(1n))
  await writer.applyBalances([commit('a', 2n)], batch(2n))
  expect(await client.keys(`${keyPrefix}*:b:*`)).toEqual([])
  // The reader knows more than the writer has come to: what it planted stays.
  commit('a', 9n)
  const reader = makeReader()
  await reader.read('a')
  await writer.applyBalances([balanceOf('a', 8n)], batch(8n))
  expect(await reader.read('a')).toMatchObject({ cached: true, balance: { posted: 9n } })
  await writer.applyBalances([balanceOf('a', 10n)], batch(10n))
  expect(await reader.read('a')).toMatchObject({ cached: true, balance: { posted: 10n } })
})

test('versions beyond 2^53 are still told apart', async () => {
  const start = 2n ** 53n
  const writer = makeWriter({ sequence: start })
  await writer.touch()
  commit('a', start + 1n)
  const reader = makeReader()
  await reader.read('a')
  await writer.applyBalances([balanceOf('a', start)], { sequence: start + 2n, recordedAtMs: 1 })
  expect((await reader.read('a'))?.balance.version.sequence).toBe(start + 1n)
})

/** A reader whose database read is held up until `release` is called. */
const makeSlowReader = () => {
  let release: () => void = () => {}
  let started: () => void = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const reading = new Promise<void>((resolve) => {
    started = resolve
  })
  const reader = makeReader({
    readBalances: async (ids) => {
      const found = ids.flatMap((id) => database.get(id) ?? [])
      started()
      await released
      return found
    },
  })
  return { reader, release, reading }
}

test('a late filler does not plant what a newer write has passed by', async () => {
  const writer = makeWriter()
  commit('a', 1n)
  await writer.touch()
  const slow = makeSlowReader()
  const answer = slow.reader.read('a')
  await slow.reading
  await writer.applyBalances([commit('a', 2n)], batch(2n))
  slow.release()
  expect(await answer).toMatchObject({ cached: false, balance: { posted: 1n } })
  expect(await makeReader().read('a')).toMatchObject({ cached: false, balance: { posted: 2n } })
})

test('a late filler does not plant after a flush', async () => {
  const writer = makeWriter()
  commit('a', 1n)
  await writer.touch()
  const slow = makeSlowReader()
  const answer = slow.reader.read('a')
  await slow.reading
  await flush()
  await writer.applyBalances([commit('a', 2n)], batch(2n))
  slow.release()
  await answer
  expect(await makeReader().read('a')).toMatchObject({ cached: false, balance: { posted: 2n } })
})

test('a filler does not plant below what another reader was told meanwhile', async () => {
  const writer = makeWriter()
  commit('a', 1n)
  await writer.touch()
  const slow = makeSlowReader()
  const answer = slow.reader.read('a')
  await slow.reading
  // Committed, but the writer hasn't come to it yet.
  commit('a', 2n)
  const reader = makeReader()
  expect(await reader.read('a')).toMatchObject({ cached: false, balance: { posted: 2n } })
  slow.release()
  await answer
  expect(await reader.read('a')).toMatchObject({ balance: { posted: 2n } })
})

test('a client that was told of its transaction reads its own write', async () => {
  const writer = makeWriter()
  commit('a', 1n)
  await writer.touch()
  const reader = makeReader()
  await reader.read('a')
  expect(await reader.read('a')).toMatchObject({ cached: true, balance: { posted: 1n } })
  commit('a', 2n)
  await reader.expireOlder(['a', 'b'], { timeline: 1n, sequence: 2n })
  expect(await reader.read('a')).toMatchObject({ cached: false, balance: { posted: 2n } })
  // What is as new stays.
  await reader.expireOlder(['a'], { timeline: 1n, sequence: 2n })
  expect(await reader.read('a')).toMatchObject({ cached: true, balance: { posted: 2n } })
})

test('without word from the writer nothing cached is believed', async () => {
  const writer = makeWriter({ freshMarkMs: 100 })
  commit('a', 1n)
  await writer.touch()
  const reader = makeReader()
  await reader.read('a')
  expect(await reader.read('a')).toMatchObject({ cached: true })
  await new Promise((resolve) => setTimeout(resolve, 150))
  commit('a', 2n)
  expect(await reader.read('a')).toMatchObject({ cached: false, balance: { posted: 2n } })
  expect(lookups).toEqual(['miss', 'hit', 'stale'])
  // The writer comes back, still behind: nobody may read the older balance now.
  await writer.touch()
  expect(await reader.read('a')).toMatchObject({ balance: { posted: 2n } })
})

test('after a flush the writer begins a new generation', async () => {
  const writer = makeWriter()
  commit('a', 1n)
  await writer.touch()
  const reader = makeReader()
  await reader.read('a')
  await flush()
  expect(await reader.read('a')).toMatchObject({ cached: false })
  expect(await writer.applyBalances([commit('a', 2n)], batch(2n))).toBe('renewed')
  expect(await reader.read('a')).toMatchObject({ cached: false, balance: { posted: 2n } })
  expect(await reader.read('a')).toMatchObject({ cached: true, balance: { posted: 2n } })
  expect(events.map((event) => event.type)).toEqual(['generation', 'generation'])
})

test('a writer that was behind Redis by a lost batch begins a new generation', async () => {
  const first = makeWriter()
  commit('a', 1n)
  await first.applyBalances([balanceOf('a', 1n)], batch(1n))
  await makeReader().read('a')
  // The next publisher's position is 5: batches 2 to 5 never came to this Redis.
  const second = makeWriter({ sequence: 5n })
  commit('a', 4n)
  expect(await second.applyBalances([], batch(6n))).toBe('renewed')
  expect(await makeReader().read('a')).toMatchObject({ cached: false, balance: { posted: 4n } })
})

test('a Redis that lost its last writes in a failover is noticed by its writer', async () => {
  const writer = makeWriter()
  await writer.applyBalances([commit('a', 1n)], batch(1n))
  await makeReader().read('a')
  const [stateKey] = await client.keys(`${keyPrefix}*state`)
  const state = await client.get(stateKey!)
  const [balanceKey] = await client.keys(`${keyPrefix}*:b:*`)
  const balance = await client.get(balanceKey!)
  await writer.applyBalances([commit('a', 2n)], batch(2n))
  // The replica that takes over is one batch behind.
  await client.mset(stateKey!, state!, balanceKey!, balance!)
  expect(await writer.touch()).toBe('renewed')
  expect(await makeReader().read('a')).toMatchObject({ cached: false, balance: { posted: 2n } })
})

test('a publisher that takes over without a gap keeps the cache warm', async () => {
  const first = makeWriter()
  await first.applyBalances([commit('a', 1n)], batch(1n))
  await first.applyBalances([], batch(2n))
  const reader = makeReader()
  await reader.read('a')
  const second = makeWriter({ sequence: 1n })
  expect(await second.applyBalances([], batch(2n))).toBe('applied')
  expect(await reader.read('a')).toMatchObject({ cached: true })
})

test('a later timeline replaces the cache, an earlier one stays out', async () => {
  const old = makeWriter()
  await old.applyBalances([commit('a', 7n)], batch(7n))
  await makeReader().read('a')
  const restored = makeWriter({ timeline: 2n, sequence: 3n })
  expect(await restored.touch()).toBe('renewed')
  database.set('a', balanceOf('a', 3n, { version: { timeline: 2n, sequence: 3n } }))
  const reader = makeReader()
  expect(await reader.read('a')).toMatchObject({ cached: false, balance: { posted: 3n } })
  expect(await old.applyBalances([balanceOf('a', 8n)], batch(8n))).toBe('unavailable')
  expect(events.at(-1)?.type).toBe('superseded')
  expect(await reader.read('a')).toMatchObject({ cached: true, balance: { posted: 3n } })
  // A reader of the old database can't plant into the new timeline's cache.
  database.set('b', balanceOf('b', 9n))
  await makeReader().read('b')
  expect(await makeReader().read('b')).toMatchObject({ cached: false })
})

test('batches of many accounts are applied in parts', async () => {
  const writer = makeWriter()
  await writer.touch()
  const ids = Array.from({ length: 2300 }, (_, index) => `account:${index}`)
  for (const id of ids) commit(id, 1n)
  const reader = makeReader()
  for (const id of [ids[0]!, ids[1000]!, ids[2299]!]) await reader.read(id)
  expect(
    await writer.applyBalances(
      ids.map((id) => commit(id, 2n)),
      batch(2n),
    ),
  ).toBe('applied')
  for (const id of [ids[0]!, ids[1000]!, ids[2299]!]) {
    expect(await reader.read(id)).toMatchObject({ cached: true, balance: { posted: 2n } })
  }
})

const openThroughProxy = async () => {
  const url = new URL(testConfiguration('cache').redis.url)
  const proxy = new CuttableProxy({ host: url.hostname, port: Number(url.port) })
  proxies.push(proxy)
  await proxy.open()
  url.port = String(proxy.port)
  const proxied = openRedis({ url: url.href, connectionName: 'test', commandTimeoutMs: 100 })
  clients.push(proxied)
  await untilRedisReady(proxied, 5000)
  return { proxy, proxied }
}

test('while Redis is away everything goes on, and nothing from before is read again', async () => {
  const { proxy, proxied } = await openThroughProxy()
  const options = { keyPrefix, timeline: 1n, sequence: 0n, recordedAtMs: 0, pauseAfterFailureMs: 10 }
  const writer = new BalanceCacheWriter(proxied, options)
  const reader = makeReader({ pauseAfterFailureMs: 10 }, proxied)
  commit('a', 1n)
  await writer.touch()
  await reader.read('a')
  expect(await reader.read('a')).toMatchObject({ cached: true })
  await proxy.cut()
  expect(await writer.applyBalances([commit('a', 2n)], batch(2n))).toBe('unavailable')
  expect(await reader.read('a')).toMatchObject({ cached: false, balance: { posted: 2n } })
  expect(lookups.at(-1)).toBe('unavailable')
  await proxy.open()
  await untilRedisReady(proxied, 5000)
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(await writer.applyBalances([], batch(3n))).toBe('renewed')
  expect(await reader.read('a')).toMatchObject({ cached: false, balance: { posted: 2n } })
  expect(await reader.read('a')).toMatchObject({ cached: true, balance: { posted: 2n } })
})

test('a silent Redis costs one short time-out, then Postgres answers at once', async () => {
  const { proxy, proxied } = await openThroughProxy()
  const reader = makeReader({ pauseAfterFailureMs: 60_000 }, proxied)
  commit('a', 1n)
  proxy.hang()
  const startedAt = performance.now()
  expect(await reader.read('a')).toMatchObject({ cached: false, balance: { posted: 1n } })
  const firstMs = performance.now() - startedAt
  expect(firstMs).toBeGreaterThan(80)
  expect(firstMs).toBeLessThan(1000)
  for (let count = 0; count < 20; count += 1) await reader.read('a')
  expect(performance.now() - startedAt - firstMs).toBeLessThan(90)
})

test('a rebuild fills every account while the writer goes on', async () => {
  const writer = makeWriter()
  const ids = Array.from({ length: 50 }, (_, index) => `a${String(index).padStart(2, '0')}`)
  for (const id of ids) commit(id, 1n)
  await writer.applyBalances([], batch(1n))
  const result = await rebuildCache(client, {
    keyPrefix,
    head: { timeline: 1n, sequence: 1n, recordedAtMs: 1 },
    pageSize: 7,
    readAccountIds: async (after, limit) => ids.filter((id) => id > after).slice(0, limit),
    readBalances: async (wanted) => {
      const found = wanted.flatMap((id) => database.get(id) ?? [])
      // The writer comes in between the read and the plant, once.
      if (wanted.includes('a10')) await writer.applyBalances([commit('a10', 2n)], batch(2n))
      return found
    },
  })
  expect(result).toEqual({ accounts: 50, planted: 49 })
  await writer.touch()
  const reader = makeReader()
  expect(await reader.read('a00')).toMatchObject({ cached: true, balance: { posted: 1n } })
  expect(await reader.read('a49')).toMatchObject({ cached: true })
  expect(await reader.read('a10')).toMatchObject({ cached: false, balance: { posted: 2n } })
})

test('a rebuild that a flush overtook says so', async () => {
  commit('a', 1n)
  const rebuild = rebuildCache(client, {
    keyPrefix,
    head: { timeline: 1n, sequence: 1n, recordedAtMs: 1 },
    readAccountIds: async (after) => (after === '' ? ['a'] : []),
    readBalances: async () => {
      await flush()
      return [balanceOf('a', 1n)]
    },
  })
  await expect(rebuild).rejects.toMatchObject({ code: 'cache_rebuild_overtaken' })
})
