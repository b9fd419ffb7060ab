/**
 * Readers, the writer, flushes and rebuilds in every order that a scheduler finds, on a real Redis. Whatever the order: an answer is
 * never older than one that was given before it was asked for, and at rest the cache says what the database says.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { BalanceCacheReader } from '#platform/redis/balance-cache-reader.ts'
import { BalanceCacheWriter } from '#platform/redis/balance-cache-writer.ts'
import { closeRedis, openRedis, type RedisClient, untilRedisReady } from '#platform/redis/client.ts'
import { balanceOf } from '#platform/redis/fixtures.ts'
import { rebuildCache } from '#platform/redis/rebuild-cache.ts'

let client: RedisClient
let prefix: string
let run = 0

beforeAll(async () => {
  const { redis } = testConfiguration('interleave')
  prefix = redis.keyPrefix.slice(0, -1)
  client = openRedis({ url: redis.url, connectionName: 'test', commandTimeoutMs: 10_000 })
  await untilRedisReady(client, 5000)
})
afterAll(() => closeRedis(client))

const ACCOUNTS = ['a', 'b'] as const
// Mostly one account: what goes wrong is between steps of the same one.
const accounts = fc.oneof(
  { weight: 4, arbitrary: fc.constant('a') },
  { weight: 1, arbitrary: fc.constant('b') },
)
const steps = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.record({ type: fc.constant('read' as const), account: accounts }) },
    { weight: 6, arbitrary: fc.record({ type: fc.constant('commit' as const), account: accounts }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('flush' as const), account: accounts }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('silence' as const), account: accounts }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('rebuild' as const), account: accounts }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('takeover' as const), account: accounts }) },
  ),
  { minLength: 2, maxLength: 24, size: 'max' },
)

let inFlight = 0
/** Counts work that really goes to Redis. */
const counted = async <Result>(work: Promise<Result>): Promise<Result> => {
  inFlight += 1
  try {
    return await work
  } finally {
    inFlight -= 1
  }
}

/**
 * Lets a step run, and what follows from it until it comes to its next step: otherwise the scheduler would choose among the few
 * steps that don't wait for Redis, and all commits would come first.
 */
const untilQuiet = async (step: () => Promise<void>): Promise<void> => {
  await step()
  do await new Promise((resolve) => setImmediate(resolve))
  while (inFlight > 0)
}

/** The client with every command held back until the scheduler lets it go, and its answer again. */
const scheduled = (scheduler: fc.Scheduler): RedisClient =>
  new Proxy(client, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown
      const isCommand = [
        'mget',
        'get',
        'set',
        'balanceApply',
        'balanceRenew',
        'balanceSettle',
        'balanceExpireOlder',
      ]
      if (typeof value !== 'function' || !isCommand.includes(String(name))) {
        return typeof value === 'function' ? value.bind(target) : value
      }
      return async (...values: unknown[]) => {
        await scheduler.schedule(Promise.resolve(), `${String(name)} sent`)
        const answer: unknown = await counted(value.apply(target, values) as Promise<unknown>)
        await scheduler.schedule(Promise.resolve(), `${String(name)} answered`)
        return answer
      }
    },
  })

class World {
  readonly keyPrefix: string
  readonly scheduler: fc.Scheduler
  readonly redis: RedisClient
  sequence = 0n
  readonly rows = new Map(ACCOUNTS.map((id) => [id as string, balanceOf(id, 0n)]))
  readonly log: { account: string; sequence: bigint }[] = []
  /** The newest version that any finished read has shown. */
  readonly told = new Map<string, bigint>()
  writer: BalanceCacheWriter
  published = 0n
  #publishing: Promise<void> = Promise.resolve()

  constructor(scheduler: fc.Scheduler) {
    this.keyPrefix = `${prefix}_${run++}:`
    this.scheduler = scheduler
    this.redis = scheduled(scheduler)
    this.writer = this.makeWriter()
  }

  makeWriter(): BalanceCacheWriter {
    return new BalanceCacheWriter(this.redis, {
      keyPrefix: this.keyPrefix,
      timeline: 1n,
      sequence: this.published,
      recordedAtMs: 0,
      freshMarkMs: 60_000,
    })
  }

