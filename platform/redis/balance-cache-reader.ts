/**
 * The API's side of the balance cache. A cached balance is believed only while the publisher's freshness mark is there; everything
 * else is answered from Postgres. Before such an answer leaves, the cache learns of it, so that no later answer is older.
 *
 * Staleness: a cached answer may lack what was decided in the last moments (the publisher's delay); where the publisher is stopped
 * or can't reach Redis, at most its `freshMarkMs`. Where only this process can't reach Redis, its answers may be newer than those
 * of others by as much.
 */
import { randomBytes } from 'node:crypto'
import { type AccountBalance, decodeBalance, encodeBalance } from '#platform/redis/balance-value.ts'
import { CacheKeys, type CacheState, decodeState, timelineOf } from '#platform/redis/cache-keys.ts'
import { runCacheScript } from '#platform/redis/cache-scripts.ts'
import type { RedisClient } from '#platform/redis/client.ts'

/** hit: from Redis. miss: not there. stale: there may be one, but nobody vouches for it. unavailable: Redis gave no answer. */
export type CacheLookup = 'hit' | 'miss' | 'stale' | 'unavailable'

export interface BalanceCacheReaderOptions {
  /** Put before every key, `<ledger>:`. */
  keyPrefix: string
  /** Balances of these accounts as Postgres' writer has them now; unknown accounts are left out. */
  readBalances: (accountIds: readonly string[]) => Promise<AccountBalance[]>
  /** How long a filler may take from its lease to its plant. */
  leaseMs?: number
  /** Life of a balance that isn't written. */
  balanceLifeMs?: number
  /** How long Redis is left alone after a failure. */
  pauseAfterFailureMs?: number
  onLookup?: (lookup: CacheLookup) => void
  /** Told of every failure of Redis. */
  onFailure?: (cause: unknown) => void
  nowMs?: () => number
}

export interface BalanceAnswer {
  balance: AccountBalance
  cached: boolean
}

interface Found {
  lookup: CacheLookup
  state: CacheState | undefined
  balance: AccountBalance | undefined
}

const DAY_MS = 86_400_000
/** Accounts for one script. */
const ACCOUNTS_PER_SCRIPT_MAX = 1000
/** Generations change with a flush, a failure or a rebuild; so many within one request is no accident. */
const GENERATION_ATTEMPTS_MAX = 4

export class BalanceCacheReader {
  readonly #client: RedisClient
  readonly #keys: CacheKeys
  readonly #options: Required<Omit<BalanceCacheReaderOptions, 'keyPrefix'>>
  /** The generation seen last: a guess that saves a round trip, checked by every read. */
  #generation = ''
  #pausedUntilMs = Number.NEGATIVE_INFINITY

