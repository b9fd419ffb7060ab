/**
 * A client that reads balances all the time, as the API does: it keeps the cache filled, and notices an answer older than one before.
 * An answer from Postgres that Redis couldn't be told of may be newer than what is cached, for as long as a freshness mark lives
 * (platform/redis/balance-cache-reader.ts): it says nothing about the ones after it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Configuration } from '#platform/config/configuration.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { readBalances } from '#platform/postgres/queries/read-balances.ts'
import { BalanceCacheReader } from '#platform/redis/balance-cache-reader.ts'
import { closeRedis, openRedis, type RedisClient, untilRedisReady } from '#platform/redis/client.ts'
import type { Findings } from './findings.ts'
import type { SeededRandom } from './seeded-random.ts'

const READ_EVERY_MS = 10
const READS_AT_ONCE = 4
const RULE = 'no answer about a balance was older than an earlier one'
/** A reader whose Postgres and Redis are both away gets an error, as the API's client does. */
const PAUSE_AFTER_FAILURE_MS = 100
/** So long the reader leaves Redis alone after a failure. */
const REDIS_PAUSE_MS = 250

export class BalanceWatch {
  readonly redis: RedisClient
  readonly reader: BalanceCacheReader
  readonly #accounts: readonly string[]
  readonly #random: SeededRandom
  readonly #findings: Findings
  readonly #newest = new Map<string, bigint>()
  #isStopped = false
  #loop: Promise<void> = Promise.resolve()
  readonly answers = { cached: 0, uncached: 0, untold: 0, failed: 0 }
  #redisFailedAtMs = Number.NEGATIVE_INFINITY

  constructor(
    configuration: Configuration,
    options: { pool: ReadPool; accounts: readonly string[]; random: SeededRandom; findings: Findings },
  ) {
    this.redis = openRedis({ url: configuration.redis.url, connectionName: 'faults-reader' })
    this.reader = new BalanceCacheReader(this.redis, {
      keyPrefix: configuration.redis.keyPrefix,
      readBalances: (ids) => readBalances(options.pool, ids),
      pauseAfterFailureMs: REDIS_PAUSE_MS,
      onFailure: () => {
        this.#redisFailedAtMs = performance.now()
      },
    })
    this.#accounts = options.accounts
    this.#random = options.random
    this.#findings = options.findings
  }

  async start(): Promise<void> {
    await untilRedisReady(this.redis, 5_000)
    this.#loop = this.#run()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#loop
  }

  async close(): Promise<void> {
    await this.stop()
    await closeRedis(this.redis)
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const ids = Array.from(
        { length: READS_AT_ONCE },
        () => this.#accounts[this.#random.below(this.#accounts.length)]!,
      )
      // One account at most once at a time: of two answers under way neither is the earlier one.
      await Promise.all([...new Set(ids)].map((id) => this.#read(id)))
      await sleep(READ_EVERY_MS)
    }
  }

  async #read(id: string): Promise<void> {
    const startedMs = performance.now()
    let answer: Awaited<ReturnType<BalanceCacheReader['read']>>
    try {
      answer = await this.reader.read(id)
    } catch {
      this.answers.failed += 1
      await sleep(PAUSE_AFTER_FAILURE_MS)
      return
    }
    if (answer === undefined) return
    this.answers[answer.cached ? 'cached' : 'uncached'] += 1
    const { sequence } = answer.balance.version
    const before = this.#newest.get(id) ?? 0n
    this.#findings.check(RULE, sequence >= before, () => `${id}: version ${before}, then ${sequence}`)
    // A failure during the read lies behind its start.
    const isTold = answer.cached || startedMs >= this.#redisFailedAtMs + REDIS_PAUSE_MS
    if (!isTold) this.answers.untold += 1
    else if (sequence > before) this.#newest.set(id, sequence)
  }
}
