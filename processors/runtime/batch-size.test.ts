/** The size of the next batch: grows while batches are full and quick, shrinks when they are slow, and stays in its bounds. */
import { describe, expect, it } from 'vitest'
import { BatchSize } from './batch-size.ts'

const BOUNDS = { recordsMin: 50, recordsMax: 8_000, wallMaxMs: 500 }

describe('the batch size', () => {
  it('begins within its bounds', () => {
    expect(new BatchSize(BOUNDS).current).toBe(250)
    expect(new BatchSize({ ...BOUNDS, recordsMax: 100 }).current).toBe(100)
    expect(new BatchSize({ ...BOUNDS, recordsMin: 3_000 }).current).toBe(3_000)
  })

  it('grows up to its most while batches are full and quick', () => {
    const size = new BatchSize(BOUNDS)
    for (let batch = 0; batch < 20; batch += 1) size.observe(size.current, 10)
    expect(size.current).toBe(8_000)
  })

  it('stays where batches are quick because they are small', () => {
    const size = new BatchSize(BOUNDS)
    size.observe(5, 1)
    expect(size.current).toBe(250)
  })

  it('stays where a full batch takes a fair part of the time', () => {
    const size = new BatchSize(BOUNDS)
    size.observe(250, 300)
    expect(size.current).toBe(250)
  })

  it('halves before the time allowed is used up, but not below its least', () => {
    const size = new BatchSize(BOUNDS)
    size.observe(250, 410)
    expect(size.current).toBe(125)
    for (let batch = 0; batch < 20; batch += 1) size.observe(size.current, 2_000)
    expect(size.current).toBe(50)
  })

  it('stays below a most that is less than its least', () => {
    const size = new BatchSize({ ...BOUNDS, recordsMax: 10 })
    size.shrink()
    expect(size.current).toBe(10)
  })

  it('halves after a batch that failed, and recovers', () => {
    const size = new BatchSize(BOUNDS)
    size.shrink()
    expect(size.current).toBe(125)
    size.observe(125, 10)
    expect(size.current).toBe(250)
  })
})
