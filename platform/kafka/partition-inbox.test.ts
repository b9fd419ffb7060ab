/** Contiguity, splitting and fairness of what is taken. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { IngestRecord } from './ingest-record.ts'
import { type IngestChunk, PartitionInbox, RECORD_OVERHEAD_BYTES, takeFairly } from './partition-inbox.ts'

const RECORD_BYTES = 10
const UNLIMITED = { recordsMax: 1e9, bytesMax: 1e9 }

const inboxAt = (startOffset: bigint, partition = 0): PartitionInbox =>
  new PartitionInbox({
    topic: 't',
    partition,
    startOffset,
    bytesMax: 10 * (RECORD_BYTES + RECORD_OVERHEAD_BYTES),
  })

/** A fetch from `from` with records at the given offsets, ending at `next`. */
function chunk(from: bigint, offsets: number[], next: bigint, partition = 0): IngestChunk {
  const records = offsets.map(
    (offset): IngestRecord => ({
      topic: 't',
      partition,
      offset: BigInt(offset),
      timestampMs: 0n,
      key: null,
      value: null,
      headers: undefined,
      sizeBytes: RECORD_BYTES,
    }),
  )
  const bytes = records.length * RECORD_BYTES
  return { topic: 't', partition, fetchedOffset: from, nextOffset: next, highWatermark: next, records, bytes }
}
const offsetsOf = (taken: IngestChunk | undefined): number[] =>
  (taken?.records ?? []).map(({ offset }) => Number(offset))

describe('contiguity', () => {
  it('accepts only what begins where the last fetch ended', () => {
    const inbox = inboxAt(5n)
    expect(inbox.accept(chunk(6n, [6], 7n))).toBe('refused')
    expect(inbox.accept(chunk(0n, [0], 1n))).toBe('refused')
    expect(inbox.refusedInARow).toBe(2)
    expect(inbox.accept(chunk(5n, [5, 6], 8n))).toBe('accepted')
    expect(inbox.refusedInARow).toBe(0)
    expect(inbox.accept(chunk(7n, [7], 8n))).toBe('refused')
    expect(inbox.accept(chunk(8n, [], 8n))).toBe('nothing')
    expect(inbox.expectedOffset).toBe(8n)
    expect(offsetsOf(inbox.take(UNLIMITED, true))).toEqual([5, 6])
  })

  it('gives a fetch without records as a chunk, so that the position advances', () => {
    const inbox = inboxAt(0n)
    inbox.accept(chunk(0n, [], 7n))
    inbox.accept(chunk(7n, [], 9n))
    expect(inbox.take(UNLIMITED, true)).toMatchObject({ fetchedOffset: 0n, nextOffset: 9n, records: [] })
    expect(inbox.take(UNLIMITED, true)).toBeUndefined()
  })

  it('counts lag from what was taken, not from what was fetched', () => {
    const inbox = inboxAt(0n)
    inbox.accept({ ...chunk(0n, [0, 1], 2n), highWatermark: 10n })
    expect(inbox.lag).toBe(10n)
    inbox.take({ recordsMax: 1, bytesMax: 1e9 }, true)
    expect(inbox.lag).toBe(9n)
  })
})

