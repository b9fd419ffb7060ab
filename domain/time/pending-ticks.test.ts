/** Ticks: time follows the backlog, never overtakes it, and never depends on where batches are cut. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Tick } from '../transactions/command.ts'
import { addTick, advance, PENDING_TICKS_MAX, pendingTicksJson, restoreTicks } from './pending-ticks.ts'

const tick = (time: number, ends: Record<string, bigint>): Tick => ({
  time,
  actor: 'ticker',
  ends: Object.entries(ends).map(([name, end]) => {
    const [topic, partition] = name.split(':')
    return { topic: topic!, partition: Number(partition), end }
  }),
})
const none = new Map<string, bigint>()

test('a tick applies at once where every end was passed', () => {
  const state = restoreTicks(100)
  const offsets = new Map([['transactions:0', 5n]])
  expect(
    addTick(state, tick(200, { 'transactions:0': 5n, 'transactions:1': 0n, 'ticks:0': 99n }), offsets),
  ).toEqual([200])
  expect(state.nowMs).toBe(200)
  expect(pendingTicksJson(state)).toEqual([])
})

test('a tick waits for each partition it names', () => {
  const state = restoreTicks(100)
  expect(addTick(state, tick(200, { 'transactions:0': 2n, 'accounts:0': 1n }), none)).toEqual([])
  expect(advance(state, 'transactions:0', 1n)).toEqual([])
  expect(advance(state, 'transactions:0', 2n)).toEqual([])
  expect(advance(state, 'cards:0', 9n)).toEqual([])
  expect(state.nowMs).toBe(100)
  expect(advance(state, 'accounts:0', 1n)).toEqual([200])
  expect(advance(state, 'accounts:0', 2n)).toEqual([])
  expect(state.nowMs).toBe(200)
})

test('several apply in order of arrival, together where one record frees them', () => {
  const state = restoreTicks(0)
  addTick(state, tick(1, { 'a:0': 5n }), none)
  addTick(state, tick(2, { 'a:0': 5n, 'b:0': 1n }), none)
  addTick(state, tick(3, { 'a:0': 5n, 'b:0': 1n }), none)
  addTick(state, tick(4, { 'a:0': 9n, 'b:0': 1n }), none)
  expect(advance(state, 'b:0', 1n)).toEqual([])
  expect(advance(state, 'a:0', 7n)).toEqual([1, 2, 3])
  expect(advance(state, 'a:0', 9n)).toEqual([4])
})

test('an older or equal time than now, or than one pending, is ignored', () => {
  const state = restoreTicks(100)
  expect(addTick(state, tick(100, {}), none)).toEqual([])
  addTick(state, tick(200, { 'a:0': 1n }), none)
  addTick(state, tick(150, {}), none)
  addTick(state, tick(200, {}), none)
  expect(pendingTicksJson(state)).toEqual([{ time: 200, open: { 'a:0': '1' } }])
})

test.each<[string, Record<string, bigint>]>([
  ['names a smaller end, which was reached', { 'a:0': 3n }],
  ['names the partition no longer', {}],
])('an end that can’t be reached holds time back only until a later tick %s', (_label, ends) => {
  const state = restoreTicks(0)
  const offsets = new Map([['a:0', 3n]])
  expect(addTick(state, tick(1, { 'a:0': 2n ** 62n, 'b:7': 5n }), offsets)).toEqual([])
  expect(addTick(state, tick(2, { 'a:0': 2n ** 62n }), offsets)).toEqual([])
  expect(addTick(state, tick(3, ends), offsets)).toEqual([1, 2, 3])
})

test('a smaller end is still waited for, by the earlier ticks too', () => {
  const state = restoreTicks(0)
  addTick(state, tick(1, { 'a:0': 100n, 'b:0': 1n }), none)
  expect(addTick(state, tick(2, { 'a:0': 4n, 'b:0': 2n }), none)).toEqual([])
  expect(pendingTicksJson(state)).toEqual([
    { time: 1, open: { 'a:0': '4', 'b:0': '1' } },
    { time: 2, open: { 'a:0': '4', 'b:0': '2' } },
  ])
  expect(advance(state, 'b:0', 1n)).toEqual([])
  expect(advance(state, 'a:0', 4n)).toEqual([1])
})

test('pending ticks are bounded: when full, the newest gives way', () => {
  const state = restoreTicks(0)
  for (let time = 1; time <= PENDING_TICKS_MAX + 10; time++)
    addTick(state, tick(time, { 'a:0': BigInt(time) }), none)
  expect(state.pending).toHaveLength(PENDING_TICKS_MAX)
  expect(advance(state, 'a:0', 1n)).toEqual([1])
  expect(advance(state, 'a:0', 1_000n).at(-1)).toBe(PENDING_TICKS_MAX + 10)
})

test('what is not pending ticks is refused', () => {
  for (const json of [null, {}, [{}], [{ time: 'x', open: {} }], [{ time: 1, open: { a: 'x' } }]])
    expect(() => restoreTicks(0, json)).toThrow()
})

type Step = { type: 'record'; partition: number } | { type: 'tick'; later: number; behind: number[] }
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ type: fc.constant('record' as const), partition: fc.nat(2) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('tick' as const),
        later: fc.integer({ min: -2, max: 3 }),
        behind: fc.array(fc.integer({ min: -1, max: 4 }), { minLength: 3, maxLength: 3 }),
      }),
    },
  ),
  { maxLength: 60 },
)

/** The plain meaning: after every step, go through the pending ticks from the oldest. */
const plainTimes = (history: Step[]): number[][] => {
  const offsets = [0n, 0n, 0n]
  let pending: { time: number; ends: bigint[] }[] = []
  let now = 1_000
  let clock = 1_000
  return history.map((step) => {
    if (step.type === 'record') offsets[step.partition]! += 1n
    else {
      clock += step.later
      const ends = offsets.map((offset, partition) => offset + BigInt(step.behind[partition]!))
      if (clock > (pending.at(-1)?.time ?? now)) {
        for (const earlier of pending) {
          for (const [place, end] of ends.entries()) {
            if (end < earlier.ends[place]!) earlier.ends[place] = end
          }
        }
        pending.push({ time: clock, ends })
      }
    }
    const applied: number[] = []
    while (pending[0]?.ends.every((end, partition) => end <= offsets[partition]!)) {
      now = pending[0].time
      applied.push(now)
      pending = pending.slice(1)
    }
    return applied
  })
}

