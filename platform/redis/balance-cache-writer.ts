/**
 * The publisher's side of the balance cache: one writer, in sequence. What it guarantees to readers: while the freshness mark is
 * there, the valid generation holds no balance older than the last batch applied here. Redis being away never stops it: it goes on
 * without, and comes back with a new, empty generation, so that nothing from before the gap is read again.
 */
import assert from 'node:assert/strict'
import { type AccountBalance, encodeBalance } from '#platform/redis/balance-value.ts'
import {
  CacheKeys,
  type CacheState,
  decodeState,
  newGeneration,
  timelineOf,
} from '#platform/redis/cache-keys.ts'
import { runCacheScript } from '#platform/redis/cache-scripts.ts'
import type { RedisClient } from '#platform/redis/client.ts'

export interface BalanceCacheWriterOptions {
  /** Put before every key, `<ledger>:`. */
  keyPrefix: string
  /** `ledger_head.timeline` of the database whose batches are applied. */
  timeline: bigint
  /** Everything up to here has left already: the publisher's position. */
  sequence: bigint
  /** Decision time of that batch, ms since 1970 UTC. */
  recordedAtMs: number
  /** How long readers may believe the cache without a word from the writer: the bound on staleness. */
  freshMarkMs?: number
  /** Life of a balance that isn't written. */
  balanceLifeMs?: number
  /** How long Redis is left alone after a failure. */
  pauseAfterFailureMs?: number
  /** Told of failures and new generations, for logs and metrics. */
  onEvent?: (event: CacheWriterEvent) => void
  /** Milliseconds of a clock that never goes back; for tests. */
  nowMs?: () => number
}

export type CacheWriterEvent =
  | { type: 'unavailable'; cause: unknown }
  | { type: 'generation'; generation: string; reason: 'start' | 'gap' | 'failure' }
  | { type: 'superseded'; generation: string }

/** applied: in the cache; renewed: a new, empty generation took its place; unavailable: Redis is away or not ours, readers use Postgres. */
export type ApplyResult = 'applied' | 'renewed' | 'unavailable'

/** Rows for one script: it must not hold up other clients of Redis for long (1,000 rows: about 2 ms). */
const ROWS_PER_SCRIPT_MAX = 1000
/** The generation may change under us (rebuild) between two attempts; more often is no accident. */
const ADOPTIONS_MAX = 3

const DAY_MS = 86_400_000

export class BalanceCacheWriter {
  readonly #client: RedisClient
  readonly #keys: CacheKeys
  readonly #timeline: bigint
  readonly #freshMarkMs: number
  readonly #balanceLifeMs: number
  readonly #pauseAfterFailureMs: number
  readonly #onEvent: (event: CacheWriterEvent) => void
  readonly #nowMs: () => number
  #generation = ''
  /** What this writer last applied, or gave up applying. */
  #sequence: bigint
  #recordedAtMs: number
  /** A batch couldn't be applied: the generation in Redis lacks it. */
  #gap: 'failure' | undefined
  #pausedUntilMs = Number.NEGATIVE_INFINITY
  #busy = false

  constructor(client: RedisClient, options: BalanceCacheWriterOptions) {
    this.#client = client
    this.#keys = new CacheKeys(options.keyPrefix)
    this.#timeline = options.timeline
    this.#sequence = options.sequence
    this.#recordedAtMs = options.recordedAtMs
    this.#freshMarkMs = options.freshMarkMs ?? 2000
    this.#balanceLifeMs = options.balanceLifeMs ?? DAY_MS
    this.#pauseAfterFailureMs = options.pauseAfterFailureMs ?? 250
    this.#onEvent = options.onEvent ?? (() => {})
    this.#nowMs = options.nowMs ?? (() => performance.now())
  }

