/**
 * What is tried on the simulated and on the real Redis: a long random life of the balance cache, the same on both, in which every
 * script runs in generations, versions and leases that are right, old, late or gone; and named cases for what matters most.
 */
import { type AccountBalance, encodeBalance } from '#platform/redis/balance-value.ts'
import { CacheKeys } from '#platform/redis/cache-keys.ts'
import { runCacheScript } from '#platform/redis/cache-scripts.ts'
import type { RedisClient } from '#platform/redis/client.ts'
import { balanceOf } from '#platform/redis/fixtures.ts'
import { makeRandom } from '../scheduler/random.ts'
import type { Transcript } from './transcript.ts'

export interface RedisPlace {
  readonly client: RedisClient
  readonly keyPrefix: string
  /** All keys below the prefix. */
  flush(): Promise<void>
  /** Every key with its value and what is left of its life, ms; -1 = for ever. */
  dump(): Promise<readonly { key: string; value: string; lifeMs: number }[]>
}

/** So far apart that the time of a run can't turn one into another, ms. */
const LIFE = { lease: 1_000_000, balance: 20_000_000, mark: 400_000_000 }
const GENERATIONS = ['1-first', '1-second', '2-third']
const ACCOUNTS = ['a', 'b', 'c']
/** Beyond 2^53 two that a floating point number can't tell apart. */
const SEQUENCES = [1n, 2n, 3n, 9n, 10n, 11n, 9_007_199_254_740_992n, 9_007_199_254_740_993n]
const STEPS = 600

export class TriedCache {
  private readonly place: RedisPlace
  private readonly keys: CacheKeys
  private readonly transcript: Transcript

  constructor(place: RedisPlace, transcript: Transcript) {
    this.place = place
    this.keys = new CacheKeys(place.keyPrefix)
    this.transcript = transcript
  }

  async renew(generation: string, sequence: bigint, options: { marks?: boolean; keeps?: boolean } = {}) {
    const { marks = true, keeps = false } = options
    const values = [
      generation,
      generation.split('-')[0]!,
      String(sequence),
      '5',
      marks ? String(LIFE.mark) : '0',
    ]
    await this.run('balanceRenew', [this.keys.state, this.keys.fresh], [...values, keeps ? '1' : '0'])
  }

  async apply(
    generation: string,
    previous: bigint,
    rows: readonly AccountBalance[],
    options: { sequence?: bigint; isLast?: boolean } = {},
  ) {
    const { isLast = true } = options
    const sequence = options.sequence ?? rows[0]?.version.sequence ?? previous
    const accounts = rows.map(({ accountId }) => accountId)
    const lives = [String(LIFE.mark), String(LIFE.balance), isLast ? '1' : '0']
    await this.run(
      'balanceApply',
      [this.keys.state, this.keys.fresh, ...this.keys.pairs(generation, accounts)],
      [generation, String(previous), String(sequence), '7', ...lives, ...rows.map(encodeBalance)],
    )
  }

  async settle(generation: string, token: string, row: AccountBalance) {
    await this.run(
      'balanceSettle',
      [this.keys.state, ...this.keys.pairs(generation, [row.accountId])],
      [generation, token, String(LIFE.balance), encodeBalance(row)],
    )
  }

  async expireOlder(generation: string, accounts: readonly string[], timeline: bigint, sequence: bigint) {
    await this.run(
      'balanceExpireOlder',
      [this.keys.state, ...this.keys.pairs(generation, accounts)],
      [generation, String(timeline), String(sequence)],
    )
  }

  async lease(generation: string, account: string, token: string) {
    const { client } = this.place
    const key = this.keys.lease(generation, account)
    await this.seen('lease', await client.set(key, `${token}|0|0`, 'PX', LIFE.lease, 'NX'))
  }

  async read(generation: string, account: string) {
    const keys = [this.keys.state, this.keys.fresh, this.keys.balance(generation, account)]
    await this.seen('read', await this.place.client.mget(...keys))
  }

  async flush() {
    await this.place.flush()
    await this.seen('flush', null)
  }

  private async run(script: Parameters<typeof runCacheScript>[1], keys: string[], values: string[]) {
    await this.seen(script, await runCacheScript(this.place.client, script, keys, values))
  }

