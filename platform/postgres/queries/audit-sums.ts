/** Sums and folds of a ledger's tables: what must hold whatever was decided. */
import type { ReadPool } from '../pool.ts'
import { DROPPED } from './history-start.ts'

/** ISO 4217 numeric codes of currencies whose balances don't add up to zero. */
export const currenciesOffZero = async (pool: ReadPool): Promise<number[]> => {
  const rows = await pool.query<{ currency: number }>({
    text: 'select currency from accounts group by currency having sum(posted) <> 0 order by currency',
  })
  return rows.map(({ currency }) => currency)
}

/** Ids of accounts whose balance isn't the sum of their entries; numbers of those that have entries and no row. At most `limit`. */
export const accountsOffFold = async (pool: ReadPool, limit: number): Promise<string[]> => {
  const rows = await pool.query<{ name: string }>(
    {
      text: `with dropped as (${DROPPED}),
      kept as (select * from postings where recorded_at >= coalesce((select until from dropped), '-infinity')),
      moved as (
        select account_no, sum(amount) as amount from (
          select debit_no as account_no, -amount as amount from kept union all select credit_no, amount from kept
          union all select account_no, posted from closings where period = (select period from dropped)) as sides
        group by account_no)
      select coalesce(a.account_id, m.account_no::text) as name from accounts a full join moved m using (account_no)
      where a.posted is distinct from coalesce(m.amount, 0) and (a.account_no is not null or m.amount <> 0)
      order by 1 limit $1`,
    },
    [limit],
  )
  return rows.map(({ name }) => name)
}

export interface BatchRow {
  readonly sequence: bigint
  readonly previous_hash: Buffer
  readonly hash: Buffer
  readonly format: number
  readonly records: number
  readonly recorded_us: bigint
  readonly header: Buffer
  readonly payload: Buffer
}

/** Batch records with their payloads (zstd), after a sequence. */
export const readBatchRows = (pool: ReadPool, after: bigint | null, limit: number): Promise<BatchRow[]> =>
  pool.query<BatchRow>(
    {
      name: 'audit-batches',
      text: `select sequence, previous_hash, hash, format, records, (extract(epoch from recorded_at) * 1000000)::bigint as recorded_us,
          header, payload
        from batches where $1::bigint is null or sequence > $1 order by sequence limit $2`,
    },
    [after, limit],
  )

export interface HeadRow {
  readonly ledger: string
  readonly sequence: bigint
  readonly hash: Buffer
  readonly tick_ms: bigint
  readonly pending_ticks: unknown
  readonly expiring: boolean
  readonly logic_version: number
  readonly rules_version: bigint
  readonly accounts_count: bigint
  readonly cards_count: bigint
  readonly genesis_tick_ms: bigint | null
  readonly genesis_logic_version: number | null
}

/** The head row; undefined where there is none. */
export const readHeadRow = async (pool: ReadPool): Promise<HeadRow | undefined> => {
  const rows = await pool.query<HeadRow>({
    text: `select ledger, sequence, hash, tick_ms, pending_ticks, expiring, logic_version, rules_version, accounts_count, cards_count,
      genesis_tick_ms, genesis_logic_version from ledger_head`,
  })
  return rows[0]
}
