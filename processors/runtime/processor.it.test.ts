/** The processor's loop on a real Postgres, fed by hand: contiguity, taking partitions anew, back-pressure, refusing to decide. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { account, external, posting, transaction } from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { type IncidentError, OperatingError } from '#platform/errors.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { IngestChunk } from '#platform/kafka/partition-inbox.ts'
import { systemClock } from '#platform/time/clock.ts'
import { LedgerFixture } from '../testing/ledger-fixture.ts'
import { BatchSize } from './batch-size.ts'
import { Processor } from './processor.ts'
import type { IngestReader, ProcessorOptions } from './processor-options.ts'

const PREFIX = 'by-hand.'
const TOPIC = `${PREFIX}transactions`

const chunkOf = (fetchedOffset: bigint, ids: readonly string[], nextOffset?: bigint): IngestChunk => {
  const records: IngestRecord[] = ids.map((id, place) => ({
    topic: TOPIC,
    partition: 0,
    offset: fetchedOffset + BigInt(place),
    timestampMs: 0n,
    key: null,
    value: Buffer.from(id),
    headers: undefined,
    sizeBytes: id.length,
  }))
  const end = nextOffset ?? fetchedOffset + BigInt(ids.length)
  return {
    topic: TOPIC,
    partition: 0,
    fetchedOffset,
    nextOffset: end,
    highWatermark: end,
    records,
    bytes: 1,
  }
}

const decode = async (chunk: IngestChunk): Promise<LedgerInput[]> =>
  chunk.records.map(({ offset, value }) => ({
    ...transaction({
      id: String(value),
      postings: [posting({ debit: 'world', credit: 'alice', amount: 1n })],
    }),
    offset,
  }))

/** A processor whose readers take what `give` returns; each reader begins at what its claim said. */
class HandFed {
  readonly incidents: IncidentError[] = []
  readonly warnings: string[] = []
  readonly claimedAt: bigint[] = []
  readonly processor: Processor
  readonly running: Promise<unknown>
  private chunks: IngestChunk[] = []

  constructor(
    ledger: LedgerFixture,
    context: Parameters<LedgerFixture['context']>[0] = {},
    options: Partial<ProcessorOptions> = {},
  ) {
    this.processor = new Processor({
      topicPrefix: PREFIX,
      makeReader: (hooks): IngestReader => ({
        start: async () => {
          const positions = await hooks.claim([{ topic: TOPIC, partition: 0 }])
          this.claimedAt.push(positions.get(`${TOPIC}:0`)!)
        },
        take: async ({ waitMs }) => {
          if (this.chunks.length === 0) await sleep(Math.min(waitMs, 10))
          return this.chunks.splice(0, 3)
        },
        stop: () => hooks.release(),
      }),
      openSession: () => ledger.openSession({ owner: 'hand-fed' }),
      context: ledger.context(context),
      decode,
      admin: { ranges: async () => [{ partition: 0, start: 0n, end: 0n }] },
      clock: systemClock,
      batchSize: new BatchSize({ recordsMin: 1, recordsMax: 1_000, wallMaxMs: 500 }),
      batchBytesMax: 1_000_000,
      logger: {
        info: () => undefined,
        error: () => undefined,
        warn: (fields) => void this.warnings.push((fields as { code: string }).code),
      },
      onBatch: () => undefined,
      onIncident: (incident) => void this.incidents.push(incident),
      ...options,
    })
    this.running = this.processor.run().catch((error: unknown) => error)
  }

  give(...chunks: IngestChunk[]): void {
    this.chunks.push(...chunks)
  }
}

let ledger: LedgerFixture
let fed: HandFed

beforeEach(async () => {
  ledger = await LedgerFixture.create(testConfiguration('loop'))
  const driver = await ledger.openDriver()
  await driver.apply(ledger.log([account('alice'), external('world')]))
  await driver.session.release([...driver.claims.values()])
})
afterEach(async () => {
  await fed.processor.stop()
  await ledger.close()
})

