/** How the publisher gets on where every step takes long: on a clock and services of the test's own. */
import { expect, test } from 'vitest'
import { BATCH_FORMAT, batchHash } from '#domain/ledger/batch-record.ts'
import { UnreachableError } from '#platform/errors.ts'
import type { StoredBatch } from '#platform/postgres/batch-store.ts'
import { Publisher, type PublisherOptions } from './publisher.ts'

const RENEW_MS = 500

/** Batches without outputs that follow each other. */
const batchesOf = (count: number): StoredBatch[] => {
  const batches: StoredBatch[] = []
  for (let sequence = 1n; sequence <= BigInt(count); sequence += 1n) {
    const previousHash = batches.at(-1)?.hash ?? Buffer.alloc(32)
    const [header, payload] = [Buffer.from('{}'), Buffer.alloc(0)]
    const hash = batchHash(previousHash, header, payload)
    batches.push({
      sequence,
      previousHash,
      hash,
      format: BATCH_FORMAT,
      recordedAtMs: 0,
      records: 0,
      header,
      payload,
    })
  }
  return batches
}

/** Time that passes only when told to. */
class ManualClock {
  now = 0
  readonly #timers = new Set<{ at: number; run: () => void }>()

  wallMs = (): number => this.now
  monotonicMs = (): number => this.now
  after = (ms: number, run: () => void): (() => void) => {
    const timer = { at: this.now + ms, run }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  async advance(ms: number): Promise<void> {
    const until = this.now + ms
    for (;;) {
      await settled()
      const next = [...this.#timers].sort((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > until) break
      this.now = Math.max(this.now, next.at)
      this.#timers.delete(next)
      next.run()
    }
    this.now = until
    await settled()
  }
}

const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve()
}

/** A publisher whose rounds end when `publish` says so. */
const start = (publish: (last: bigint) => Promise<void>, changes: Partial<PublisherOptions> = {}) => {
  const clock = new ManualClock()
  const seen = { taken: 0, rounds: [] as number[], published: 0n, incidents: [] as string[] }
  const batches = batchesOf(200)
  const options: PublisherOptions = {
    ledger: 'test',
    topicPrefix: '',
    store: {
      readAfter: async (after, { batchesMax }) => {
        const from = Number(after)
        seen.rounds.push(batchesMax)
        return batches.slice(from, from + batchesMax)
      },
      readHead: async () => ({ sequence: 200n, tickMs: 0, timeline: 1n, publishedSequence: seen.published }),
      notePublished: async () => undefined,
    },
    makeProducer: () => ({
      fence: async () => undefined,
      readPosition: async () => undefined,
      publish: ({ position }) => publish(position.offset),
      close: async () => undefined,
    }),
    makeSink: () => ({ apply: async () => undefined, touch: async () => undefined }),
    entries: null,
    batchOf: null,
    lease: {
      take: async () => {
        seen.taken += 1
        return true
      },
      release: async () => undefined,
    },
    leaseRenewMs: RENEW_MS,
    clock,
    logger: { info: () => undefined, warn: () => undefined },
    onPublished: () => undefined,
    onTakeOver: () => undefined,
    onIncident: ({ code }) => void seen.incidents.push(code),
    ...changes,
  }
  const publisher = new Publisher(options)
  publisher.run().catch(() => undefined)
  return { clock, seen, publisher }
}

test('the lease is renewed while a round takes longer than it lives, but not for ever', async () => {
  const { clock, seen } = start(() => new Promise(() => undefined))
  await clock.advance(0)
  const before = seen.taken
  await clock.advance(4_000)
  expect(seen.taken - before).toBe(4_000 / RENEW_MS)
  await clock.advance(10_000)
  expect(seen.taken - before).toBeLessThanOrEqual(5_000 / RENEW_MS)
})

test('rounds that fail get smaller until one is done, and grow again', async () => {
  // Too busy for more than four batches at a time.
  const published: bigint[] = []
  const { clock, seen, publisher } = start(async (last) => {
    if (last - (published.at(-1) ?? 0n) > 4n) throw new UnreachableError('kafka', 'took too long')
    published.push(last)
  })
  await clock.advance(60_000)
  expect(seen.rounds.slice(0, 5)).toEqual([64, 16, 4, 8, 2])
  expect(published.length).toBeGreaterThan(0)
  const stopped = publisher.stop()
  await clock.advance(5_000)
  await stopped
})

test('others that publish while a taking over is held up are no loss of position', async () => {
  let goOn = (): void => undefined
  const attempts: bigint[] = []
  const { clock, seen } = start(
    async (last) => {
      attempts.push(last)
    },
    {
      lastPublished: () =>
        new Promise((resolve) => {
          goOn = () => resolve(undefined)
        }),
    },
  )
  await clock.advance(0)
  // Meanwhile another one took over, which fenced this one, and noted what it published.
  seen.published = 7n
  goOn()
  await clock.advance(100)
  expect(seen.incidents).toEqual([])
  // Kafka refuses what it sends: it is fenced, and takes over again.
  expect(attempts.length).toBeGreaterThan(0)
})
