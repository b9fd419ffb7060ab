/** The decoder on batches made byte by byte: transactions, compaction, cut and hostile bytes. */
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type BatchFixture,
  batchBytes,
  decodeFixtures as decode,
  transactionalBatch as transactional,
  valuesOfSet as values,
} from './record-batches.fixtures.ts'
import type { AbortedTransaction } from './record-batches.ts'

const require = createRequire(import.meta.url)

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
