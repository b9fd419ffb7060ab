/** Reads an account's ledger entries, newest first. */
import type { TransactionKind } from '#domain/transactions/outcomes.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { currencyWord, kindWord } from '#platform/postgres/queries/codes.ts'
import { CURSOR_END, type Cursor, type Page, pageOf } from '#platform/postgres/queries/cursor.ts'
import { expectKept } from '#platform/postgres/queries/history-start.ts'

export interface LedgerEntry {
  readonly sequence: bigint
  readonly index: number
  /** Place within the transaction: posting * 2, plus 1 for the credit side. */
  readonly entry: number
  readonly side: 'debit' | 'credit'
  /** Minor units, above zero. */
  readonly amountMinor: bigint
  readonly currency: string
  /** Credits less debits of the account after this entry, minor units. */
  readonly postedAfter: bigint
  readonly counterparty: string
  readonly transactionId: string
  readonly source: string
  readonly kind: TransactionKind | 'unknown'
  readonly recordedAt: Date
  readonly valueAt: Date
}

/** Numbers of an entry's cursor: sequence, index, entry. */
export const ENTRY_CURSOR_LENGTH = 3

interface Row {
  sequence: bigint
  index: number
  entry: number
  side: 'debit' | 'credit'
  amount: bigint
  currency: number
  posted_after: bigint
  counterparty: string
  id: string
  source: string
  kind: number
  recorded_at: Date
  value_at: Date
}

/** One side of the account's postings, from the index on (account, sequence) backwards. */
const side = (name: 'debit' | 'credit', other: 'debit' | 'credit', offset: 0 | 1): string => `
  (select recorded_at, sequence, index, posting * 2 + ${offset} as entry, '${name}' as side, amount, currency,
     ${name}_posted as posted_after, ${other}_no as counterparty_no, value_at
   from postings
   where ${name}_no = (select account_no from accounts where account_id = $1)
     and sequence <= $2 and (sequence, index, posting * 2 + ${offset}) < ($2, $3::bigint, $4::bigint)
   order by sequence desc, index desc, posting desc limit $5)`

const TEXT = `with page as (${side('debit', 'credit', 0)} union all ${side('credit', 'debit', 1)}
    order by sequence desc, index desc, entry desc limit $5)
  select p.sequence, p.index, p.entry, p.side, p.amount, p.currency, p.posted_after, c.account_id as counterparty,
    t.id, t.source, t.kind, p.recorded_at, p.value_at
  from page p
  join accounts c on c.account_no = p.counterparty_no
  join transactions t on t.sequence = p.sequence and t.index = p.index and t.recorded_at = p.recorded_at
  order by p.sequence desc, p.index desc, p.entry desc`

/**
 * A page of entries older than `before`; empty where there is no such account. The last page ends where the kept history begins.
 * @throws PeriodDroppedError where `before` lies in what was dropped
 */
export async function readEntries(
  pool: ReadPool,
  options: { accountId: string; before: Cursor | null; limit: number },
): Promise<Page<LedgerEntry>> {
  const [sequence, index, entry] = options.before ?? [CURSOR_END, 0n, 0n]
  const values = [options.accountId, sequence!, index!, entry!, options.limit + 1]
  const rows = await pool.query<Row>({ name: 'read-entries', text: TEXT }, values)
  if (rows.length === 0 && options.before !== null) await expectKept(pool, { sequence })
  return pageOf(rows, options.limit, entryOf, (row) => [row.sequence, BigInt(row.index), BigInt(row.entry)])
}

const entryOf = (row: Row): LedgerEntry => ({
  sequence: row.sequence,
  index: row.index,
  entry: row.entry,
  side: row.side,
  amountMinor: row.amount,
  currency: currencyWord(row.currency),
  postedAfter: row.posted_after,
  counterparty: row.counterparty,
  transactionId: row.id,
  source: row.source,
  kind: kindWord(row.kind),
  recordedAt: row.recorded_at,
  valueAt: row.value_at,
})
