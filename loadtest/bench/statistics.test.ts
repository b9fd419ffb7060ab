/** Medians, spreads and ratios of repeated measurements. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { median, pairedRatio, significant, spreadOf } from './statistics.ts'

describe('median', () => {
  it('is the middle of an odd number and the mean of the two in the middle of an even one', () => {
    expect(median([9, 1, 5])).toBe(5)
    expect(median([8, 1, 4, 100])).toBe(6)
    expect(() => median([])).toThrow(RangeError)
  })

  it('has as many values below as above it, whatever their order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const middle = median(values)
        const below = values.filter((value) => value < middle).length
        const above = values.filter((value) => value > middle).length
        return below <= values.length / 2 && above <= values.length / 2
      }),
    )
  })
})

it('a spread has the ends and the middle', () => {
  expect(spreadOf([3, 1, 2])).toEqual({ min: 1, median: 2, max: 3 })
})

describe('a paired ratio', () => {
  it('compares within rounds: a machine that was half as fast in one round changes nothing', () => {
    expect(pairedRatio([1_000, 500, 1_000], [100, 50, 100])).toBe(10)
  })

  it('is the median of the ratios, not the ratio of the medians', () => {
    // Medians 20 and 10 would say 2.
    expect(pairedRatio([10, 20, 90], [10, 5, 30])).toBe(3)
  })

  it('leaves out rounds in which one side is missing, and is null without any', () => {
    expect(pairedRatio([8, null, 6], [4, 1])).toBe(2)
    expect(pairedRatio([8], [null])).toBeNull()
    expect(pairedRatio([8], [0])).toBeNull()
    expect(pairedRatio([], [])).toBeNull()
  })
})

it('significant digits', () => {
  expect(significant(17_834.56)).toBe(17_830)
  expect(significant(0.123456)).toBe(0.1235)
  expect(significant(17_834.56, 2)).toBe(18_000)
})
