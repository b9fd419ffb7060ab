/** The decoder on batches made byte by byte: transactions, compaction, cut and hostile bytes. */
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type BatchFixture, batchBytes } from './record-batches.fixtures.ts'
import { type AbortedTransaction, decodeRecordSet, type RecordSet } from './record-batches.ts'

const require = createRequire(import.meta.url)

function decode(
  batches: (BatchFixture | Buffer)[],
  options: { from?: number; aborted?: AbortedTransaction[]; bytesMax?: number; fetchBytesMax?: number } = {},
): RecordSet {
  const data = Buffer.concat(batches.map((batch) => (Buffer.isBuffer(batch) ? batch : batchBytes(batch))))
  return decodeRecordSet(data, {
    topic: 't',
    partition: 0,
    fetchedOffset: BigInt(options.from ?? 0),
    abortedTransactions: options.aborted ?? [],
    decompressedBytesMax: options.bytesMax ?? 1024 * 1024,
    ...(options.fetchBytesMax === undefined ? {} : { fetchBytesMax: options.fetchBytesMax }),
  })
}
const values = (set: RecordSet): string[] => set.records.map(({ value }) => String(value))
const transactional = (baseOffset: number, producerId: number, value: string): BatchFixture => ({
  baseOffset,
  producerId,
  transactional: true,
  records: [{ value }],
})

describe('records', () => {
  it('come with offset, time, key, value and headers', () => {
    const set = decode(
      [
        {
          baseOffset: 10,
          baseTimestamp: 1000,
          records: [
            {
              key: 'k',
              value: 'v',
              timestampDelta: -5,
              headers: [
                ['a', '1'],
                ['__proto__', 'x'],
                ['a', '2'],
              ],
            },
            { key: null, value: null, timestampDelta: 70_000_000_000 },
          ],
        },
      ],
      { from: 10 },
    )
    expect(set.records[0]).toMatchObject({ offset: 10n, timestampMs: 995n, key: Buffer.from('k') })
    expect(set.records[0]!.headers!.a).toEqual(Buffer.from('2'))
    expect(Object.entries(set.records[0]!.headers!)).toContainEqual(['__proto__', Buffer.from('x')])
    expect(set.records[1]).toMatchObject({
      offset: 11n,
      timestampMs: 70_000_001_000n,
      key: null,
      value: null,
    })
    expect(set.nextOffset).toBe(12n)
  })

  it('carry the broker time where the topic says so', () => {
    const set = decode([{ baseOffset: 0, appendTimeMs: 777, records: [{ value: 'v', timestampDelta: 9 }] }])
    expect(set.records[0]!.timestampMs).toBe(777n)
  })

  it('below the fetched offset are left out (a batch is always sent whole)', () => {
    const set = decode([{ baseOffset: 0, records: [{ value: 'a' }, { value: 'b' }, { value: 'c' }] }], {
      from: 2,
    })
    expect(values(set)).toEqual(['c'])
    expect(set.nextOffset).toBe(3n)
  })

  it.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)('are read from %s', (codec) => {
    const records = Array.from({ length: 500 }, (_, index) => ({ value: `value ${index % 7}` }))
    expect(values(decode([{ baseOffset: 0, codec, records }]))).toEqual(records.map(({ value }) => value))
  })
})

describe('where a fetch ends', () => {
  it('is behind what compaction removed at the end of a batch', () => {
    const set = decode([{ baseOffset: 5, lastOffsetDelta: 9, records: [{ value: 'a', offsetDelta: 2 }] }], {
      from: 5,
    })
    expect(values(set)).toEqual(['a'])
    expect(set.nextOffset).toBe(15n)
  })

  it('is behind a batch that compaction emptied', () => {
    const set = decode([{ baseOffset: 5, lastOffsetDelta: 4, records: [] }], { from: 5 })
    expect(set).toMatchObject({ records: [], nextOffset: 10n, failure: undefined })
  })

  it('is behind aborted records and markers', () => {
    const set = decode([transactional(0, 1, 'x'), { baseOffset: 1, producerId: 1, control: 'abort' }], {
      aborted: [{ producerId: '1', firstOffset: '0' }],
    })
    expect(set).toMatchObject({ records: [], nextOffset: 2n })
  })

  it('is before a batch that the byte limit cut off', () => {
    const whole = batchBytes({ baseOffset: 0 })
    const cut = batchBytes({ baseOffset: 1, records: [{ value: 'x'.repeat(100) }] })
    for (const length of [1, 16, 61, cut.length - 1]) {
      const set = decode([whole, cut.subarray(0, length)])
      expect(set).toMatchObject({ nextOffset: 1n, failure: undefined })
    }
  })

  it('is where it began when nothing came', () => {
    expect(decode([], { from: 7 })).toMatchObject({ records: [], nextOffset: 7n, failure: undefined })
  })
})

