/** Postings on some accounts from the ledger's committed batches, in their order: the ledger's side of reconciliation. */
import type pg from 'pg'
import { asOperatingError } from '#platform/postgres/postgres-errors.ts'

/** One posting with the account that was asked for on either side, and the transaction it belongs to. */
export interface LedgerPosting {
  readonly sequence: bigint
  readonly index: number
  readonly posting: number
  /** Accounts that were not asked for are null. */
  readonly debit: string | null
  readonly credit: string | null
  /** Minor units, above zero. */
  readonly amountMinor: bigint
  /** ISO 4217 numeric code. */
  readonly currency: number
  readonly recordedMs: number
  readonly valueMs: number
  readonly transactionId: string
  readonly source: string
  /** Whether its transaction takes back an earlier one. */
  readonly isReversal: boolean
  readonly endToEndId: string | null
  readonly uetr: string | null
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

const READ_NUMBERS = 'select account_no, account_id from accounts where account_id = any($1::text[])'

// Each side by its own index; a posting between two of the accounts comes once. A range for both tables: else the second is searched
// row by row, however many there are. `date_part`, since `extract` counts in decimals.
const RANGE = 'sequence > $1 and sequence <= $2'
const COLUMNS = 'sequence, index, posting, recorded_at, debit_no, credit_no, amount, currency, value_at'
const READ = `with found as (
  select ${COLUMNS} from postings where debit_no = any($3::bigint[]) and ${RANGE}
  union all
  select ${COLUMNS} from postings where credit_no = any($3::bigint[]) and debit_no <> all($3::bigint[]) and ${RANGE})
select f.sequence, f.index, f.posting, f.debit_no, f.credit_no, f.amount, f.currency, date_part('epoch', f.recorded_at),
  date_part('epoch', f.value_at), t.id, t.source, t.kind = (select code from codes where list = 'kind' and word = 'reverse'),
  t.end_to_end_id, t.uetr, t.topic, t.partition, t."offset"
from found f
join (select * from transactions where ${RANGE}) t on t.sequence = f.sequence and t.index = f.index and t.recorded_at = f.recorded_at
order by f.sequence, f.index, f.posting`

type Row = [
  sequence: bigint,
  index: number,
  posting: number,
  debitNo: bigint,
  creditNo: bigint,
  amount: bigint,
  currency: number,
  recorded: number,
  value: number,
  id: string,
  source: string,
  isReversal: boolean,
  endToEndId: string | null,
  uetr: string | null,
  topic: string,
  partition: number,
  offset: bigint,
]

/** Those of the batches after one sequence up to another. @throws UnreachableError, OperatingError */
export async function readLedgerPostings(
  pool: Pick<pg.Pool, 'query'>,
  range: { readonly after: bigint; readonly upTo: bigint },
  accounts: readonly string[],
): Promise<LedgerPosting[]> {
  try {
    const known = await pool.query<{ account_no: bigint; account_id: string }>({
      name: 'recon-account-numbers',
      text: READ_NUMBERS,
      values: [accounts],
    })
    // Who has no number yet has no entries.
    const names = new Map(known.rows.map(({ account_no, account_id }) => [account_no, account_id]))
    if (names.size === 0) return []
    const { rows } = await pool.query<Row>({
      name: 'recon-ledger-postings',
      text: READ,
      values: [range.after, range.upTo, [...names.keys()]],
      rowMode: 'array',
    })
    return rows.map((row) => postingOf(row, names))
  } catch (error) {
    throw asOperatingError(error)
  }
}

const millisecondsOf = (seconds: number): number => Math.round(seconds * 1_000)

function postingOf(row: Row, names: ReadonlyMap<bigint, string>): LedgerPosting {
  const [sequence, index, posting, debitNo, creditNo, amountMinor, currency, recorded, value] = row
  const [, , , , , , , , , transactionId, source, isReversal, endToEndId, uetr, topic, partition, offset] =
    row
  return {
    sequence,
    index,
    posting,
    debit: names.get(debitNo) ?? null,
    credit: names.get(creditNo) ?? null,
    amountMinor,
    currency,
    recordedMs: millisecondsOf(recorded),
    valueMs: millisecondsOf(value),
    transactionId,
    source,
    isReversal,
    endToEndId,
    uetr,
    topic,
    partition,
    offset,
  }
}