  constructor(client: RedisClient, options: BalanceCacheReaderOptions) {
    this.#client = client
    this.#keys = new CacheKeys(options.keyPrefix)
    this.#options = {
      leaseMs: 3000,
      balanceLifeMs: DAY_MS,
      pauseAfterFailureMs: 250,
      onLookup: () => {},
      onFailure: () => {},
      nowMs: () => performance.now(),
      ...options,
    }
  }

  /**
   * The balance of an account, from Redis where that can be believed, else from Postgres. Redis' failures never surface.
   *
   * @returns undefined where there is no such account.
   * @throws what `readBalances` throws.
   */
  async read(accountId: string): Promise<BalanceAnswer | undefined> {
    const found = (await this.#guarded(() => this.#lookUp(accountId))) ?? {
      lookup: 'unavailable' as const,
      state: undefined,
      balance: undefined,
    }
    this.#options.onLookup(found.lookup)
    if (found.balance !== undefined) return { balance: found.balance, cached: true }
    const { state } = found
    // The lease comes before the read: whoever changes the balance in between ends it.
    const token =
      state !== undefined && found.lookup === 'miss'
        ? await this.#guarded(() => this.#takeLease(state.generation, accountId))
        : undefined
    const [balance] = await this.#options.readBalances([accountId])
    if (balance === undefined) return undefined
    await this.#guarded(() => this.#settle(state?.generation ?? '', token ?? '', balance))
    return { balance, cached: false }
  }

  /**
   * Makes sure that no later answer is older than this batch, for accounts that it is known to have changed: a client that was told
   * of its transaction then reads its own write. Without effect while Redis is away.
   */
  async expireOlder(
    accountIds: readonly string[],
    version: { timeline: bigint; sequence: bigint },
  ): Promise<void> {
    await this.#guarded(async () => {
      for (let start = 0; start < accountIds.length; start += ACCOUNTS_PER_SCRIPT_MAX) {
        const part = accountIds.slice(start, start + ACCOUNTS_PER_SCRIPT_MAX)
        await this.#inValidGeneration(this.#generation, version.timeline, (generation) =>
          runCacheScript(
            this.#client,
            'balanceExpireOlder',
            [this.#keys.state, ...this.#keys.pairs(generation, part)],
            [generation, String(version.timeline), String(version.sequence)],
          ),
        )
      }
    })
  }

  /** One round trip; two when the generation has changed since the last one. */
  async #lookUp(accountId: string): Promise<Found> {
    for (let attempt = 1; ; attempt += 1) {
      const generation = this.#generation
      const answers = await this.#client.mget(
        this.#keys.state,
        this.#keys.fresh,
        this.#keys.balance(generation, accountId),
      )
      const [stateText, mark, text] = answers
      const state = decodeState(stateText)
      if (state === undefined) return { lookup: 'stale', state: undefined, balance: undefined }
      this.#generation = state.generation
      if (mark !== state.generation) return { lookup: 'stale', state, balance: undefined }
      if (state.generation !== generation) {
        if (attempt < 3) continue
        return { lookup: 'stale', state, balance: undefined }
      }
      const balance = typeof text === 'string' ? decodeBalance(accountId, text) : undefined
      if (balance === undefined) return { lookup: 'miss', state, balance: undefined }
      // What was applied later didn't touch this account: it holds at that time too.
      const recordedAtMs = Math.max(balance.recordedAtMs, state.recordedAtMs)
      return { lookup: 'hit', state, balance: { ...balance, recordedAtMs } }
    }
  }

  /** Takes the right to fill a missing balance; undefined where somebody else has it. */
  async #takeLease(generation: string, accountId: string): Promise<string | undefined> {
    const token = randomBytes(9).toString('base64url')
    const key = this.#keys.lease(generation, accountId)
    const taken = await this.#client.set(key, `${token}|0|0`, 'PX', this.#options.leaseMs, 'NX')
    return taken === 'OK' ? token : undefined
  }

  async #settle(generation: string, token: string, balance: AccountBalance): Promise<void> {
    const { accountId, version } = balance
    await this.#inValidGeneration(generation, version.timeline, (valid) =>
      runCacheScript(
        this.#client,
        'balanceSettle',
        [this.#keys.state, this.#keys.balance(valid, accountId), this.#keys.lease(valid, accountId)],
        [valid, token, String(this.#options.balanceLifeMs), encodeBalance(balance)],
      ),
    )
  }

  /**
   * Runs a script in the generation that is valid now, beginning with a guess. Where there is none nothing need be told: whoever
   * fills a later one reads later. Another timeline's generation caches another past; it isn't told either.
   */
  async #inValidGeneration(
    guess: string,
    timeline: bigint,
    run: (generation: string) => Promise<[word: string, text: string]>,
  ): Promise<void> {
    let generation = guess !== '' && timelineOf(guess) === timeline ? guess : ''
    for (let attempt = 1; attempt <= GENERATION_ATTEMPTS_MAX; attempt += 1) {
      const [word, text] = await run(generation)
      const state = decodeState(text)
      if (word !== 'generation' || state === undefined || timelineOf(state.generation) !== timeline) return
      generation = state.generation
      this.#generation = generation
    }
  }

  /** Runs something with Redis; its failure is noted and gives undefined. After one, Redis is left alone for a while. */
  async #guarded<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
    if (this.#options.nowMs() < this.#pausedUntilMs) return undefined
    try {
      return await work()
    } catch (cause) {
      this.#pausedUntilMs = this.#options.nowMs() + this.#options.pauseAfterFailureMs
      this.#options.onFailure(cause)
      return undefined
    }
  }
}
