/** The documented sum: score, size of the amount, further demands for review. */
import { expect, test } from 'vitest'
import { reviewPriority } from './priority.ts'
import type { RuleHit } from './rules.ts'

const hit = (ruleId: string, action: RuleHit['action'], points = 0): RuleHit => ({
  ruleId,
  version: 1n,
  value: 1n,
  threshold: 0n,
  action,
  points,
  words: '',
})

test.each<[readonly RuleHit[], bigint, string, number]>([
  // 99 cents: no digit of a major unit.
  [[hit('a', 'hold')], 99n, 'EUR', 0],
  [[hit('a', 'hold')], 100n, 'EUR', 100],
  [[hit('a', 'hold')], 99_999_99n, 'EUR', 500],
  // No minor units: five digits.
  [[hit('a', 'hold')], 12_345n, 'JPY', 500],
  // Points of live rules, not of shadows.
  [[hit('a', 'hold', 120), hit('b', 'none', 30), hit('c', 'shadow', 500)], 100n, 'EUR', 250],
  // A typology's score instead of its rules' points; its demand counts beside the rule's.
  [[hit('a', 'hold', 120), hit('typology:t', 'hold', 180)], 100n, 'EUR', 330],
  // Bounds of each part.
  [Array.from({ length: 20 }, (_, n) => hit(`r${n}`, 'hold', 900)), 10n ** 15n, 'JPY', 1_000 + 1_000 + 500],
  [[hit('a', 'hold', -50)], 99n, 'EUR', 0],
])('%#', (hits, amountMinor, currency, expected) => {
  expect(reviewPriority(hits, { amountMinor, currency })).toBe(expected)
})
