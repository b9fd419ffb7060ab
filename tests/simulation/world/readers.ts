/** Clients that read balances through the API's side of the cache, and are told off where an answer is older than an earlier one. */
import { OperatingError } from '#platform/errors.ts'
import { readBalances } from '#platform/postgres/queries/read-balances.ts'
import { BalanceCacheReader } from '#platform/redis/balance-cache-reader.ts'
import type { CacheChecks } from '../oracle/cache.ts'
import { SimulatedPgPool } from '../postgres/client.ts'
import { makeSimulatedRedis } from '../redis/client.ts'
import type { SimulatedProcess } from '../scheduler/scheduler.ts'
import { LEDGER, type Services } from './services.ts'

export class BalanceReaders {
  private readonly services: Services
  private readonly checks: CacheChecks
  private readonly process: SimulatedProcess
  private readonly redis
  private readonly pool
  private readonly reader: BalanceCacheReader

  constructor(services: Services, checks: CacheChecks, process: SimulatedProcess) {
    this.services = services
    this.checks = checks
    this.process = process
    this.redis = makeSimulatedRedis(services.redis, process)
    this.pool = new SimulatedPgPool(services.postgres, process)
    const pool = {
      query: async (query: { name: string; text: string }, values: unknown[]) =>
        (await this.pool.query({ ...query, values })).rows,
    }
    this.reader = new BalanceCacheReader(this.redis.client, {
      keyPrefix: `${LEDGER}:`,
      readBalances: (accounts) => readBalances(pool as never, accounts),
      balanceLifeMs: services.balanceLifeMs,
      onFailure: () => services.redisTrouble(),
      nowMs: () => services.scheduler.nowMs,
    })
  }

  start(): void {
    this.again()
  }

  cut(): void {
    this.redis.cut()
    this.services.redisTrouble()
  }

  /** The process stands still for a while, wherever it is. */
  freeze(ms: number): void {
    if (this.process.paused) return
    this.process.pause()
    this.services.redisTrouble()
    this.services.scheduler.schedule(ms, 'SIGCONT', null, () => {
      this.services.redisTrouble()
      this.process.resume()
    })
  }

  private again(): void {
    const { random } = this.services.scheduler
    this.process.after(random.int(2, this.services.isAboutCache ? 12 : 80), 'read a balance', () => {
      this.read(random.chance(0.5) ? 'c1' : `c${random.int(0, 7)}`).catch((error: unknown) => {
        if (!(error instanceof OperatingError) && !isConnectionError(error)) throw error
      })
      this.again()
    })
  }

  private async read(account: string): Promise<void> {
    const { scheduler } = this.services
    const startedMs = scheduler.nowMs
    const answer = await this.reader.read(account)
    if (answer === undefined) return
    const { posted, reserved, version } = answer.balance
    this.checks.answered({
      account,
      posted,
      reserved,
      ...version,
      cached: answer.cached,
      startedMs,
      endedMs: scheduler.nowMs,
    })
  }
}

const isConnectionError = (error: unknown): boolean =>
  error instanceof Error && /onnection|timeout|ECONNREFUSED|not queryable/.test(error.message)
