/** The compact form of a cached balance keeps every value; anything else in Redis counts as missing. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type AccountBalance, decodeBalance, encodeBalance } from '#platform/redis/balance-value.ts'
import { CacheKeys, decodeState, encodeState, newGeneration, timelineOf } from '#platform/redis/cache-keys.ts'
import { reconnectDelayMs } from '#platform/redis/client.ts'

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const natural = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n })
const balances: fc.Arbitrary<AccountBalance> = fc.record({
  accountId: fc.string({ minLength: 1, maxLength: 128 }),
  currency: fc.constantFrom('EUR', 'JPY', 'KWD'),
  normalSide: fc.constantFrom('debit', 'credit'),
  posted: int64,
  reserved: natural,
  limited: fc.boolean(),
  overdraftLimit: natural,
  version: fc.record({ timeline: natural, sequence: natural }),
  recordedAtMs: fc.nat({ max: 2 ** 31 }).map((value) => value * 1000),
})

test('a balance survives its compact form, up to the edges of 64 bits', () => {
  fc.assert(
    fc.property(balances, (balance) => {
      expect(decodeBalance(balance.accountId, encodeBalance(balance))).toEqual(balance)
    }),
  )
})

test('what was not written by us is treated as missing', () => {
  for (const text of ['', '1|2|3', 'OK', '1|2|x|0|EUR|C|L|0|0', '1|2|3|0|EUR|C|L|0|0|9']) {
    expect(decodeBalance('a', text)).toBeUndefined()
  }
})

test('a generation names its timeline and never comes twice', () => {
  const generation = newGeneration(12n)
  expect(timelineOf(generation)).toBe(12n)
  expect(newGeneration(12n)).not.toBe(generation)
  const state = { generation, sequence: 2n ** 60n, recordedAtMs: 5 }
  expect(decodeState(encodeState(state))).toEqual(state)
  expect(decodeState(null)).toBeUndefined()
  expect(decodeState('garbage')).toBeUndefined()
})

test('all keys of a ledger share a hash tag, whatever the account is called', () => {
  const keys = new CacheKeys('main:')
  const all = [keys.state, keys.fresh, ...keys.pairs('1-x', ['a', '{b}', 'card:1'])]
  expect(all).toHaveLength(8)
  for (const key of all) expect(key.startsWith('main:{main}:')).toBe(true)
})

test('reconnection waits grow and stay below a second', () => {
  const delays = [1, 2, 3, 4, 5, 6, 50].map((attempt) => reconnectDelayMs(attempt, () => 1))
  expect(delays).toEqual([50, 100, 200, 400, 800, 1000, 1000])
})