describe('limits', () => {
  it('splits a chunk: the first part ends at the first record of the second', () => {
    const inbox = inboxAt(0n)
    inbox.accept(chunk(0n, [0, 4, 9], 20n))
    expect(inbox.take({ recordsMax: 1, bytesMax: 1e9 }, false)).toMatchObject({
      fetchedOffset: 0n,
      nextOffset: 4n,
    })
    expect(inbox.take({ recordsMax: 9, bytesMax: RECORD_BYTES }, false)).toMatchObject({
      fetchedOffset: 4n,
      nextOffset: 9n,
      bytes: RECORD_BYTES,
    })
    expect(inbox.take(UNLIMITED, false)).toMatchObject({ fetchedOffset: 9n, nextOffset: 20n })
  })

  it('gives a record above the byte limit alone, and only where asked to', () => {
    const inbox = inboxAt(0n)
    inbox.accept(chunk(0n, [0, 1], 2n))
    expect(inbox.take({ recordsMax: 9, bytesMax: 3 }, false)).toBeUndefined()
    expect(offsetsOf(inbox.take({ recordsMax: 9, bytesMax: 3 }, true))).toEqual([0])
  })

  it('is full above its bytes in memory and drained below half', () => {
    const inbox = inboxAt(0n)
    inbox.accept(chunk(0n, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 10n))
    expect(inbox.isFull).toBe(false)
    inbox.accept(chunk(10n, [10], 11n))
    expect(inbox.isFull).toBe(true)
    inbox.take({ recordsMax: 5, bytesMax: 1e9 }, false)
    expect(inbox.isBelowHalf).toBe(false)
    inbox.take({ recordsMax: 1, bytesMax: 1e9 }, false)
    expect(inbox.isBelowHalf).toBe(true)
  })

  it('any cutting gives the same records and meets at every cut', () => {
    const fetches = fc.array(fc.nat(4), { minLength: 1, maxLength: 8 })
    const cuts = fc.infiniteStream(
      fc.record({ recordsMax: fc.integer({ min: 1, max: 5 }), bytesMax: fc.constantFrom(15, 35, 1e9) }),
    )
    fc.assert(
      fc.property(fetches, cuts, (sizes, limits) => {
        const inbox = inboxAt(0n)
        let end = 0
        for (const size of sizes) {
          const offsets = Array.from({ length: size }, (_, index) => end + index)
          inbox.accept(chunk(BigInt(end), offsets, BigInt(end + size + 1)))
          end += size + 1
        }
        const seen: number[] = []
        let position = 0n
        for (
          let taken = inbox.take(limits.next().value, true);
          taken;
          taken = inbox.take(limits.next().value, true)
        ) {
          expect(taken.fetchedOffset).toBe(position)
          position = taken.nextOffset
          seen.push(...offsetsOf(taken))
        }
        expect(position).toBe(BigInt(end))
        expect(seen).toHaveLength(sizes.reduce((sum, size) => sum + size, 0))
        expect(seen).toEqual(seen.toSorted((a, b) => a - b))
      }),
    )
  })
})

describe('fairness', () => {
  const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
  const filled = (counts: number[]): PartitionInbox[] =>
    counts.map((count, partition) => {
      const inbox = inboxAt(0n, partition)
      if (count > 0) inbox.accept(chunk(0n, range(count), BigInt(count), partition))
      return inbox
    })
  const counts = (taken: { chunk: IngestChunk }[]): Record<number, number> =>
    Object.fromEntries(taken.map(({ chunk: { partition, records } }) => [partition, records.length]))

  it('shares the limit equally, and what one leaves over goes to the others', () => {
    const taken = takeFairly(filled([100, 2, 100]), { recordsMax: 30, bytesMax: 1e9 }, 0)
    expect(counts(taken)).toEqual({ 0: 14, 1: 2, 2: 14 })
  })

  it('a long backlog does not hold up the others', () => {
    const inboxes = filled([1000, 1, 1])
    expect(counts(takeFairly(inboxes, { recordsMax: 10, bytesMax: 1e9 }, 0))).toEqual({ 0: 8, 1: 1, 2: 1 })
  })

  it('rotates who is first, so that with a limit of one each has its turn', () => {
    const inboxes = filled([5, 5, 5])
    const firsts = range(6).map(
      (turn) => takeFairly(inboxes, { recordsMax: 1, bytesMax: 1e9 }, turn)[0]!.chunk.partition,
    )
    expect(firsts).toEqual([0, 1, 2, 0, 1, 2])
  })

  it('records above their share get their turn too', () => {
    const inboxes = filled([3, 3])
    const taken = range(6).flatMap((turn) => takeFairly(inboxes, { recordsMax: 9, bytesMax: 3 }, turn))
    expect(taken.map(({ chunk: { partition } }) => partition)).toEqual([0, 1, 0, 1, 0, 1])
  })

  it('gives nothing from nothing', () => {
    expect(takeFairly([], UNLIMITED, 3)).toEqual([])
    expect(takeFairly(filled([0, 0]), UNLIMITED, 1)).toEqual([])
  })
})