describe('aborted transactions', () => {
  /** Two producers in one partition; the broker lists aborted transactions in the order of their end. */
  const overlapping: { batches: BatchFixture[]; aborted: AbortedTransaction[] } = {
    batches: [
      transactional(0, 1, 'aborted 1'),
      transactional(1, 2, 'aborted 2'),
      transactional(2, 3, 'committed 3'),
      { baseOffset: 3, producerId: 2, control: 'abort' },
      transactional(4, 2, 'committed 2'),
      transactional(5, 1, 'aborted 1 again'),
      { baseOffset: 6, producerId: 1, control: 'abort' },
      { baseOffset: 7, producerId: 2, control: 'commit' },
      { baseOffset: 8, producerId: 3, control: 'commit' },
      transactional(9, 1, 'committed 1'),
      { baseOffset: 10, producerId: 1, control: 'commit' },
    ],
    aborted: [
      { producerId: '2', firstOffset: '1' },
      { producerId: '1', firstOffset: '0' },
    ],
  }

  it('are left out whatever the order of the list, and only they', () => {
    const { batches, aborted } = overlapping
    expect(values(decode(batches, { aborted }))).toEqual(['committed 3', 'committed 2', 'committed 1'])
    expect(values(decode(batches, { aborted: aborted.toReversed() }))).toHaveLength(3)
  })

  it("pass the client's own filter, which is why it is replaced", () => {
    const original = require('kafkajs/src/consumer/filterAbortedMessages') as (
      options: object,
    ) => { value: string }[]
    const messages = overlapping.batches.map((batch) => ({
      offset: String(batch.baseOffset),
      key: batch.control ? Buffer.from([0, 0, 0, batch.control === 'abort' ? 0 : 1]) : null,
      value: batch.records?.[0]?.value,
      isControlRecord: batch.control !== undefined,
      batchContext: { producerId: String(batch.producerId), inTransaction: true },
    }))
    const kept = original({ messages, abortedTransactions: overlapping.aborted }).map(({ value }) => value)
    expect(kept).toContain('aborted 1')
  })

  it('a normal record with the key of an abort marker ends nothing', () => {
    const disguised: BatchFixture = {
      baseOffset: 0,
      producerId: 1,
      transactional: true,
      records: [{ key: Buffer.from([0, 0, 0, 0]), value: 'a' }, { value: 'b' }],
    }
    const set = decode(
      [disguised, transactional(2, 1, 'c'), { baseOffset: 3, producerId: 1, control: 'abort' }],
      {
        aborted: [{ producerId: '1', firstOffset: '0' }],
      },
    )
    expect(values(set)).toEqual([])
  })

  it('several of one producer, each ended by its own marker', () => {
    const set = decode(
      [
        transactional(0, 1, 'x'),
        { baseOffset: 1, producerId: 1, control: 'abort' },
        transactional(2, 1, 'good'),
        { baseOffset: 3, producerId: 1, control: 'commit' },
        transactional(4, 1, 'y'),
        { baseOffset: 5, producerId: 1, control: 'abort' },
      ],
      {
        aborted: [
          { producerId: '1', firstOffset: '4' },
          { producerId: '1', firstOffset: '0' },
        ],
      },
    )
    expect(values(set)).toEqual(['good'])
  })

  it('do not hide records of the same producer outside of transactions', () => {
    const plain: BatchFixture = { baseOffset: 1, producerId: 1, records: [{ value: 'plain' }] }
    const set = decode([transactional(0, 1, 'x'), plain], {
      aborted: [{ producerId: '1', firstOffset: '0' }],
    })
    expect(values(set)).toEqual(['plain'])
  })

  it('begun before this fetch are left out from its first record on', () => {
    const set = decode([transactional(5, 1, 'x'), transactional(6, 2, 'y')], {
      from: 5,
      aborted: [{ producerId: '1', firstOffset: '2' }],
    })
    expect(values(set)).toEqual(['y'])
  })

  it('agree with a model that knows each transaction, in any interleaving', () => {
    const step = fc.record({ producer: fc.nat(3), end: fc.constantFrom(undefined, 'abort', 'commit') })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { batches, aborted, visible } = simulate(steps)
        expect(values(decode(batches, { aborted }))).toEqual(visible)
      }),
    )
  })
})

