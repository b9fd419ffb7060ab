/** Cursors are opaque, exact, and refuse what isn't one. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeCursor,
  encodeCursor,
  uuidFromNumbers,
  uuidToNumbers,
} from '#platform/postgres/queries/cursor.ts'

const numbers = fc.array(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), { minLength: 1, maxLength: 5 })

test('a cursor survives its text', () => {
  fc.assert(
    fc.property(numbers, (cursor) => {
      const text = encodeCursor(cursor)
      expect(text).toMatch(/^[\w-]+$/)
      expect(decodeCursor(text, cursor.length)).toEqual(cursor)
      expect(decodeCursor(text, cursor.length + 1)).toBeUndefined()
    }),
  )
})

test('anything else is refused', () => {
  const wrong = ['', 'x', 'a b', encodeCursor([-1n]), encodeCursor([2n ** 63n]), 'A'.repeat(300), '../..']
  for (const text of wrong) expect(decodeCursor(text, 1)).toBeUndefined()
  fc.assert(fc.property(fc.string(), (text) => void decodeCursor(text, 2)))
})

test('a UUID survives as four numbers', () => {
  fc.assert(
    fc.property(fc.uuid(), (uuid) => {
      expect(uuidFromNumbers(uuidToNumbers(uuid))).toBe(uuid.replaceAll('-', ''))
    }),
  )
})
