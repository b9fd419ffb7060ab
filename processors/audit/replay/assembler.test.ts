/** Inputs in the recorded order, and what is said where the records aren't those that were recorded. */
import { expect, it } from 'vitest'
import { batchAlone } from '../../runtime/batch-span.ts'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { transaction } from '#domain/ledger/testing/memory-ledger.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { RecordSource } from '../record-source.ts'
import { BatchAssembler, type BatchOrder } from './assembler.ts'

/** Partitions with records at the given offsets, handed out in chunks of two. */
const sourceOf = (partitions: Record<number, number[]>): RecordSource => ({
  async *read({ topic, partition, from, next }) {
    const offsets = (partitions[partition] ?? []).filter((offset) => offset >= from && offset < next)
    for (let at = 0; at < offsets.length; at += 2) {
      yield offsets.slice(at, at + 2).map(
        (offset): IngestRecord => ({
          topic,
          partition,
          offset: BigInt(offset),
          timestampMs: 0n,
          key: null,
          value: null,
          headers: undefined,
          sizeBytes: 1,
        }),
      )
    }
  },
  close: async () => undefined,
})

const decode = async (topic: string, records: readonly IngestRecord[]): Promise<LedgerInput[]> =>
  records.map(({ partition, offset }) => ({ ...transaction(), topic, partition, offset }))

const assemble = async (
  partitions: Record<number, number[]>,
  ...batches: Pick<BatchOrder, 'sources' | 'order' | 'skips'>[]
) => {
  const ends = new Map<number, bigint>()
  for (const { sources } of batches)
    for (const { partition, next } of sources) ends.set(partition, BigInt(next))
  const ranges = [...ends].map(([partition, next]) => ({
    cluster: 'c',
    topic: 't',
    partition,
    from: 0n,
    next,
    batches: batchAlone(1n),
  }))
  const assembler = new BatchAssembler(sourceOf(partitions), decode, ranges)
  const found = await Promise.all(batches.map((batch) => assembler.inputsOf({ cluster: 'c', ...batch })))
  await assembler.close()
  return found.map(({ inputs, problems }) => ({
    inputs: inputs.map((input) => `${input.type === 'advance' ? '>' : ''}${input.partition}:${input.offset}`),
    problems: problems.map(({ partition, offset, detail }) => `${partition}:${offset} ${detail}`),
  }))
}

const source = (partition: number, from: number, next: number) => ({
  topic: 't',
  partition,
  from: String(from),
  next: String(next),
  epoch: '1',
})

it('takes runs of partitions in the order of the headers, skipped stretches among them', async () => {
  const found = await assemble(
    { 0: [0, 1, 2, 5, 6], 1: [0, 1, 4] },
    {
      sources: [source(0, 0, 2), source(1, 0, 2)],
      order: [
        [1, 1],
        [0, 2],
        [1, 1],
      ],
      skips: [],
    },
    {
      sources: [source(0, 2, 7), source(1, 2, 6)],
      order: [
        [0, 2],
        [1, 3],
        [0, 2],
      ],
      skips: [
        [0, '4'],
        [1, '3'],
        [1, '5'],
      ],
    },
  )
  expect(found).toEqual([
    { inputs: ['1:0', '0:0', '0:1', '1:1'], problems: [] },
    { inputs: ['0:2', '>0:4', '>1:3', '1:4', '>1:5', '0:5', '0:6'], problems: [] },
  ])
})

it('says where records are missing, and goes on with the next batch', async () => {
  const found = await assemble(
    { 0: [0, 2, 3] },
    { sources: [source(0, 0, 3)], order: [[0, 3]], skips: [] },
    { sources: [source(0, 3, 5)], order: [[0, 2]], skips: [] },
  )
  expect(found).toEqual([
    { inputs: ['0:0', '0:2'], problems: ['0:3 1 records fewer than recorded'] },
    { inputs: ['0:3'], problems: ['0:5 1 records fewer than recorded'] },
  ])
})

it('says where there are records that no batch has, or that a batch passed over', async () => {
  const found = await assemble(
    { 0: [0, 1, 2, 3, 4, 5] },
    { sources: [source(0, 0, 3)], order: [[0, 2]], skips: [] },
    { sources: [source(0, 5, 6)], order: [[0, 1]], skips: [] },
  )
  expect(found).toEqual([
    { inputs: ['0:0', '0:1'], problems: ['0:2 1 records from here on not decided'] },
    { inputs: ['0:5'], problems: ['0:3 2 records from here on of no batch'] },
  ])
})

it('reads again what a position was set back to, where the header tells it', async () => {
  const range = (from: bigint, next: bigint) => ({
    cluster: 'c',
    topic: 't',
    partition: 0,
    from,
    next,
    batches: batchAlone(1n),
  })
  const ranges = [range(0n, 3n), range(1n, 4n)]
  const assembler = new BatchAssembler(sourceOf({ 0: [0, 1, 2, 3] }), decode, ranges)
  const batch = (from: number, next: number, jumps: BatchOrder['jumps'] = []): BatchOrder => ({
    cluster: 'c',
    sources: [source(0, from, next)],
    order: [[0, next - from]],
    skips: [],
    jumps,
  })
  const jump = (from: string | null, to: string) => ({ topic: 't', partition: 0, from, to })
  const batches = [batch(0, 3, [jump(null, '0')]), batch(1, 4, [jump('3', '1')])]
  const found = await Promise.all(batches.map((each) => assembler.inputsOf(each)))
  expect(found.map(({ problems }) => problems)).toEqual([[], []])
  expect(found.map(({ inputs }) => inputs.map(({ offset }) => Number(offset)))).toEqual([
    [0, 1, 2],
    [1, 2, 3],
  ])
})
