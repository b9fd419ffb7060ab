/** The simulated Redis does what the real one does: the cache's scripts and commands on both, and all that they leave behind compared. */
import { afterAll, describe, expect, test } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { closeRedis, openRedis, untilRedisReady } from '#platform/redis/client.ts'
import { makeSimulatedRedis } from '../redis/client.ts'
import { RedisServer } from '../redis/server.ts'
import { REDIS_CASES, type RedisPlace, TriedCache } from './redis-cases.ts'
import { CALM, inSimulation, simulatedPause } from './simulated.ts'
import { Transcript } from './transcript.ts'

const { redis } = testConfiguration('conformance')
const client = openRedis({ url: redis.url, connectionName: 'conformance', commandTimeoutMs: 5_000 })

const real: RedisPlace = {
  client,
  keyPrefix: redis.keyPrefix,
  flush: async () => {
    const keys = await client.keys(`${redis.keyPrefix}*`)
    if (keys.length > 0) await client.del(...keys)
  },
  dump: async () => {
    const keys = await client.keys(`${redis.keyPrefix}*`)
    return Promise.all(
      keys.map(async (key) => ({ key, value: (await client.get(key))!, lifeMs: await client.pttl(key) })),
    )
  },
}

const simulated = (run: (place: RedisPlace) => Promise<void>): Promise<void> =>
  inSimulation(async (scheduler, process) => {
    const server = new RedisServer(scheduler)
    const made = makeSimulatedRedis({ scheduler, server, weather: CALM }, process)
    // It connects in the background.
    await simulatedPause(process, 10)
    await run({
      client: made.client,
      keyPrefix: redis.keyPrefix,
      flush: async () => server.flush(),
      dump: async () => [...server.all()].map(([key, value]) => ({ key, value, lifeMs: server.lifeOf(key) })),
    })
  })

describe('the simulated Redis and the real one', () => {
  afterAll(async () => {
    await real.flush()
    closeRedis(client)
  })

  test.each(REDIS_CASES)('$name', async ({ run }) => {
    await untilRedisReady(client, 15_000)
    await real.flush()
    const seen = { real: new Transcript(), simulated: new Transcript() }
    await run(new TriedCache(real, seen.real))
    await simulated((place) => run(new TriedCache(place, seen.simulated)))
    expect(seen.simulated.text).toBe(seen.real.text)
  })
})
