/** A cached balance is right, or says in which way it isn't. */
import { expect, it } from 'vitest'
import { cacheDifference } from './audit-cache.ts'
import { type AccountBalance, encodeBalance } from './balance-value.ts'

const stored: AccountBalance = {
  accountId: 'a',
  currency: 'EUR',
  normalSide: 'credit',
  posted: 100n,
  reserved: 5n,
  limited: true,
  overdraftLimit: 0n,
  version: { timeline: 2n, sequence: 10n },
  recordedAtMs: 1,
}
const kindOf = (changes: Partial<AccountBalance>, applied = 10n) =>
  cacheDifference(stored, encodeBalance({ ...stored, ...changes }), applied)?.kind

it('compares version and content', () => {
  expect(kindOf({})).toBeUndefined()
  expect(kindOf({ recordedAtMs: 99 })).toBeUndefined()
  expect(cacheDifference(stored, undefined, 10n)).toBeNull()
  expect(cacheDifference(stored, 'nonsense', 10n)?.kind).toBe('unreadable')
  expect(kindOf({ posted: 101n })).toBe('different')
  expect(kindOf({ reserved: 0n })).toBe('different')
  expect(kindOf({ limited: false })).toBe('different')
  expect(kindOf({ version: { timeline: 2n, sequence: 11n } })).toBe('newer')
  expect(kindOf({ version: { timeline: 3n, sequence: 1n } })).toBe('newer')
  expect(kindOf({ version: { timeline: 1n, sequence: 10n } })).toBe('older')
  expect(kindOf({ version: { timeline: 2n, sequence: 9n } })).toBe('older')
  // The publisher hasn't come so far yet.
  expect(kindOf({ version: { timeline: 2n, sequence: 9n } }, 9n)).toBeUndefined()
})
