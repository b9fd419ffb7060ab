/** Latency that counts from when a transfer was due, in a histogram; and what is due when. */
import { expect, it } from 'vitest'
import { LatencyHistogram } from './latency-histogram.ts'
import { dueBy, SentLog } from './open-loop.ts'
import { numberOfId } from './watches.ts'

it('transfers are due by the clock, whatever was answered', () => {
  expect([0, 1, 999, 1_000, 60_000].map((ms) => dueBy(ms, 250))).toEqual([0, 0, 249, 250, 15_000])
})

it('what was sent is found by partition and offset', () => {
  const log = new SentLog()
  const at = (partition: number, offset: bigint) => ({ topic: 't', partition, offset })
  log.place(0, [at(0, 7n), at(1, 3n), at(0, 8n)])
  log.place(3, [at(1, 4n)])
  expect(log.partitions.get(0)).toEqual([
    { offset: 7n, transfer: 0 },
    { offset: 8n, transfer: 2 },
  ])
  expect(log.partitions.get(1)!.map(({ transfer }) => transfer)).toEqual([1, 3])
})

it('percentiles keep three digits and the tail', () => {
  const histogram = new LatencyHistogram()
  for (let ms = 1; ms <= 1_000; ms += 1) histogram.record(ms)
  const summary = histogram.summary()!
  expect(summary.samples).toBe(1_000)
  expect(summary.p50).toBeCloseTo(500, -1)
  expect(summary.p99).toBeCloseTo(990, -1)
  expect(summary.p999).toBeCloseTo(999, -1)
  expect(Math.abs(summary.max - 1_000)).toBeLessThan(2)
  expect(new LatencyHistogram().summary()).toBeNull()
})

it("a transfer's number is read from its id, and nobody else's", () => {
  expect(numberOfId('b1-1', 'b1')).toBe(0)
  expect(numberOfId('b1-zz', 'b1')).toBe(35 * 36 + 34)
  expect(numberOfId('b1-fund-0', 'b1')).toBeNull()
  expect(numberOfId('probe-b1-1', 'b1')).toBeNull()
})
