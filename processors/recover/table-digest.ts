/** The digest of what the tables hold: the same as of a replay over the same history (processors/audit/replay/digest.ts). */
import type { AccountState, TransactionDecision } from '#domain/ledger/state.ts'
import { currencyByNumeric } from '#domain/money/currency.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import {
  type DigestPosting,
  readDigestAccounts,
  readDigestPostings,
} from '#platform/postgres/queries/read-digest-rows.ts'

/** What collects a digest. */
export interface Digest {
  addDecision(decision: TransactionDecision): void
  end(accounts: Iterable<AccountState>): string
}

/** Reads postings and accounts into a digest. @returns its hexadecimal digits */
export const digestOfTables = async (pool: ReadPool, digest: Digest): Promise<string> => {
  let rows: DigestPosting[] = []
  for await (const row of readDigestPostings(pool)) {
    // Postings of one decision follow each other, in their order.
    if (row.posting === 0 && rows.length > 0) {
      digest.addDecision(decisionOf(rows))
      rows = []
    }
    rows.push(row)
  }
  if (rows.length > 0) digest.addDecision(decisionOf(rows))
  const accounts: AccountState[] = []
  for await (const row of readDigestAccounts(pool)) {
    accounts.push({
      no: Number(row.account_no),
      id: row.account_id,
      currency: currencyByNumeric(row.currency)!.code,
      accountClass: row.account_class,
      normalSide: row.normal_side,
      status: row.status,
      limited: row.limited,
      overdraftLimit: row.overdraft_limit,
      posted: row.posted,
      reserved: row.reserved,
    } as AccountState)
  }
  return digest.end(accounts)
}

/** As much of a decision as a digest looks at. */
const decisionOf = (rows: readonly DigestPosting[]): TransactionDecision =>
  ({
    status: 'applied',
    key: rows[0]!.key,
    command: { valueTime: Number(rows[0]!.value_ms) },
    postings: rows.map((row) => ({
      debit: { no: Number(row.debit_no) },
      credit: { no: Number(row.credit_no) },
      amount: row.amount,
      debitPosted: row.debit_posted,
      creditPosted: row.credit_posted,
    })),
  }) as unknown as TransactionDecision
