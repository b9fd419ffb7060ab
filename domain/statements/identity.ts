/**
 * By what a statement and its lines are known again, whichever file they come in. A statement is what it says: account, currency, its
 * own id and sequence, balances with their dates, and the sums and number of its lines; a corrected statement is another one.
 *
 * key = first 16 bytes, as hexadecimal digits, of SHA-256 over the UTF-8 JSON array of those values in the order of `identityOf`, amounts
 * as decimals without trailing zeros. A line is the statement's key and its place in it, from 1.
 */
import { createHash } from 'node:crypto'
import { type Decimal, formatDecimal } from './decimal.ts'
import type { Balance, StatementSummary } from './model.ts'

const HASH_DIGITS = 32

const amountText = (amount: Decimal): string => formatDecimal(amount, 0)

const balanceOf = (balance: Balance | null) =>
  balance === null ? null : [amountText(balance.amount), balance.currency, balance.date, balance.code]

const identityOf = (statement: StatementSummary): readonly unknown[] => [
  statement.account,
  statement.currency,
  statement.id,
  statement.sequence,
  balanceOf(statement.opening),
  balanceOf(statement.closing),
  statement.entries,
  amountText(statement.sumCredits),
  amountText(statement.sumDebits),
  statement.unbooked,
]

/** The key of a statement: 32 hexadecimal digits. */
export const statementKeyOf = (statement: StatementSummary): string =>
  createHash('sha256')
    .update(JSON.stringify(identityOf(statement)))
    .digest('hex')
    .slice(0, HASH_DIGITS)
