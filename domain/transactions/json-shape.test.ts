/** What a JSON text says of itself is what is read of it, except where a name comes twice. */
import { expect, test } from 'vitest'
import { jsonShape, membersOf } from './json-shape.ts'

test.each([
  ['{}', 1, 0],
  ['{"a":1,"b":{"c":[{"d":2},{"d":3}]}}', 4, 5],
  ['{"a:b":"c:{d","e\\"":":\\\\"}', 1, 2],
  ['[[["x:y"]]]', 3, 0],
  ['"{:"', 0, 0],
])('%s has %i levels and %i members', (json, depth, members) => {
  expect(jsonShape(json)).toEqual({ depth, members })
  expect(membersOf(JSON.parse(json))).toBe(members)
})

test.each(['{"a":1,"a":2}', '{"a":{"b":1},"a":{"b":1,"c":2}}', '[{"a":1},{"a":1,"\\u0061":2}]'])(
  '%s says more than is read',
  (json) => {
    expect(membersOf(JSON.parse(json))).toBeLessThan(jsonShape(json).members)
  },
)