const ids = async (): Promise<string[]> => (await ledger.history()).map((row) => row.id)
const nextOffset = async (): Promise<bigint> => {
  const [row] = await ledger.rows<{ next_offset: bigint }>(
    `select next_offset from ingest_offsets where topic = 'transactions' and partition = 0`,
  )
  return row!.next_offset
}
const until = (what: () => unknown | Promise<unknown>): Promise<unknown> =>
  expect.poll(async () => Boolean(await what()), { timeout: 10_000, interval: 20 }).toBe(true)

/** Reading begins at the stored position, or one record before it, to see that the log is still the same. */
const expectToGoOnFrom = async (position: bigint): Promise<void> => {
  expect(await nextOffset()).toBe(position)
  expect([position, position - 1n]).toContain(fed.claimedAt[1])
}

describe('a chunk', () => {
  it('that leaves records out is refused; the partition is taken anew and goes on where Postgres says', async () => {
    fed = new HandFed(ledger)
    fed.give(chunkOf(0n, ['a', 'b']), chunkOf(3n, ['d']))
    await until(() => fed.claimedAt.length === 2)
    expect(fed.warnings).toContain('position_not_contiguous')
    await expectToGoOnFrom(await nextOffset())
    expect(await ids()).not.toContain('d')
    const from = fed.claimedAt[1]!
    fed.give(chunkOf(from, ['a', 'b', 'c', 'd'].slice(Number(from))))
    await until(async () => (await nextOffset()) === 4n)
    expect(await ids()).toEqual(['a', 'b', 'c', 'd'])
  })

  it('that brings records a second time is refused', async () => {
    fed = new HandFed(ledger)
    fed.give(chunkOf(0n, ['a', 'b']))
    await until(async () => (await nextOffset()) === 2n)
    fed.give(chunkOf(1n, ['b', 'c']))
    await until(() => fed.claimedAt.length === 2)
    expect(await ids()).toEqual(['a', 'b'])
    await expectToGoOnFrom(2n)
    const from = fed.claimedAt[1]!
    fed.give(chunkOf(from, ['a', 'b', 'c'].slice(Number(from))))
    await until(async () => (await nextOffset()) === 3n)
    expect(await ids()).toEqual(['a', 'b', 'c'])
  })

  it('without records moves the position on', async () => {
    fed = new HandFed(ledger)
    fed.give(chunkOf(0n, ['a'], 5n), chunkOf(5n, [], 8n), chunkOf(8n, ['b']))
    await until(async () => (await nextOffset()) === 9n)
    expect(await ids()).toEqual(['a', 'b'])
    expect(fed.warnings).toEqual([])
  })

  it('follows others of its partition in one batch, each taken out once', async () => {
    fed = new HandFed(ledger)
    let offset = 0n
    const given = Array.from({ length: 60 }, (_, n) => {
      const chunk = chunkOf(
        offset,
        Array.from({ length: 1 + (n % 3) }, (__, m) => `${n}.${m}`),
      )
      offset = chunk.nextOffset
      return chunk
    })
    fed.give(...given)
    await until(async () => (await nextOffset()) === offset)
    expect(fed.warnings).toEqual([])
    expect((await ids()).length).toBe(Number(offset))
  })
})

