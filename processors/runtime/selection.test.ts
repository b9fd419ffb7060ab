/** Choosing the next batch: order within a partition, limits, and waiting for the record that another one names. */
import { describe, expect, it } from 'vitest'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { transaction } from '#domain/ledger/testing/memory-ledger.ts'
import type { Position } from '#domain/transactions/command.ts'
import type { ClaimedPartition } from '#platform/postgres/ledger-store/store.ts'
import { Backlog, type TimedOutWait } from './selection.ts'

const claimOf = (partition: number): ClaimedPartition => ({
  topic: 'transactions',
  partition,
  nextOffset: 0n,
  epoch: 1n,
  last: null,
  topicId: null,
})

/** Inputs of one partition from an offset on; `after` by place. */
const chunkOf = (
  claim: ClaimedPartition,
  from: bigint,
  count: number,
  after: Readonly<Record<number, Position>> = {},
) => {
  const inputs: LedgerInput[] = Array.from({ length: count }, (_, place) => ({
    ...transaction({ id: `${claim.partition}:${from + BigInt(place)}`, after: after[place] ?? null }),
    partition: claim.partition,
    offset: from + BigInt(place),
  }))
  return {
    claim,
    from,
    inputs,
    bytes: count,
    records: inputs.map(({ offset }) => () => ({ offset, hash: Buffer.alloc(0), timestampMs: 0 })),
  }
}

const idsOf = (selection: ReturnType<Backlog['select']>): string[] =>
  selection.flatMap((part) =>
    part.inputs.map((input) => (input.type === 'transaction' ? input.command.id : input.type)),
  )

const NOWHERE = new Map<string, bigint>()
const ACCOUNT_0: Position = { topic: 'accounts', partition: 0, offset: 4n }

describe('a selection', () => {
  it('takes at most so many, in the order of arrival', () => {
    const backlog = new Backlog()
    const [zero, one] = [claimOf(0), claimOf(1)]
    backlog.add(chunkOf(zero, 0n, 3))
    backlog.add(chunkOf(one, 10n, 3))
    expect(backlog.inputs).toBe(6)
    expect(idsOf(backlog.select(4, NOWHERE, 0))).toEqual(['0:0', '0:1', '0:2', '1:10'])
    expect(idsOf(backlog.select(100, NOWHERE, 0))).toHaveLength(6)
    expect(backlog.select(0, NOWHERE, 0)).toEqual([])
  })

  it('is the same again until it is taken out, and then what follows it', () => {
    const backlog = new Backlog()
    const claim = claimOf(0)
    backlog.add(chunkOf(claim, 0n, 3))
    backlog.add(chunkOf(claim, 3n, 2))
    const first = backlog.select(4, NOWHERE, 0)
    expect(idsOf(backlog.select(4, NOWHERE, 0))).toEqual(idsOf(first))
    // Only a part of it was decided.
    backlog.take(first, 2)
    const rest = backlog.select(10, NOWHERE, 0)
    expect(idsOf(rest)).toEqual(['0:2', '0:3', '0:4'])
    expect(rest[0]!.from).toBe(2n)
    backlog.take(rest, 3)
    expect(backlog.inputs).toBe(0)
  })

  it('removes nothing where nothing was decided, and says where the last record stands', () => {
    const backlog = new Backlog()
    backlog.add(chunkOf(claimOf(0), 5n, 3))
    const selection = backlog.select(10, NOWHERE, 0)
    backlog.take(selection, 0)
    expect(backlog.inputs).toBe(3)
    expect(selection[0]!.lastRecord(2)?.offset).toBe(6n)
  })

  it('finds the last record before a skipped stretch', () => {
    const backlog = new Backlog()
    const chunk = chunkOf(claimOf(0), 0n, 2)
    chunk.inputs.push({ type: 'advance', topic: 'transactions', partition: 0, offset: 9n })
    chunk.records.push(() => null as never)
    backlog.add(chunk)
    expect(backlog.select(10, NOWHERE, 0)[0]!.lastRecord(3)?.offset).toBe(1n)
  })

  it('refuses to take out what it no longer has', () => {
    const backlog = new Backlog()
    backlog.add(chunkOf(claimOf(0), 0n, 2))
    const selection = backlog.select(10, NOWHERE, 0)
    backlog.clear()
    expect(() => backlog.take(selection, 1)).toThrow(/no longer/)
  })
})

