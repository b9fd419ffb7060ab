/** Tables line up, and stored text can't steer a terminal. */
import { expect, test } from 'vitest'
import { table } from './table.ts'

test('columns are aligned, amounts to the right', () => {
  const rows = [
    ['account', 'balance'],
    ['a', '5.00'],
    ['long-name', '-1200.00'],
  ]
  expect(table(rows, [1])).toBe('account     balance\na              5.00\nlong-name  -1200.00')
})

test('control characters are shown as question marks', () => {
  expect(table([['a\u001b[2Jb\u009b\n']])).toBe('a?[2Jb??')
})