describe('a processor', () => {
  it('that is behind decides ahead, also past ids that were taken before, each record once and in order', async () => {
    let ahead = 0
    fed = new HandFed(
      ledger,
      {},
      {
        batchSize: new BatchSize({ recordsMin: 2, recordsMax: 2, wallMaxMs: 500 }),
        onBatch: ({ phases }) => {
          // Only a batch under the head's lock waits for it.
          if (phases.lock === 0) ahead += 1
        },
      },
    )
    const given = Array.from({ length: 120 }, (_, n) => (n % 40 === 21 ? `t${n - 7}` : `t${n}`))
    for (let at = 0; at < given.length; at += 20) fed.give(chunkOf(BigInt(at), given.slice(at, at + 20)))
    await until(async () => (await nextOffset()) === 120n)
    expect(await ids()).toEqual(given)
    const repeated = (await ledger.history()).filter(({ status }) => status === 'duplicate')
    expect(repeated.map(({ id }) => id)).toEqual(['t14', 't54', 't94'])
    expect(ahead).toBeGreaterThan(5)
    expect(fed.claimedAt).toEqual([0n])
    expect(fed.warnings).toEqual([])
  })

  it('whose partition was taken by another goes on only after taking it anew', async () => {
    fed = new HandFed(ledger)
    fed.give(chunkOf(0n, ['a']))
    await until(async () => (await nextOffset()) === 1n)
    const other = await ledger.openDriver({ owner: 'other' })
    const [between] = ledger.log([{ ...(await decode(chunkOf(1n, ['between'])))[0]! }])
    await other.apply([{ ...between!, offset: 1n }])
    fed.give(chunkOf(1n, ['zombie']))
    await until(() => fed.claimedAt.length === 2)
    expect(await ids()).toEqual(['a', 'between'])
    await expectToGoOnFrom(2n)
  })

  it('finds that a topic was made anew: another record stands where the last applied one was', async () => {
    fed = new HandFed(ledger)
    fed.give(chunkOf(0n, ['a', 'b']))
    await until(async () => (await nextOffset()) === 2n)
    await fed.processor.stop()
    fed = new HandFed(ledger)
    await until(() => fed.claimedAt.length === 1)
    fed.give(chunkOf(1n, ['another', 'c']))
    await until(() => fed.incidents.length > 0)
    expect(fed.incidents.map(({ code }) => code)).toEqual(['topic_recreated'])
    expect(await ids()).toEqual(['a', 'b'])
    expect(await nextOffset()).toBe(2n)
  })

  it('that doesn’t know the logic version decides nothing and says so', async () => {
    await ledger.rows('update ledger_head set logic_version = 99')
    fed = new HandFed(ledger)
    fed.give(chunkOf(0n, ['a']))
    await expect(fed.running).resolves.toMatchObject({ code: 'logic_version_unknown' })
    expect(fed.incidents.map(({ code }) => code)).toEqual(['logic_version_unknown'])
    expect(await ids()).toEqual([])
    expect(await nextOffset()).toBe(0n)
  })

  it('decides no more while too many batches wait for the publisher, and goes on when they left', async () => {
    let published = 0n
    const sizes = { recordsMin: 1, recordsMax: 1, wallMaxMs: 500 }
    fed = new HandFed(
      ledger,
      { publishBacklogMax: 3, publishedSequence: () => published },
      { batchSize: new BatchSize(sizes) },
    )
    fed.give(chunkOf(0n, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']))
    // Batch 1 opened the accounts.
    await until(async () => (await ids()).length === 3)
    await sleep(300)
    expect(await ids()).toEqual(['a', 'b', 'c'])
    expect(fed.processor.ready).toBe(false)
    published = 2n
    await until(async () => (await ids()).length === 5)
    published = 100n
    await until(async () => (await ids()).length === 8)
    await until(() => fed.processor.ready)
    expect(fed.claimedAt).toEqual([0n])
  })

  it('keeps what it read while the registry is away', async () => {
    let away = true
    fed = new HandFed(
      ledger,
      {},
      {
        decode: async (chunk) => {
          if (away) throw new OperatingError('registry_unreachable', 'away', { retriable: true })
          return decode(chunk)
        },
      },
    )
    fed.give(chunkOf(0n, ['a', 'b']))
    await until(() => fed.warnings.length > 0)
    away = false
    await until(async () => (await nextOffset()) === 2n)
    expect(fed.claimedAt).toEqual([0n])
  })

  it('that is stopped finishes its batch, lets go of its partitions and ends', async () => {
    fed = new HandFed(ledger)
    fed.give(chunkOf(0n, ['a', 'b', 'c']))
    await until(async () => (await nextOffset()) === 3n)
    const started = performance.now()
    await fed.processor.stop()
    expect(performance.now() - started).toBeLessThan(5_000)
    expect(await fed.running).toBeUndefined()
    expect(
      await ledger.rows(
        `select owner, owner_backend_pid from ingest_offsets where topic = 'transactions' and partition = 0`,
      ),
    ).toEqual([{ owner: '', owner_backend_pid: null }])
  })
})