/** Plays transactions of four producers; the list of aborted ones is in order of their end, as the broker's. */
function simulate(steps: { producer: number; end: string | undefined }[]): {
  batches: BatchFixture[]
  aborted: AbortedTransaction[]
  visible: string[]
} {
  const batches: BatchFixture[] = []
  const aborted: AbortedTransaction[] = []
  const open = new Map<number, { first: number; values: string[] }>()
  const hidden = new Set<string>()
  const finish = (producer: number, end: 'abort' | 'commit') => {
    const transaction = open.get(producer)
    if (transaction === undefined) return
    open.delete(producer)
    batches.push({ baseOffset: batches.length, producerId: producer, control: end })
    if (end === 'commit') return
    aborted.push({ producerId: String(producer), firstOffset: String(transaction.first) })
    for (const value of transaction.values) hidden.add(value)
  }
  for (const { producer, end } of steps) {
    if (end === 'abort' || end === 'commit') {
      finish(producer, end)
      continue
    }
    const baseOffset = batches.length
    const transaction = open.get(producer) ?? { first: baseOffset, values: [] }
    open.set(producer, transaction)
    transaction.values.push(String(baseOffset))
    batches.push(transactional(baseOffset, producer, String(baseOffset)))
  }
  // The last stable offset: a reader sees nothing of open transactions, so all end here.
  for (const producer of [...open.keys()]) finish(producer, 'commit')
  const sent = batches
    .filter(({ control }) => control === undefined)
    .map(({ baseOffset }) => String(baseOffset))
  return { batches, aborted, visible: sent.filter((value) => !hidden.has(value)) }
}

describe('hostile bytes', () => {
  it('stop at the batch before, then fail with a code', () => {
    const good = batchBytes({ baseOffset: 0 })
    const bad = batchBytes({ baseOffset: 1, claimedCount: 5 })
    expect(decode([good, bad])).toMatchObject({ nextOffset: 1n, failure: undefined })
    const again = decode([bad], { from: 1 })
    expect(again).toMatchObject({ records: [], nextOffset: 1n, failure: { code: 'batch_undecodable' } })
  })

  it.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)('a %s bomb fails with a code', (codec) => {
    const bomb = batchBytes({ baseOffset: 0, codec, records: [{ value: Buffer.alloc(4 * 1024 * 1024) }] })
    expect(bomb.length).toBeLessThan(300_000)
    expect(decode([bomb], { bytesMax: 1024 * 1024 })).toMatchObject({ failure: { code: 'batch_too_large' } })
    expect(decode([bomb], { bytesMax: 5 * 1024 * 1024 })).toMatchObject({
      failure: undefined,
      nextOffset: 1n,
    })
  })

  it('many batches that are each within the limit are taken in parts', () => {
    const batch = (baseOffset: number): BatchFixture => ({
      baseOffset,
      codec: 'zstd',
      records: [{ value: Buffer.alloc(600_000) }],
    })
    const set = decode([batch(0), batch(1), batch(2), batch(3)], { fetchBytesMax: 1024 * 1024 })
    expect(set).toMatchObject({ nextOffset: 2n, failure: undefined })
  })

  it('never throw, whatever they are', () => {
    const valid = batchBytes({
      baseOffset: 0,
      records: [{ key: 'key', value: 'value', headers: [['a', 'b']] }, { value: 'x'.repeat(200) }],
    })
    const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255))
    fc.assert(
      fc.property(fc.array(change, { maxLength: 5 }), (changes) => {
        const bytes = Buffer.from(valid)
        for (const [position, byte] of changes) bytes[position] = byte
        const set = decode([bytes])
        expect(set.nextOffset >= 0n).toBe(true)
      }),
    )
  })
})
