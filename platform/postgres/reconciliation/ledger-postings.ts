/** Postings on some accounts from the ledger's committed batches, in their order: the ledger's side of reconciliation. */
import type pg from 'pg'
import { asOperatingError } from '#platform/postgres/postgres-errors.ts'

/** One posting with the account that was asked for on either side, and the transaction it belongs to. */
export interface LedgerPosting {
  readonly sequence: bigint
  readonly index: number
  readonly posting: number
  readonly debit: string
  readonly credit: string
  /** Minor units, above zero. */
  readonly amountMinor: bigint
  /** ISO 4217 numeric code. */
  readonly currency: number
  readonly recordedMs: number
  readonly valueMs: number
  readonly transactionId: string
  readonly source: string
  readonly kind: string
  readonly endToEndId: string | null
  readonly uetr: string | null
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

// Each side by its own index; a posting between two of the accounts comes once.
const READ = `with wanted as (select account_no from accounts where account_id = any($3::text[])),
found as (
  select sequence, index, posting, recorded_at from postings
    where debit_no in (select account_no from wanted) and sequence > $1 and sequence <= $2
  union
  select sequence, index, posting, recorded_at from postings
    where credit_no in (select account_no from wanted) and sequence > $1 and sequence <= $2)
select p.sequence, p.index, p.posting, d.account_id as debit, c.account_id as credit, p.amount, p.currency,
  (extract(epoch from p.recorded_at) * 1000)::bigint as recorded_ms, (extract(epoch from p.value_at) * 1000)::bigint as value_ms,
  t.id, t.source, k.word as kind, t.end_to_end_id, t.uetr, t.topic, t.partition, t."offset"
from found f
join postings p using (sequence, index, posting, recorded_at)
join transactions t on t.sequence = p.sequence and t.index = p.index and t.recorded_at = p.recorded_at
join codes k on k.list = 'kind' and k.code = t.kind
join accounts d on d.account_no = p.debit_no
join accounts c on c.account_no = p.credit_no
order by p.sequence, p.index, p.posting`

interface Row {
  sequence: bigint
  index: number
  posting: number
  debit: string
  credit: string
  amount: bigint
  currency: number
  recorded_ms: bigint
  value_ms: bigint
  id: string
  source: string
  kind: string
  end_to_end_id: string | null
  uetr: string | null
  topic: string
  partition: number
  offset: bigint
}

/** Those of the batches after one sequence up to another. @throws UnreachableError, OperatingError */
export async function readLedgerPostings(
  pool: Pick<pg.Pool, 'query'>,
  range: { readonly after: bigint; readonly upTo: bigint },
  accounts: readonly string[],
): Promise<LedgerPosting[]> {
  try {
    const { rows } = await pool.query<Row>({
      name: 'recon-ledger-postings',
      text: READ,
      values: [range.after, range.upTo, accounts],
    })
    return rows.map(({ amount, recorded_ms, value_ms, id, end_to_end_id, ...row }) => ({
      ...row,
      amountMinor: amount,
      recordedMs: Number(recorded_ms),
      valueMs: Number(value_ms),
      transactionId: id,
      endToEndId: end_to_end_id,
    }))
  } catch (error) {
    throw asOperatingError(error)
  }
}
