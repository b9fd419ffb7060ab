/** Commands as JSON: all fields or nothing. */
import { expect, test } from 'vitest'
import { commandOfJson } from './command-json.ts'

const command = { id: 'a', pair: 'p', kind: 'note', subject: 's', body: '{}', actor: 'ann', occurredAt: 7 }

test('all fields, others are ignored', () => {
  expect(commandOfJson(JSON.stringify({ ...command, more: 1 }))).toEqual({ ...command, occurredAt: 7n })
})

test.each([
  '{',
  'null',
  '[]',
  JSON.stringify({ ...command, id: 1 }),
  JSON.stringify({ ...command, actor: undefined }),
  JSON.stringify({ ...command, occurredAt: '7' }),
  JSON.stringify({ ...command, occurredAt: 1e300 }),
])('nothing: %s', (text) => {
  expect(commandOfJson(text)).toBeNull()
})