  readonly readBalances = async (ids: readonly string[]) => {
    await this.scheduler.schedule(Promise.resolve(), 'query sent')
    const found = ids.map((id) => this.rows.get(id)!)
    await this.scheduler.schedule(Promise.resolve(), 'query answered')
    return found
  }

  commit(account: string): void {
    this.sequence += 1n
    this.rows.set(account, balanceOf(account, this.sequence))
    this.log.push({ account, sequence: this.sequence })
    this.publish()
  }

  /** Publishes what is committed, one batch after the other, as one publisher does. */
  publish(): void {
    this.#publishing = this.#publishing.then(async () => {
      const next = this.log.find((entry) => entry.sequence > this.published)
      if (next === undefined) return void (await this.writer.touch())
      await this.writer.applyBalances([balanceOf(next.account, next.sequence)], {
        sequence: next.sequence,
        recordedAtMs: Number(next.sequence),
      })
      this.published = next.sequence
    })
  }

  takeOver(): void {
    this.#publishing = this.#publishing.then(() => {
      // A publisher that died before its position was committed: the next one applies a batch again.
      if (this.published > 0n) this.published -= 1n
      this.writer = this.makeWriter()
    })
    this.publish()
    this.publish()
  }

  async read(account: string): Promise<void> {
    const reader = new BalanceCacheReader(this.redis, {
      keyPrefix: this.keyPrefix,
      readBalances: this.readBalances,
    })
    const atLeast = this.told.get(account) ?? 0n
    const answer = await reader.read(account)
    const version = answer!.balance.version.sequence
    expect(version, 'an older balance after a newer one').toBeGreaterThanOrEqual(atLeast)
    expect(answer!.balance.posted).toBe(version)
    if (version > (this.told.get(account) ?? 0n)) this.told.set(account, version)
  }

  async flush(): Promise<void> {
    const keys = await counted(client.keys(`${this.keyPrefix}*`))
    if (keys.length > 0) await counted(client.del(...keys))
  }

  /** The writer's mark runs out. */
  async silence(): Promise<void> {
    await counted(client.del(`${this.keyPrefix}{${this.keyPrefix.slice(0, -1)}}:fresh`))
  }

  async rebuild(): Promise<void> {
    await rebuildCache(this.redis, {
      keyPrefix: this.keyPrefix,
      head: { timeline: 1n, sequence: this.sequence, recordedAtMs: 0 },
      readAccountIds: async (after) => ACCOUNTS.filter((id) => id > after),
      readBalances: this.readBalances,
    }).catch((error: { code?: string }) => {
      if (error.code !== 'cache_rebuild_overtaken') throw error
    })
  }

  async settle(): Promise<void> {
    this.publish()
    await this.scheduler.waitFor(this.#publishing)
  }
}

const perform = (world: World, step: { type: string; account: string }): Promise<void> | void => {
  if (step.type === 'read') return world.read(step.account)
  if (step.type === 'commit') return world.commit(step.account)
  if (step.type === 'flush') return world.flush()
  if (step.type === 'silence') return world.silence()
  if (step.type === 'rebuild') return world.rebuild()
  return world.takeOver()
}

test('no order of steps shows an older balance after a newer one', async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler({ act: untilQuiet }), steps, async (scheduler, list) => {
      const world = new World(scheduler)
      // A warm start: a generation is there, so that most reads go the ways that matter.
      await scheduler.waitFor(world.writer.touch())
      const running: (Promise<void> | void)[] = []
      const sequence = scheduler.scheduleSequence(
        list.map((step) => ({
          label: `${step.type} ${step.account}`,
          builder: async () => {
            running.push(perform(world, step))
          },
        })),
      )
      await scheduler.waitFor(sequence.task)
      await scheduler.waitFor(Promise.all(running))
      await world.settle()
      for (const account of ACCOUNTS) {
        await scheduler.waitFor(world.read(account))
        await scheduler.waitFor(world.read(account))
        const version = world.told.get(account) ?? 0n
        expect(version).toBe(world.rows.get(account)!.version.sequence)
      }
      await world.flush()
    }),
    { numRuns: 1500 },
  )
}, 120_000)
