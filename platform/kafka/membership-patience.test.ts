/** Patience grows with removals that follow each other, and goes back by itself. */
import { expect, test } from 'vitest'
import { MembershipPatience } from './membership-patience.ts'

const make = () => {
  const clock = { ms: 0 }
  const patience = new MembershipPatience(() => clock.ms)
  /** Lets time pass in a process that runs. */
  const run = (untilMs: number) => {
    while (clock.ms < untilMs) {
      clock.ms += 200
      patience.beat()
    }
  }
  return { clock, patience, run }
}

test('one removal changes nothing: it may have slept, and a dead one must be replaced soon', () => {
  const { patience, run } = make()
  patience.removed()
  run(25_000)
  patience.removed()
  expect(patience.factor).toBe(1)
})

test('removals that follow each other double it, up to a limit', () => {
  const { patience, run } = make()
  const factors = Array.from({ length: 6 }, (_, count) => {
    run(count * 2_000)
    patience.removed()
    return patience.factor
  })
  expect(factors).toEqual([1, 2, 4, 8, 8, 8])
})

test('left alone it goes back step by step', () => {
  const { patience, run } = make()
  for (let count = 0; count < 4; count += 1) patience.removed()
  const later = [19_000, 21_000, 41_000, 61_000, 1_000_000].map((ms) => {
    run(ms)
    return patience.factor
  })
  expect(later).toEqual([8, 4, 2, 1, 1])
})

test('a process that was frozen asks for no more patience, a slow one does', () => {
  const { clock, patience, run } = make()
  for (let count = 0; count < 3; count += 1) {
    run(clock.ms + 1_000)
    clock.ms += 4_000
    // Told by the group before, or just after, its timers run again.
    if (count === 1) run(clock.ms + 600)
    patience.removed()
  }
  expect(patience.factor).toBe(1)
  for (let count = 0; count < 2; count += 1) {
    run(clock.ms + 3_000)
    clock.ms += 2_000
    patience.removed()
  }
  expect(patience.factor).toBe(2)
})