test('equal to the plain meaning, and the same wherever the state is stored and restored', () => {
  fc.assert(
    fc.property(steps, fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }), (history, cuts) => {
      const offsets = new Map<string, bigint>()
      let state = restoreTicks(1_000)
      let whole = restoreTicks(1_000)
      let clock = 1_000
      const times = history.map((step, place) => {
        if (cuts[place])
          state = restoreTicks(state.nowMs, JSON.parse(JSON.stringify(pendingTicksJson(state))))
        let applied: number[]
        let appliedWhole: number[]
        if (step.type === 'record') {
          const name = `p:${step.partition}`
          offsets.set(name, (offsets.get(name) ?? 0n) + 1n)
          applied = advance(state, name, offsets.get(name)!)
          appliedWhole = advance(whole, name, offsets.get(name)!)
        } else {
          clock += step.later
          const ends = Object.fromEntries(
            step.behind.map((behind, partition) => [
              `p:${partition}`,
              (offsets.get(`p:${partition}`) ?? 0n) + BigInt(behind),
            ]),
          )
          applied = addTick(state, tick(clock, ends), offsets)
          appliedWhole = addTick(whole, tick(clock, ends), offsets)
        }
        expect(appliedWhole).toEqual(applied)
        return applied
      })
      expect(times).toEqual(plainTimes(history))
      expect(pendingTicksJson(whole)).toEqual(pendingTicksJson(state))
      whole = state
    }),
  )
})
