/** Waiting for outcomes: one question for all, bounded, and no wait without an end. */
import { expect, test } from 'vitest'
import { outcomeOf } from '#api/fixtures.ts'
import { OutcomeWaiter } from '#api/gateway/outcome-waiter.ts'

const key = (place: number) => place.toString(16).padStart(32, '0')
const outcome = (place: number) => outcomeOf({ key: key(place), content: key(0) })

test('a thousand waiters are asked for in one question a round', async () => {
  const questions: number[] = []
  const decided = new Set<string>()
  const waiter = new OutcomeWaiter({
    readOutcomes: async (keys) => {
      questions.push(keys.length)
      return keys.filter((each) => decided.has(each)).map((each) => outcomeOf({ key: each, content: key(0) }))
    },
    intervalMinMs: 1,
    intervalMaxMs: 5,
  })
  const waits = Array.from({ length: 1000 }, (_, place) => waiter.wait(key(place), 60_000))
  // Nobody is told yet, so each round asks for all of them, and there are some rounds.
  await expect.poll(() => questions.length, { timeout: 15_000, interval: 1 }).toBeGreaterThan(3)
  expect(new Set(questions.slice(1, 4))).toEqual(new Set([1000]))
  for (let place = 0; place < 1000; place += 1) decided.add(key(place))
  const asked = questions.length
  const found = await Promise.all(waits)
  expect(questions.length - asked).toBeLessThanOrEqual(2)
  expect(found.map((each) => each?.key)).toEqual(found.map((_, place) => key(place)))
})

test('two that wait for the same are both told', async () => {
  const waiter = new OutcomeWaiter({ readOutcomes: async () => [outcome(1)] })
  const both = await Promise.all([waiter.wait(key(1), 15_000), waiter.wait(key(1), 15_000)])
  expect(both.map((each) => each?.status)).toEqual(['applied', 'applied'])
})

test('a wait ends at its time, and when the waiter is closed', async () => {
  const waiter = new OutcomeWaiter({ readOutcomes: async () => [] })
  const startedMs = performance.now()
  expect(await waiter.wait(key(1), 30)).toBeUndefined()
  expect(performance.now() - startedMs).toBeLessThan(15_000)
  expect(await waiter.wait(key(1), 0)).toBeUndefined()
  const endless = waiter.wait(key(2), 60_000)
  waiter.close()
  expect(await endless).toBeUndefined()
  expect(await waiter.wait(key(3), 60_000)).toBeUndefined()
})

test('waiters are bounded', async () => {
  const counts: number[] = []
  const waiter = new OutcomeWaiter({
    readOutcomes: async () => [],
    waitersMax: 2,
    onWaiters: (count) => counts.push(count),
  })
  const waits = [waiter.wait(key(1), 40), waiter.wait(key(2), 40)]
  expect(waiter.isFull).toBe(true)
  await expect(waiter.wait(key(3), 40)).rejects.toMatchObject({ code: 'too_many_waiters', retriable: true })
  await Promise.all(waits)
  expect(waiter.isFull).toBe(false)
  expect(counts.at(-1)).toBe(0)
})

test('a failing question is asked again', async () => {
  let questions = 0
  const failures: unknown[] = []
  const waiter = new OutcomeWaiter({
    readOutcomes: async () => {
      questions += 1
      if (questions < 3) throw new Error('away')
      return [outcome(1)]
    },
    intervalMinMs: 1,
    onPollFailed: (error) => failures.push(error),
  })
  expect((await waiter.wait(key(1), 15_000))?.sequence).toBe(7n)
  expect(failures).toHaveLength(2)
})
