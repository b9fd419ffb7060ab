/** What a trace asks of the tables beside the transaction itself: whose id it is, what refers to it, and its batches. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { kindWord, statusWord } from '#platform/postgres/queries/codes.ts'

export interface TransactionName {
  /** 32 hex digits. */
  readonly key: string
  readonly id: string
  readonly source: string
}

const NAMED = `select distinct replace(t.key::text, '-', '') as key, t.id, t.source from transactions t
  join transaction_ids i on i.key = t.key and i.sequence = t.sequence and i.index = t.index`

/** Transactions of an id, whatever their source; reads all of the table where nothing narrows it. */
export const findById = (pool: ReadPool, id: string): Promise<TransactionName[]> =>
  pool.query({ name: 'trace-by-id', text: `${NAMED} where t.id = $1 order by t.source limit 100` }, [id])

/** The transaction that a decision is about; none where there is no such decision. */
export const findByPlace = (
  pool: ReadPool,
  place: { readonly sequence: bigint; readonly index: number },
): Promise<TransactionName[]> =>
  pool.query(
    {
      name: 'trace-by-place',
      text: `select replace(key::text, '-', '') as key, id, source from transactions where sequence = $1 and index = $2`,
    },
    [place.sequence, place.index],
  )

export interface RelatedTransaction {
  readonly id: string
  readonly source: string
  readonly kind: string
  readonly status: string
  readonly sequence: bigint
  readonly index: number
  readonly recordedAt: Date
}

interface RelatedRow {
  id: string
  source: string
  kind: number
  status: number
  sequence: bigint
  index: number
  recorded_at: Date
}

/** Captures, voids and reversals that name a transaction as their parent, and its duplicates; in ledger order. */
export const readRelated = async (
  pool: ReadPool,
  key: string,
  since: bigint,
): Promise<RelatedTransaction[]> => {
  const rows = await pool.query<RelatedRow>(
    {
      name: 'trace-related',
      text: `select id, source, kind, status, sequence, index, recorded_at from transactions
        where sequence >= $2 and parent_key = $1::uuid order by sequence, index limit 1000`,
    },
    [key, since],
  )
  return rows.map((row) => ({
    id: row.id,
    source: row.source,
    kind: kindWord(row.kind),
    status: statusWord(row.status),
    sequence: row.sequence,
    index: row.index,
    recordedAt: row.recorded_at,
  }))
}

export interface BatchRow {
  readonly sequence: bigint
  readonly previous_hash: Buffer
  readonly hash: Buffer
  readonly header: Buffer
}

/** A batch without its payload; undefined where it isn't kept any more. */
export const readBatch = async (pool: ReadPool, sequence: bigint): Promise<BatchRow | undefined> => {
  const [row] = await pool.query<BatchRow>(
    {
      name: 'trace-batch',
      text: 'select sequence, previous_hash, hash, header from batches where sequence = $1',
    },
    [sequence],
  )
  return row
}
