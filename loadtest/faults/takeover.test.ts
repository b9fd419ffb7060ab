/** Takeover times by the commit log: of owners that were hit, partition by partition. */
import { expect, test } from 'vitest'
import type { OffsetChange } from './commit-log.ts'
import { summaryOf, takeoversOf, unmeasuredOf } from './takeover.ts'

const commit = (partition: number, ownerPid: number, committedAtMs: number): OffsetChange => ({
  place: `transactions:${partition}`,
  oldNext: BigInt(committedAtMs),
  next: BigInt(committedAtMs + 1),
  oldEpoch: 1n,
  epoch: 1n,
  ownerPid,
  committedAtMs,
})

test('from the last commit of the owner to the first of the next, on each of its partitions', () => {
  const changes = [
    commit(0, 1, 1_000),
    commit(0, 2, 2_500),
    commit(1, 1, 1_100),
    commit(1, 3, 3_600),
    commit(2, 3, 1_000),
    commit(2, 3, 2_000),
  ]
  const hit = { pid: 1, atMs: 1_150, outMs: 1_250 }
  expect(takeoversOf(changes, [hit])).toEqual([{ hit, firstMs: 1_500, lastMs: 2_500, partitions: 2 }])
})

test('what a zombie does when it is an owner again is no part of it, nor is a partition that it gave away before', () => {
  const changes = [
    commit(0, 1, 1_000),
    commit(0, 2, 2_000),
    commit(0, 1, 9_000),
    commit(1, 1, 500),
    commit(1, 2, 600),
  ]
  const hit = { pid: 1, atMs: 1_050, outMs: 2_050 }
  expect(takeoversOf(changes, [hit])).toEqual([{ hit, firstMs: 1_000, lastMs: 1_000, partitions: 1 }])
})

test('taking a partition is no commit', () => {
  const taken = { ...commit(0, 2, 1_500), oldNext: 1_001n, next: 1_001n }
  const changes = [commit(0, 1, 1_000), taken, commit(0, 2, 3_000)]
  const [takeover] = takeoversOf(changes, [{ pid: 1, atMs: 1_050, outMs: 1_060 }])
  expect(takeover?.firstMs).toBe(2_000)
})

test('owners without a takeover: of each it is known why', () => {
  const changes = [
    // Nobody follows 1, though there is more to read; 2 gave its partition away; 3 goes on by itself; 5 follows 4; 6 has read all.
    commit(0, 1, 1_000),
    commit(1, 2, 500),
    commit(1, 9, 600),
    commit(2, 3, 1_000),
    commit(2, 3, 5_000),
    commit(3, 4, 1_000),
    commit(3, 5, 2_000),
    commit(4, 6, 1_000),
  ]
  const hits = [1, 2, 3, 4, 6, 7].map((pid) => ({ pid, atMs: 1_050, outMs: 2_050 }))
  const ends = new Map([
    ['transactions:0', 1_002n],
    ['transactions:4', 1_001n],
  ])
  expect(unmeasuredOf(changes, hits, ends).map(({ hit, followedBy }) => [hit.pid, followedBy])).toEqual([
    [1, 'nobody'],
    [2, 'no partition'],
    [3, 'itself'],
    [6, 'nothing left'],
    [7, 'no partition'],
  ])
})

test('percentiles by nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, place) => place + 1)
  expect(summaryOf(hundred)).toEqual({ p50: 50, p99: 99, max: 100, samples: 100 })
  expect(summaryOf([])).toEqual({ p50: 0, p99: 0, max: 0, samples: 0 })
})