  private async seen(what: string, answer: unknown) {
    const held = (await this.place.dump())
      .map(({ key, value, lifeMs }) => `${key.slice(this.place.keyPrefix.length)}=${value} ${lifeOf(lifeMs)}`)
      .map((line) => line.replace(/^\{[^}]*\}/, ''))
      .sort()
    this.transcript.note('cache', what, { answer, held })
  }
}

/** Which of the three lives it was given, by what is left of it. */
const lifeOf = (ms: number): string =>
  ms === -1
    ? 'for ever'
    : (Object.entries(LIFE).find(([, given]) => ms <= given && ms > given / 2)?.[0] ?? String(ms))

const balance = (account: string, sequence: bigint, timeline = 1n): AccountBalance =>
  balanceOf(account, sequence, { version: { timeline, sequence } })

export const REDIS_CASES: readonly { readonly name: string; run(cache: TriedCache): Promise<void> }[] = [
  {
    name: 'nothing is planted after a flush',
    run: async (cache) => {
      await cache.renew('1-first', 1n)
      await cache.lease('1-first', 'a', 'token')
      await cache.flush()
      await cache.settle('1-first', 'token', balance('a', 1n))
      await cache.apply('1-first', 1n, [balance('a', 2n)])
      await cache.renew('1-second', 2n)
      await cache.settle('1-first', 'token', balance('a', 1n))
      await cache.read('1-second', 'a')
    },
  },
  {
    name: 'a lease ends with the change of its balance',
    run: async (cache) => {
      await cache.renew('1-first', 1n)
      await cache.lease('1-first', 'a', 'one')
      await cache.lease('1-first', 'a', 'two')
      await cache.apply('1-first', 1n, [balance('a', 2n)])
      await cache.settle('1-first', 'one', balance('a', 1n))
      await cache.lease('1-first', 'a', 'two')
      await cache.settle('1-first', 'one', balance('a', 2n))
      await cache.settle('1-first', 'two', balance('a', 1n))
      await cache.lease('1-first', 'a', 'three')
      await cache.settle('1-first', 'three', balance('a', 2n))
      await cache.read('1-first', 'a')
    },
  },
  {
    name: 'a gap is noticed, an older version replaces nothing, the timeline counts before the sequence',
    run: async (cache) => {
      await cache.renew('1-first', 3n, { marks: false })
      await cache.apply('1-first', 9n, [balance('a', 10n)])
      await cache.lease('1-first', 'a', 'one')
      await cache.settle('1-first', 'one', balance('a', 9_007_199_254_740_993n))
      await cache.apply('1-first', 3n, [balance('a', 9_007_199_254_740_992n)])
      await cache.apply('1-first', 3n, [balance('a', 1n, 2n)], { isLast: false })
      await cache.expireOlder('1-first', ['a', 'b'], 2n, 1n)
      await cache.expireOlder('1-first', ['a', 'b'], 2n, 2n)
      await cache.renew('2-third', 1n, { keeps: true })
      await cache.renew('1-second', 9n)
    },
  },
  {
    name: `${STEPS} random steps`,
    run: async (cache) => {
      const random = makeRandom(7)
      const generation = () => random.pick([GENERATIONS[0]!, GENERATIONS[0]!, ...GENERATIONS])
      const row = () => balance(random.pick(ACCOUNTS), random.pick(SEQUENCES), random.chance(0.9) ? 1n : 2n)
      const token = () => random.pick(['one', 'two', ''])
      for (let step = 0; step < STEPS; step += 1) {
        const choice = random.next()
        if (choice < 0.1) {
          const options = { marks: random.chance(0.8), keeps: random.chance(0.5) }
          await cache.renew(generation(), random.pick(SEQUENCES), options)
        } else if (choice < 0.4) {
          const first = row()
          const rows = ACCOUNTS.filter(() => random.chance(0.5)).map((accountId) => ({ ...first, accountId }))
          await cache.apply(generation(), random.pick(SEQUENCES), rows, { isLast: random.chance(0.8) })
        } else if (choice < 0.6) await cache.settle(generation(), token(), row())
        else if (choice < 0.7) {
          const { version } = row()
          await cache.expireOlder(generation(), ACCOUNTS, version.timeline, version.sequence)
        } else if (choice < 0.9) await cache.lease(generation(), random.pick(ACCOUNTS), token())
        else if (choice < 0.98) await cache.read(generation(), random.pick(ACCOUNTS))
        else await cache.flush()
      }
    },
  },
]
