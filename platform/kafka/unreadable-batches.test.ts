/** The decoder on batches that were damaged, that nobody can read, or that unpack to more than a fetch may give. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type BatchFixture,
  batchBytes,
  decodeFixtures as decode,
  transactionalBatch as transactional,
  valuesOfSet as values,
  withChecksum,
} from './record-batches.fixtures.ts'
import type { RecordSet } from './record-batches.ts'

describe('bytes that are not what was written', () => {
  it('fail with a code, behind what could be read before them', () => {
    const good = batchBytes({ baseOffset: 0 })
    const bad = batchBytes({ baseOffset: 1, records: [{ value: 'amount 100' }] })
    bad[bad.length - 3]! ^= 1
    expect(decode([good, bad])).toMatchObject({ nextOffset: 1n, failure: undefined })
    expect(decode([bad], { from: 1 })).toMatchObject({
      records: [],
      nextOffset: 1n,
      failure: { code: 'checksum_mismatch' },
    })
  })

  it('fail too where they are of a format or codec that is not known here: good records may be in them', () => {
    const format = batchBytes({ baseOffset: 0 })
    format[16] = 3
    const codec = batchBytes({ baseOffset: 0 })
    codec[22] = 5
    const ancient = batchBytes({ baseOffset: 0 })
    ancient[16] = 1
    for (const batch of [format, withChecksum(codec), ancient]) {
      expect(decode([batch])).toMatchObject({ nextOffset: 0n, failure: { code: 'batch_undecodable' } })
    }
  })

  it('never throw, whatever they are', () => {
    const valid = batchBytes({
      baseOffset: 0,
      records: [{ key: 'key', value: 'value', headers: [['a', 'b']] }, { value: 'x'.repeat(200) }],
    })
    const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255))
    fc.assert(
      fc.property(fc.array(change, { maxLength: 5 }), fc.boolean(), (changes, isChecked) => {
        const bytes = Buffer.from(valid)
        for (const [position, byte] of changes) bytes[position] = byte
        const set = decode([isChecked ? withChecksum(bytes) : bytes])
        expect(set.nextOffset >= 0n).toBe(true)
        const offsets = set.records.map(({ offset }) => offset)
        expect(offsets).toEqual([...new Set(offsets)].toSorted((a, b) => Number(a - b)))
        if (offsets.length > 0) expect(set.nextOffset > offsets.at(-1)!).toBe(true)
      }),
    )
  })
})

describe('a batch that its producer made unreadable', () => {
  const stretch = (set: RecordSet) =>
    set.records.map(({ offset, unreadable }) => [unreadable?.code, unreadable?.firstOffset, offset])

  it('becomes one unreadable record at its last offset, with its bytes, and the next one is read', () => {
    const bad = batchBytes({ baseOffset: 1, lastOffsetDelta: 4, codec: 'zstd' })
    const broken = withChecksum(Buffer.concat([bad.subarray(0, 61), Buffer.alloc(bad.length - 61, 7)]))
    const set = decode([batchBytes({ baseOffset: 0 }), broken])
    expect(stretch(set)).toEqual([
      [undefined, undefined, 0n],
      ['batch_undecodable', 1n, 5n],
    ])
    expect(set).toMatchObject({ nextOffset: 6n, failure: undefined })
    expect(set.records[1]!.value).toEqual(broken)
    expect(set.records[1]!.unreadable!.detail).toContain('offsets 1 to 5')
  })

  it('gives its readable records first; the rest is the same wherever reading begins', () => {
    const records = [{ value: 'a' }, { value: 'b' }, { value: 'c', offsetDelta: 1 }]
    const outOfOrder = batchBytes({ baseOffset: 10, records, lastOffsetDelta: 3 })
    for (const from of [10, 11, 12, 13]) {
      const set = decode([outOfOrder], { from })
      expect(stretch(set).at(-1)).toEqual(['batch_undecodable', 12n, 13n])
      expect(set.records.length).toBe(Math.max(0, 12 - from) + 1)
      expect(set.nextOffset).toBe(14n)
    }
  })

  it.each([
    ['more records than it has', { claimedCount: 5, lastOffsetDelta: 4 }, [1n, 4n]],
    [
      'an offset outside of it',
      { records: [{ value: 'a' }, { value: 'b', offsetDelta: 9 }], lastOffsetDelta: 1 },
      [1n, 1n],
    ],
  ] as const)('claims %s', (_label, changes, [first, last]) => {
    const set = decode([{ baseOffset: 0, ...(changes as object) }])
    expect(stretch(set)).toEqual([
      [undefined, undefined, 0n],
      ['batch_undecodable', first, last],
    ])
  })

  it('claiming more records than it has offsets loses none', () => {
    expect(stretch(decode([{ baseOffset: 0, claimedCount: 5 }]))).toEqual([[undefined, undefined, 0n]])
  })

  it.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)('is a %s bomb', (codec) => {
    const records = [{ value: Buffer.alloc(4 * 1024 * 1024) }, { value: 'second' }]
    const bomb = batchBytes({ baseOffset: 7, codec, records })
    expect(bomb.length).toBeLessThan(300_000)
    const next = batchBytes({ baseOffset: 9 })
    const set = decode([bomb, next], { from: 7, bytesMax: 1024 * 1024 })
    // The rest of the fetch is left for the next one: each bomb costs as much time as its bound allows.
    expect(stretch(set)).toEqual([['batch_too_large', 7n, 8n]])
    expect(set).toMatchObject({ failure: undefined, nextOffset: 9n })
    expect(decode([bomb], { from: 7, bytesMax: 5 * 1024 * 1024 })).toMatchObject({ nextOffset: 9n })
  })

  it('an aborted one is left out like any other', () => {
    const bomb = batchBytes({
      ...transactional(0, 1, ''),
      codec: 'gzip',
      records: [{ value: Buffer.alloc(4 * 1024 * 1024) }],
    })
    const marker = batchBytes({ baseOffset: 1, producerId: 1, control: 'abort' })
    const aborted = [{ producerId: '1', firstOffset: '0' }]
    expect(decode([bomb, marker], { aborted })).toMatchObject({ records: [], nextOffset: 2n })
  })
})

describe('more than a fetch may give', () => {
  it('is taken in parts: batches', () => {
    const batch = (baseOffset: number): BatchFixture => ({
      baseOffset,
      codec: 'zstd',
      records: [{ value: Buffer.alloc(600_000) }],
    })
    const set = decode([batch(0), batch(1), batch(2), batch(3)], { fetchBytesMax: 1024 * 1024 })
    expect(set).toMatchObject({ nextOffset: 2n, failure: undefined })
  })

  it.each([
    ['bytes', { fetchBytesMax: 40 }],
    ['records', { fetchRecordsMax: 3 }],
  ])('is taken in parts: the records of one batch, by %s', (_label, bounds) => {
    const records = Array.from({ length: 20 }, (_, index) => ({ value: `value ${index}` }))
    const batch = batchBytes({ baseOffset: 5, codec: 'gzip', records, lastOffsetDelta: 30 })
    const seen: string[] = []
    let rounds = 0
    for (let from = 5n; from < 36n; rounds++) {
      const set = decode([batch], { from: Number(from), ...bounds })
      expect(set.nextOffset > from).toBe(true)
      expect(set.records.length).toBeLessThan(6)
      seen.push(...values(set))
      from = set.nextOffset
    }
    expect(seen).toEqual(records.map(({ value }) => value))
    expect(rounds).toBeGreaterThan(3)
  })

  it('does not keep a huge batch in memory for a few of its records', () => {
    const records = [{ value: 'small' }, { value: Buffer.alloc(100_000) }]
    const set = decode([{ baseOffset: 0, codec: 'zstd', records }], { fetchBytesMax: 1_000 })
    expect(set.records[0]!.value!.buffer.byteLength).toBeLessThan(100_000)
  })
})
