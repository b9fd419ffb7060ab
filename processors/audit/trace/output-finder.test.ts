/** A message is found in few reads, over gaps too, and nothing is found that isn't there. */
import { expect, it } from 'vitest'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import { findOutput, type OutputPartition } from './output-finder.ts'

/** Batches of 7 messages; every tenth offset is a marker without a record. */
const record = (offset: number): IngestRecord => ({
  topic: 't',
  partition: 0,
  offset: BigInt(offset),
  timestampMs: 0n,
  key: Buffer.from(`k${offset}`),
  value: Buffer.alloc(0),
  headers: undefined,
  sizeBytes: 0,
})
const sequenceAt = (offset: bigint): bigint => offset / 7n + 1n

const partition = (start: number, end: number) => {
  let reads = 0
  const made: OutputPartition = {
    start: BigInt(start),
    end: BigInt(end),
    async *read(from, next) {
      reads += 1
      for (let at = Number(from); at < Number(next); at += 50) {
        const chunk = Array.from({ length: Math.min(50, Number(next) - at) }, (_, n) => at + n)
          .filter((offset) => offset % 10 !== 9)
          .map(record)
        if (chunk.length > 0) yield chunk
      }
    },
    sequenceOf: async ({ offset }) => sequenceAt(offset),
  }
  return { made, reads: () => reads }
}

it('finds each message of a long partition in few reads', async () => {
  for (const offset of [0, 1, 777, 5_000, 99_998]) {
    const { made, reads } = partition(0, 100_000)
    const key = `k${offset}`
    const found = await findOutput(made, sequenceAt(BigInt(offset)), (each) => each.key!.toString() === key)
    expect(found).toBe(BigInt(offset))
    expect(reads()).toBeLessThan(20)
  }
})

it('finds nothing that is not there, or not there any more', async () => {
  expect(await findOutput(partition(0, 1_000).made, 3n, () => false)).toBeNull()
  expect(await findOutput(partition(0, 1_000).made, 10_000n, () => true)).toBeNull()
  expect(await findOutput(partition(500, 1_000).made, 3n, () => true)).toBeNull()
  expect(await findOutput(partition(0, 0).made, 1n, () => true)).toBeNull()
})
