/** Patience grows with removals that follow each other, and goes back by itself. */
import { expect, test } from 'vitest'
import { MembershipPatience } from './membership-patience.ts'

const make = () => {
  const clock = { ms: 0 }
  return { clock, patience: new MembershipPatience(() => clock.ms) }
}

test('one removal changes nothing: it may have slept, and a dead one must be replaced soon', () => {
  const { clock, patience } = make()
  patience.removed()
  clock.ms = 25_000
  patience.removed()
  expect(patience.factor).toBe(1)
})

test('removals that follow each other double it, up to a limit', () => {
  const { patience } = make()
  const factors = Array.from({ length: 6 }, () => {
    patience.removed()
    return patience.factor
  })
  expect(factors).toEqual([1, 2, 4, 8, 8, 8])
})

test('left alone it goes back step by step', () => {
  const { clock, patience } = make()
  for (let count = 0; count < 4; count += 1) patience.removed()
  const later = [19_000, 21_000, 41_000, 61_000, 1_000_000].map((ms) => {
    clock.ms = ms
    return patience.factor
  })
  expect(later).toEqual([8, 4, 2, 1, 1])
})
