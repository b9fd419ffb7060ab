/** Months of the calendar in UTC. */
import { expect, test } from 'vitest'
import { isMonth, monthAfter, monthOf, monthStartMs } from './months.ts'

test('a month begins with its first millisecond and ends before the next one', () => {
  const start = Date.UTC(2026, 1, 1)
  expect(monthStartMs('2026-02')).toBe(start)
  expect(monthOf(start)).toBe('2026-02')
  expect(monthOf(start - 1)).toBe('2026-01')
  expect(monthStartMs('2026-02', -2)).toBe(Date.UTC(2025, 11, 1))
})

test('December is followed by January, and the years before 100 are what they say', () => {
  expect(monthAfter('2026-12')).toBe('2027-01')
  expect(monthOf(monthStartMs('0050-03'))).toBe('0050-03')
})

test.each(['2026-13', '2026-00', '2026-1', '26-01', '2026-01-01', ''])('%j is no month', (text) => {
  expect(isMonth(text)).toBe(false)
  expect(() => monthStartMs(text)).toThrow('expected a month')
})
