/**
 * BAI2 type codes that say a direction or a booked balance. Source: BAI "Cash Management Balance Reporting Specifications",
 * version 2, appendix A, as continued by ASC X9 in BTRS (ANSI X9.121).
 */

/** 010 and 015: what the account's books say; 040, 045 and others are of what is available. */
export const OPENING_LEDGER = '010'
export const CLOSING_LEDGER = '015'

/**
 * Whether a detail's type code is a credit. 100–399 credits, 400–699 debits, 700–759 loan payments (credits to the loan),
 * 760–799 loan disbursements (debits), 920–959 and 960–999 the bank's own credits and debits. Null where the code has no
 * direction (890 is information only, 900–919 are statuses) or isn't three digits.
 */
export function isCreditCode(code: string): boolean | null {
  if (!/^\d{3}$/.test(code)) return null
  const number = Number(code)
  if (number >= 100 && number <= 399) return true
  if (number >= 400 && number <= 699) return false
  if (number >= 700 && number <= 799) return number < 760
  if (number >= 920) return number < 960
  return null
}
