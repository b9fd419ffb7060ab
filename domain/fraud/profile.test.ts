/** Profiles: the same state at rest and in use. */
import { expect, test } from 'vitest'
import { notePayment } from './features/payer.ts'
import { decodeProfile, encodeProfile, newProfile, payerOf } from './profile.ts'

const AT = 1_767_225_600_000
const payment = {
  amount: 12_345,
  at: AT,
  counterparty: 7,
  country: 0,
  isNewCounterparty: true,
  isDeclined: false,
}

test('a profile that rests between payments is the one that never did', () => {
  const [resting, awake] = [newProfile(), newProfile()]
  for (let time = 0; time < 5; time++) {
    notePayment(payerOf(resting), { ...payment, at: AT + time * 3_600_000 })
    notePayment(payerOf(awake), { ...payment, at: AT + time * 3_600_000 })
    encodeProfile(resting)
  }
  expect(encodeProfile(resting)).toEqual(encodeProfile(awake))
  expect(payerOf(decodeProfile(encodeProfile(resting)))).toEqual(payerOf(awake))
})

test('new profiles share nothing; looking at one changes none of its bytes', () => {
  const [first, second] = [newProfile(), newProfile()]
  notePayment(payerOf(first), payment)
  const bytes = encodeProfile(second)
  payerOf(second)
  expect(encodeProfile(second)).toEqual(bytes)
  expect(encodeProfile(first)).not.toEqual(bytes)
})

test('one payment takes under 100 bytes', () => {
  const profile = newProfile()
  notePayment(payerOf(profile), payment)
  expect(encodeProfile(profile).length).toBeLessThan(100)
})

test('bytes of another version are refused at once, damaged ones when they are looked at', () => {
  const profile = newProfile()
  notePayment(payerOf(profile), payment)
  const bytes = encodeProfile(profile)
  expect(() => decodeProfile(Buffer.concat([Buffer.from([1]), bytes.subarray(1)]))).toThrow('version 1')
  expect(() => payerOf(decodeProfile(bytes.subarray(0, 20)))).toThrow('end')
})
