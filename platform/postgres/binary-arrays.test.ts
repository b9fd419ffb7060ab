/** Values in the binary forms of Postgres. */
import { expect, test } from 'vitest'
import { timestampArray } from './binary-arrays.ts'

const EPOCH_MS = Date.UTC(2000, 0, 1)

test.each([0, Date.UTC(2026, 10, 21), -62_135_596_799_999, 253_402_300_799_999])(
  'the time %i is exact to the millisecond',
  (timeMs) => {
    const bytes = timestampArray([timeMs])
    expect(bytes.readBigInt64BE(bytes.length - 8)).toBe(BigInt(timeMs - EPOCH_MS) * 1000n)
  },
)
