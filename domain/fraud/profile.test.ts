/** Profiles: equal to a plain list of payments, whatever their order, and kept exactly by their encoding. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { activityUpTo, decodeProfile, encodeProfile, newProfile, recordActivity } from './profile.ts'

const START_MS = 1_767_225_600_000
const payments = fc.array(
  fc.record({
    at: fc.integer({ min: 0, max: 72 * 3_600_000 }).map((offset) => START_MS + offset),
    amount: fc.bigInt(0n, 10n ** 15n),
  }),
  { maxLength: 80 },
)

/** What a window should hold, from the list of payments: those in its buckets that were not yet too late when they came. */
const plain = (list: { at: number; amount: bigint }[], at: number, bucketMs: number, buckets: number) => {
  const bucket = (time: number) => Math.floor(time / bucketMs)
  let newest = Number.NEGATIVE_INFINITY
  const kept = list.filter((payment) => {
    newest = Math.max(newest, bucket(payment.at))
    return bucket(payment.at) > newest - buckets
  })
  const counted = kept.filter(
    (p) =>
      bucket(p.at) > newest - buckets && bucket(p.at) > bucket(at) - buckets && bucket(p.at) <= bucket(at),
  )
  const sum = counted.reduce((total, p) => total + p.amount, 0n)
  const most = BigInt(Number.MAX_SAFE_INTEGER)
  return { count: counted.length, sum: Number(sum > most ? most : sum) }
}

test('windows hold what a plain list says, for records in any order', () => {
  fc.assert(
    fc.property(payments, fc.integer({ min: 0, max: 96 * 3_600_000 }), (list, offset) => {
      const profile = newProfile()
      for (const { at, amount } of list) recordActivity(profile, at, amount)
      const at = START_MS + offset
      expect(activityUpTo(profile.hour, at)).toEqual(plain(list, at, 300_000, 12))
      expect(activityUpTo(profile.day, at)).toEqual(plain(list, at, 3_600_000, 24))
    }),
    { numRuns: 500 },
  )
})

test('what is encoded is decoded, also in between', () => {
  fc.assert(
    fc.property(payments, (list) => {
      const whole = newProfile()
      let cut = newProfile()
      for (const { at, amount } of list) {
        recordActivity(whole, at, amount)
        cut = decodeProfile(encodeProfile(cut))
        recordActivity(cut, at, amount)
      }
      expect(encodeProfile(cut)).toEqual(encodeProfile(whole))
      expect(activityUpTo(cut.hour, START_MS)).toEqual(activityUpTo(whole.hour, START_MS))
    }),
  )
})

test('sliding: an hour later the payment is gone from the hour, not from the day', () => {
  const profile = newProfile()
  recordActivity(profile, START_MS, 100n)
  expect(activityUpTo(profile.hour, START_MS + 3_599_999)).toEqual({ count: 1, sum: 100 })
  expect(activityUpTo(profile.hour, START_MS + 3_600_000)).toEqual({ count: 0, sum: 0 })
  expect(activityUpTo(profile.day, START_MS + 86_399_999)).toEqual({ count: 1, sum: 100 })
  expect(activityUpTo(profile.day, START_MS + 86_400_000)).toEqual({ count: 0, sum: 0 })
})

test('a late record is judged by what came before it in event time', () => {
  const profile = newProfile()
  recordActivity(profile, START_MS + 1_800_000, 5n)
  expect(activityUpTo(profile.hour, START_MS)).toEqual({ count: 0, sum: 0 })
  recordActivity(profile, START_MS, 7n)
  expect(activityUpTo(profile.hour, START_MS + 1_800_000)).toEqual({ count: 2, sum: 12 })
})

test('the fullest profile is encoded, an empty one is 3 bytes, one payment about 20', () => {
  const full = newProfile()
  for (let hour = 0; hour < 24; hour++)
    for (let part = 0; part < 12; part++)
      for (let n = 0; n < 10; n++)
        recordActivity(full, START_MS + hour * 3_600_000 + part * 300_000, 10n ** 15n)
  expect(decodeProfile(encodeProfile(full))).toEqual(full)
  expect(activityUpTo(full.day, START_MS + 86_399_999).sum).toBe(Number.MAX_SAFE_INTEGER)
  expect(encodeProfile(newProfile())).toHaveLength(3)
  const one = newProfile()
  recordActivity(one, START_MS, 12_345n)
  expect(encodeProfile(one).length).toBeLessThan(22)
  recordActivity(one, -1, 1n)
  expect(activityUpTo(one.hour, START_MS).count).toBe(1)
})

test('bytes of another version, cut or too long are refused', () => {
  const profile = newProfile()
  recordActivity(profile, START_MS, 12_345n)
  const bytes = encodeProfile(profile)
  expect(() => decodeProfile(Buffer.concat([Buffer.from([2]), bytes.subarray(1)]))).toThrow('version')
  for (let length = 0; length < bytes.length; length++)
    expect(() => decodeProfile(bytes.subarray(0, length))).toThrow()
  expect(() => decodeProfile(Buffer.concat([bytes, Buffer.from([0])]))).toThrow()
})
