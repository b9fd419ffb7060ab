/** Breaks, items and matches as the API and the command line show them. */
import { showAmount } from '#api/amounts.ts'
import type { BreakRow } from '#platform/postgres/reconciliation/queries.ts'

const DAY_MS = 86_400_000

/** ISO 8601 date of days since 1970. */
export const dateOf = (day: number | null): string | null =>
  day === null ? null : new Date(day * DAY_MS).toISOString().slice(0, 10)

/** A break in a listing. */
export const shownBreak = ({ amount, day, opened_at_ms, ...row }: BreakRow) => ({
  ...row,
  amount: amount === null || row.currency === null ? null : showAmount(amount, row.currency),
  date: dateOf(day),
  opened_at: new Date(Number(opened_at_ms)).toISOString(),
})
