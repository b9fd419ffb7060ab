/** Reads what an account came to in a closed period. */
import { currencyWord } from '../queries/codes.ts'
import { firstDayOf, type Queryable } from './period-rows.ts'

/** Amounts in minor units; balances are credits less debits. */
export interface StoredAccountClosing {
  readonly accountId: string
  readonly currency: string
  readonly normalSide: 'debit' | 'credit'
  readonly opening: bigint
  readonly debits: bigint
  readonly credits: bigint
  readonly debitCount: bigint
  readonly creditCount: bigint
  readonly closing: bigint
  readonly version: bigint
}

/** Undefined where the account neither moved in the period nor had a balance. */
export const readAccountClosing = async (
  queryable: Queryable,
  period: string,
  accountId: string,
): Promise<StoredAccountClosing | undefined> => {
  const { rows } = await queryable.query(
    `select a.account_id, a.currency, a.normal_side, c.opening::text, c.debits::text, c.credits::text, c.debit_count::text,
       c.credit_count::text, c.posted::text, c.version::text
     from closings c join periods p on p.period = c.period join accounts a on a.account_no = c.account_no
     where c.period = $1 and a.account_id = $2`,
    [firstDayOf(period), accountId],
  )
  const [row] = rows
  if (row === undefined) return undefined
  return {
    accountId: row.account_id,
    currency: currencyWord(row.currency),
    normalSide: row.normal_side,
    opening: BigInt(row.opening),
    debits: BigInt(row.debits),
    credits: BigInt(row.credits),
    debitCount: BigInt(row.debit_count),
    creditCount: BigInt(row.credit_count),
    closing: BigInt(row.posted),
    version: BigInt(row.version),
  }
}
