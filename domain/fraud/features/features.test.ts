/** Feature states: equal to what a plain list of payments says, in any order, and kept exactly by their bytes wherever they are cut. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeAcceptor, encodeAcceptor, newAcceptor } from './acceptor.ts'
import { acquaintanceCount, isKnown, meet, nameHash, newAcquaintances } from './acquaintances.ts'
import { decodeDevice, encodeDevice, newDevice } from './device.ts'
import { addLabel, DAY_MS, evidenceAt, newFeedback } from './feedback.ts'
import { addToHabit, newHabit, percentOfUsual, usualAmount } from './habit.ts'
import { noteLabelOf, notePaymentOf, observe, type PartyStates, type PaymentFacts } from './observe.ts'
import { decodePayer, encodePayer, newPayer, noteReceipt } from './payer.ts'
import { FEATURES, type FeatureValues } from './vector.ts'
import { addAt, newWindow, place, total } from './window.ts'

const START_MS = Date.UTC(2026, 0, 1)
const HOUR_MS = 3_600_000

const payments = fc.array(
  fc.record({
    at: fc.integer({ min: 0, max: 70 * 24 * 4 }).map((quarter) => START_MS + quarter * 900_000),
    amount: fc.oneof(fc.integer({ min: 0, max: 100_000 }), fc.constant(10 ** 15)),
    terminal: fc.constantFrom('t1', 't2', 't3'),
    country: fc.constantFrom(null, 'DE', 'FR'),
    isDeclined: fc.boolean(),
    isFraud: fc.boolean(),
  }),
  { maxLength: 60 },
)

const newStates = (): PartyStates => ({
  account: newPayer(),
  card: newPayer(),
  terminal: newAcceptor(),
  device: newDevice(),
})
const factsOf = (payment: { at: number; amount: number; terminal: string; country: string | null }) =>
  ({ ...payment, account: 'a', counterparty: payment.terminal }) satisfies PaymentFacts
const throughBytes = (states: PartyStates): PartyStates => ({
  account: decodePayer(encodePayer(states.account)),
  card: decodePayer(encodePayer(states.card!)),
  terminal: decodeAcceptor(encodeAcceptor(states.terminal!)),
  device: decodeDevice(encodeDevice(states.device!)),
})

test('a window holds what a plain list says, for records in any order', () => {
  const shape = { bucketMs: HOUR_MS, buckets: 24, columns: 1 }
  const times = fc.array(fc.integer({ min: 0, max: 100 }), { maxLength: 60 })
  fc.assert(
    fc.property(
      times,
      fc.integer({ min: 0, max: 110 }),
      fc.integer({ min: 1, max: 24 }),
      (hours, at, back) => {
        const window = newWindow(shape)
        let newest = -1
        const kept: number[] = []
        for (const hour of hours) {
          newest = Math.max(newest, hour)
          const cell = place(window, hour * HOUR_MS + 17)
          expect(cell >= 0).toBe(hour > newest - 24)
          if (cell < 0) continue
          addAt(window, cell, 1)
          kept.push(hour)
        }
        const expected = kept.filter((hour) => hour > newest - 24 && hour <= at && hour > at - back).length
        expect(total(window, at * HOUR_MS, 0, back)).toBe(expected)
      },
    ),
    { numRuns: 500 },
  )
})

test('counts and sums do not depend on the order in which payments came', () => {
  const near = fc.array(
    fc.record({ at: fc.integer({ min: 0, max: 23 }), amount: fc.integer({ min: 0, max: 10 ** 9 }) }),
    { maxLength: 30 },
  )
  const counted: (keyof FeatureValues)[] = [
    'account_count_1d',
    'account_sum_1d',
    'account_count_30d',
    'account_sum_30d',
    'terminal_count_1d',
    'device_count_1d',
  ]
  fc.assert(
    fc.property(near, (list) => {
      const seen = [list, list.toReversed()].map((order) => {
        const states = newStates()
        for (const { at, amount } of order) note(states, { at: START_MS + at * HOUR_MS, amount })
        return observe(plain({ at: START_MS + 23 * HOUR_MS, amount: 5 }), states).values
      })
      for (const feature of counted) expect(seen[1]![feature], feature).toBe(seen[0]![feature])
      expect(seen[0]!.account_count_1d).toBe(list.length + 1)
      expect(seen[0]!.account_sum_1d).toBe(list.reduce((sum, { amount }) => sum + amount, 5))
    }),
  )
})

const plain = (payment: { at: number; amount: number }) =>
  factsOf({ terminal: 't', country: null, ...payment })
const note = (states: PartyStates, payment: { at: number; amount: number }): void => {
  const facts = plain(payment)
  notePaymentOf(facts, states, { values: observe(facts, states).values, isDeclined: false })
}

test('states that went through their bytes after every payment say the same as those that never did', () => {
  fc.assert(
    fc.property(payments, (list) => {
      let whole = newStates()
      let cut = newStates()
      for (const payment of list) {
        const facts = factsOf(payment)
        const [a, b] = [observe(facts, whole), observe(facts, cut)]
        expect(b).toEqual(a)
        for (const value of Object.values(a.values))
          expect(Number.isSafeInteger(value) && value >= 0).toBe(true)
        for (const states of [whole, cut]) {
          notePaymentOf(facts, states, { values: a.values, isDeclined: payment.isDeclined })
          noteReceipt(states.account, payment.amount, payment.at)
          noteLabelOf(states, { at: payment.at, isFraud: payment.isFraud, wasUnusual: a.wasUnusual })
        }
        cut = throughBytes(cut)
      }
      expect(encodePayer(cut.account)).toEqual(encodePayer(whole.account))
      expect(encodeAcceptor(cut.terminal!)).toEqual(encodeAcceptor(whole.terminal!))
      expect(encodeDevice(cut.device!)).toEqual(encodeDevice(whole.device!))
      whole = cut
    }),
  )
})

test('every feature has a value, and only those of the list', () => {
  const { values } = observe(plain({ at: START_MS, amount: 1 }), newStates())
  expect(Object.keys(values).sort()).toEqual([...FEATURES].sort())
})

test('the fullest states stay within their bounds', () => {
  const states = newStates()
  for (let hour = 0; hour < 62 * 24; hour++) {
    const at = START_MS + hour * HOUR_MS
    for (const part of hour > 62 * 24 - 3 ? [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] : [0]) {
      const facts = { ...plain({ at: at + part * 300_000, amount: 10 ** 15 }), counterparty: `t${hour}` }
      const { values, wasUnusual } = observe(facts, states)
      for (const isDeclined of [false, true]) notePaymentOf(facts, states, { values, isDeclined })
      noteReceipt(states.account, 10 ** 15, facts.at)
      noteLabelOf(states, { at: facts.at, isFraud: hour % 2 === 0, wasUnusual })
    }
  }
  expect(encodePayer(states.account).length).toBeLessThan(6_144)
  expect(encodeAcceptor(states.terminal!).length).toBeLessThan(3_072)
  expect(encodeDevice(states.device!).length).toBeLessThan(1_024)
  expect(encodePayer(newPayer()).length).toBeLessThan(16)
})

test('bytes of another version, cut or too long are refused', () => {
  const states = newStates()
  note(states, { at: START_MS, amount: 100 })
  const codecs: [Buffer, (bytes: Uint8Array) => unknown][] = [
    [encodePayer(states.account), decodePayer],
    [encodeAcceptor(states.terminal!), decodeAcceptor],
    [encodeDevice(states.device!), decodeDevice],
  ]
  for (const [bytes, decode] of codecs) {
    expect(() => decode(Buffer.concat([Buffer.from([9]), bytes.subarray(1)]))).toThrow('version')
    expect(() => decode(Buffer.concat([bytes, Buffer.from([0])]))).toThrow()
    for (let length = 0; length < bytes.length; length++)
      expect(() => decode(bytes.subarray(0, length))).toThrow()
  }
})

test('habits: the mean of the first amounts, hardly moved by a run of large ones', () => {
  const habit = newHabit()
  for (const amount of [100, 300, 200, 200]) addToHabit(habit, amount)
  expect(usualAmount(habit)).toBe(200)
  expect(percentOfUsual(habit, 500)).toBe(250)
  for (let time = 0; time < 60; time++) addToHabit(habit, 200)
  for (let time = 0; time < 5; time++) addToHabit(habit, 100_000)
  expect(usualAmount(habit)).toBeLessThan(220)
  expect(percentOfUsual(newHabit(), 5)).toBe(100)
})

test('acquaintances: kept for 30 to 60 days, counted, and never forgotten too early', () => {
  const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { maxLength: 60 })
  fc.assert(
    fc.property(names, (list) => {
      const met = newAcquaintances()
      for (const name of list) meet(met, START_MS, nameHash(name))
      for (const name of list) {
        expect(isKnown(met, START_MS, nameHash(name))).toBe(true)
        expect(isKnown(met, START_MS + 30 * DAY_MS, nameHash(name))).toBe(true)
        expect(isKnown(met, START_MS + 60 * DAY_MS, nameHash(name))).toBe(false)
      }
      const counted = acquaintanceCount(met, START_MS)
      expect(counted).toBeLessThanOrEqual(list.length)
      expect(counted).toBeGreaterThanOrEqual(Math.floor(list.length * 0.9) - 2)
      meet(met, START_MS + 35 * DAY_MS, nameHash('somebody else'))
      for (const name of list) expect(isKnown(met, START_MS + 35 * DAY_MS, nameHash(name))).toBe(true)
    }),
  )
})

test('a label is used from the start of the seventh day after its payment, not earlier', () => {
  const feedback = newFeedback()
  const paidAt = START_MS + 23 * HOUR_MS
  addLabel(feedback, { at: paidAt, isFraud: true, wasUnusual: false })
  expect(evidenceAt(feedback, START_MS + 7 * DAY_MS - 1).ordinaryFrauds).toBe(0)
  expect(evidenceAt(feedback, START_MS + 7 * DAY_MS)).toMatchObject({ ordinaryFrauds: 1, labelled: 1 })
  expect(evidenceAt(feedback, START_MS + 34 * DAY_MS).ordinaryFrauds).toBe(1)
  expect(evidenceAt(feedback, START_MS + 35 * DAY_MS).ordinaryFrauds).toBe(0)
})

test('evidence tells a run of frauds that goes on from one that is over', () => {
  const feedback = newFeedback()
  const label = (day: number, isFraud: boolean, wasUnusual = false) =>
    addLabel(feedback, { at: START_MS + day * DAY_MS, isFraud, wasUnusual })
  label(0, false)
  label(2, true)
  label(3, true)
  label(3, true, true)
  const today = START_MS + 11 * DAY_MS
  expect(evidenceAt(feedback, today)).toEqual({
    labelled: 4,
    ordinaryFrauds: 2,
    unusualFrauds: 1,
    runFrauds: 2,
    runDays: 9,
    genuineSince: 0,
    firstFraudDays: 9,
  })
  label(4, false)
  expect(evidenceAt(feedback, today)).toMatchObject({ runFrauds: 0, genuineSince: 1, firstFraudDays: 9 })
})

test('a payment in another country, a receipt, and a payment after a long time are seen', () => {
  const states = newStates()
  const first = { ...plain({ at: START_MS, amount: 100 }), country: 'DE' }
  notePaymentOf(first, states, { values: observe(first, states).values, isDeclined: false })
  noteReceipt(states.account, 1_000, START_MS)
  const there = observe({ ...first, at: START_MS + 600_000, country: 'BR', amount: 800 }, states).values
  expect(there.country_changed_minutes).toBe(10)
  expect(there.account_out_in_percent_1d).toBe(90)
  expect(there.counterparty_is_new).toBe(0)
  expect(there.account_minutes_since_last).toBe(10)
  expect(observe({ ...first, at: START_MS + 200 * DAY_MS }, states).values.account_days_since_last).toBe(200)
  // 2026-01-03 is a Saturday.
  expect(observe({ ...first, at: START_MS + 2 * DAY_MS }, states).values).toMatchObject({
    is_weekend: 1,
    is_night: 1,
    hour_of_day: 0,
  })
})

test('a refused payment is a try: counted, but no habit and no acquaintance', () => {
  const states = newStates()
  for (let time = 0; time < 4; time++) note(states, { at: START_MS + time, amount: 100 })
  const refused = { ...plain({ at: START_MS + 10, amount: 900 }), counterparty: 'stranger' }
  notePaymentOf(refused, states, { values: observe(refused, states).values, isDeclined: true })
  expect(observe({ ...refused, at: START_MS + 20 }, states).values).toMatchObject({
    account_count_1h: 6,
    account_sum_1h: 2_200,
    account_declined_1d: 1,
    account_declined_percent_7d: 16,
    account_usual_amount: 100,
    account_history: 4,
    counterparty_is_new: 1,
    terminal_count_1d: 5,
    terminal_refused_percent_7d: 16,
    device_failed_1d: 1,
  })
})