describe('a record that names another one', () => {
  it('waits for it with all that stands behind it in its partition; others go on', () => {
    const backlog = new Backlog()
    const [zero, one] = [claimOf(0), claimOf(1)]
    backlog.add(chunkOf(zero, 0n, 3, { 1: ACCOUNT_0 }))
    backlog.add(chunkOf(zero, 3n, 1))
    backlog.add(chunkOf(one, 0n, 1))
    const before = new Map([['accounts:0', 4n]])
    expect(idsOf(backlog.select(10, before, 0))).toEqual(['0:0', '1:0'])
    const applied = new Map([['accounts:0', 5n]])
    expect(idsOf(backlog.select(10, applied, 100))).toEqual(['0:0', '0:1', '0:2', '0:3', '1:0'])
  })

  it('goes with it where that stands before it in the same selection', () => {
    const backlog = new Backlog()
    backlog.add(chunkOf(claimOf(0), 0n, 2))
    backlog.add(chunkOf(claimOf(1), 0n, 1, { 0: { topic: 'transactions', partition: 0, offset: 1n } }))
    expect(idsOf(backlog.select(10, NOWHERE, 0))).toEqual(['0:0', '0:1', '1:0'])
    expect(idsOf(backlog.select(1, NOWHERE, 0))).toEqual(['0:0'])
  })

  it('waits ten seconds at most', () => {
    const backlog = new Backlog()
    backlog.add(chunkOf(claimOf(0), 0n, 2, { 0: ACCOUNT_0 }))
    expect(backlog.select(10, NOWHERE, 1_000)).toEqual([])
    expect(backlog.select(10, NOWHERE, 10_999)).toEqual([])
    expect(idsOf(backlog.select(10, NOWHERE, 11_000))).toEqual(['0:0', '0:1'])
  })

  it('says once which record went without which, and which partitions wait', () => {
    const told: TimedOutWait[] = []
    const backlog = new Backlog((wait) => told.push(wait))
    const claim = claimOf(0)
    backlog.add(chunkOf(claim, 0n, 3, { 1: ACCOUNT_0, 2: ACCOUNT_0 }))
    backlog.add(chunkOf(claimOf(1), 0n, 1))
    backlog.select(10, NOWHERE, 0)
    expect(backlog.waiting(9_999)).toEqual([claim])
    expect(told).toEqual([])
    backlog.select(10, NOWHERE, 10_000)
    backlog.select(10, NOWHERE, 10_001)
    expect(backlog.waiting(10_001)).toEqual([])
    expect(told).toEqual([{ topic: 'transactions', partition: 0, offset: 1n, after: ACCOUNT_0 }])
  })

  it('waits no longer, and is not told, where the record came', () => {
    const told: TimedOutWait[] = []
    const backlog = new Backlog((wait) => told.push(wait))
    backlog.add(chunkOf(claimOf(0), 0n, 1, { 0: ACCOUNT_0 }))
    backlog.select(10, NOWHERE, 0)
    const selection = backlog.select(10, new Map([['accounts:0', 5n]]), 9_000)
    expect(idsOf(selection)).toEqual(['0:0'])
    expect(backlog.waiting(9_000)).toEqual([])
    expect(told).toEqual([])
  })

  it('does not begin to wait anew where the selection with it could not be applied', () => {
    const backlog = new Backlog()
    backlog.add(chunkOf(claimOf(0), 0n, 1, { 0: ACCOUNT_0 }))
    backlog.select(10, NOWHERE, 0)
    expect(idsOf(backlog.select(10, NOWHERE, 10_000))).toEqual(['0:0'])
    expect(idsOf(backlog.select(10, NOWHERE, 10_100))).toEqual(['0:0'])
  })

  it('shares its wait with those behind it: a partition full of hopeless ones is not held up for each', () => {
    const backlog = new Backlog()
    backlog.add(chunkOf(claimOf(0), 0n, 3, { 0: ACCOUNT_0, 1: ACCOUNT_0, 2: ACCOUNT_0 }))
    backlog.select(10, NOWHERE, 0)
    expect(idsOf(backlog.select(10, NOWHERE, 10_000))).toEqual(['0:0', '0:1', '0:2'])
  })

  it('waits again for what came after it had gone without, where something of the partition is always here', () => {
    const told: TimedOutWait[] = []
    const backlog = new Backlog((wait) => told.push(wait))
    const claim = claimOf(0)
    backlog.add(chunkOf(claim, 0n, 3, { 1: ACCOUNT_0, 2: ACCOUNT_0 }))
    backlog.select(10, NOWHERE, 0)
    const without = backlog.select(2, NOWHERE, 10_000)
    backlog.add(chunkOf(claim, 3n, 2, { 1: ACCOUNT_0 }))
    backlog.take(without, 2)
    // What was here when the wait was over goes without, too; what came later doesn't.
    const wake = backlog.select(10, NOWHERE, 10_100)
    expect(idsOf(wake)).toEqual(['0:2', '0:3'])
    expect(backlog.waiting(10_100)).toEqual([claim])
    backlog.take(wake, 2)
    expect(backlog.select(10, NOWHERE, 20_099)).toEqual([])
    expect(idsOf(backlog.select(10, NOWHERE, 20_100))).toEqual(['0:4'])
    expect(told.map(({ offset }) => offset)).toEqual([1n, 4n])
  })
})