  /**
   * Applies the balances after the batches up to `sequence`. Batches without balances are applied too, with no rows.
   * Never throws because of Redis.
   *
   * @param rows At most one an account, its newest; each with the version it got in its batch.
   * @param batch Highest sequence contained (above the last one applied) and its decision time, ms since 1970 UTC.
   */
  async applyBalances(
    rows: readonly AccountBalance[],
    batch: { sequence: bigint; recordedAtMs: number },
  ): Promise<ApplyResult> {
    assert(
      batch.sequence > this.#sequence,
      `batches come in sequence: ${batch.sequence} after ${this.#sequence}`,
    )
    return await this.#alone(async () => {
      const previous = this.#sequence
      this.#sequence = batch.sequence
      this.#recordedAtMs = batch.recordedAtMs
      return await this.#attempt(rows, previous)
    })
  }

  /** Renews the freshness mark: everything decided so far is applied, or being applied. To be called well within `freshMarkMs`. */
  async touch(): Promise<ApplyResult> {
    return await this.#alone(() => this.#attempt([], this.#sequence))
  }

  async #alone(work: () => Promise<ApplyResult>): Promise<ApplyResult> {
    assert(!this.#busy, 'the cache has one writer: one call at a time')
    this.#busy = true
    try {
      return await work()
    } finally {
      this.#busy = false
    }
  }

  async #attempt(rows: readonly AccountBalance[], previous: bigint): Promise<ApplyResult> {
    if (this.#nowMs() < this.#pausedUntilMs) {
      this.#gap = 'failure'
      return 'unavailable'
    }
    try {
      if (this.#gap !== undefined) return await this.#renew(this.#gap)
      return await this.#applyParts(rows, previous)
    } catch (cause) {
      this.#gap = 'failure'
      this.#pausedUntilMs = this.#nowMs() + this.#pauseAfterFailureMs
      this.#onEvent({ type: 'unavailable', cause })
      return 'unavailable'
    }
  }

  async #applyParts(rows: readonly AccountBalance[], previous: bigint): Promise<ApplyResult> {
    let adoptions = 0
    for (let start = 0; start === 0 || start < rows.length; ) {
      const part = rows.slice(start, start + ROWS_PER_SCRIPT_MAX)
      const isLast = start + part.length >= rows.length
      const [answer, text] = await this.#applyPart(part, previous, isLast)
      if (answer === 'ok') {
        if (isLast) return 'applied'
        start += part.length
        continue
      }
      const state = decodeState(text)
      if (answer === 'gap' || state === undefined || adoptions === ADOPTIONS_MAX)
        return await this.#renew('gap')
      if (timelineOf(state.generation) > this.#timeline) return this.#superseded(state)
      // Somebody began a new generation (rebuild, another publisher): it is good for us if it lacks nothing that we applied.
      if (timelineOf(state.generation) < this.#timeline || state.sequence < previous) {
        return await this.#renew(this.#generation === '' ? 'start' : 'gap')
      }
      this.#generation = state.generation
      adoptions += 1
      // What went into the old generation before must be in the new one too.
      start = 0
    }
    return 'applied'
  }

  async #applyPart(
    rows: readonly AccountBalance[],
    previous: bigint,
    isLast: boolean,
  ): Promise<[answer: string, text: string]> {
    const accountIds = rows.map((row) => row.accountId)
    const keys = [this.#keys.state, this.#keys.fresh, ...this.#keys.pairs(this.#generation, accountIds)]
    return await runCacheScript(this.#client, 'balanceApply', keys, [
      this.#generation,
      String(previous),
      String(this.#sequence),
      String(this.#recordedAtMs),
      String(this.#freshMarkMs),
      String(this.#balanceLifeMs),
      isLast ? '1' : '0',
      ...rows.map(encodeBalance),
    ])
  }

  /** An empty generation lacks nothing: whatever is planted in it is read from a database that holds at least what we have published. */
  async #renew(reason: 'start' | 'gap' | 'failure'): Promise<ApplyResult> {
    const generation = newGeneration(this.#timeline)
    const [word, text] = await runCacheScript(
      this.#client,
      'balanceRenew',
      [this.#keys.state, this.#keys.fresh],
      [
        generation,
        String(this.#timeline),
        String(this.#sequence),
        String(this.#recordedAtMs),
        String(this.#freshMarkMs),
        '0',
      ],
    )
    const state = decodeState(text)
    if (word === 'superseded' && state !== undefined) return this.#superseded(state)
    this.#generation = generation
    this.#gap = undefined
    this.#onEvent({ type: 'generation', generation, reason })
    return 'renewed'
  }

  /** The cache belongs to the publisher of a later timeline; this one's database is of the past. */
  #superseded(state: CacheState): ApplyResult {
    this.#gap = 'failure'
    this.#pausedUntilMs = this.#nowMs() + this.#pauseAfterFailureMs
    this.#onEvent({ type: 'superseded', generation: state.generation })
    return 'unavailable'
  }
}
