/** Reads what became of transactions, for everybody who waits: one statement for any number of ids. */
import type { ReasonCode, TransactionStatus } from '#domain/transactions/outcomes.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { reasonWord, statusWord } from '#platform/postgres/queries/codes.ts'

export interface StoredOutcome {
  /** As in domain/transactions/canonical.ts: 32 hex digits. */
  readonly key: string
  /** Hash of the content that took the id: 32 hex digits. */
  readonly content: string
  readonly status: TransactionStatus
  readonly reason: ReasonCode | null
  readonly sequence: bigint
  readonly timeline: bigint
  readonly recordedAt: Date
  readonly occurredAt: Date
  /** The record that took the id. */
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** Accounts whose balance it changed or reserved. */
  readonly accountIds: readonly string[]
}

interface Row {
  key: string
  content: string
  status: number
  reason: number | null
  sequence: bigint
  timeline: bigint
  recorded_at: Date
  occurred_at: Date
  topic: string
  partition: number
  offset: bigint
  account_ids: string[]
}

// The first decision: what took the id. Reserved money is with the hold of the transaction or of its parent.
const TEXT = `select replace(i.key::text, '-', '') as key, replace(i.content::text, '-', '') as content, t.status, t.reason,
    i.sequence, h.timeline, i.recorded_at, t.occurred_at, t.topic, t.partition, t."offset",
    array(select a.account_id from postings p join accounts a on a.account_no in (p.debit_no, p.credit_no)
        where p.sequence = i.sequence and p.index = i.index and p.recorded_at = i.recorded_at
      union
      select posting ->> 'debit' from holds, jsonb_array_elements(holds.postings) as posting
        where holds.key in (i.key, t.parent_key)) as account_ids
  from transaction_ids i
  join transactions t on t.sequence = i.sequence and t.index = i.index and t.recorded_at = i.recorded_at
  cross join ledger_head h
  where i.key = any($1::uuid[])`

/** First outcomes of these keys; those that aren't decided yet are left out. */
export async function readOutcomes(pool: ReadPool, keys: readonly string[]): Promise<StoredOutcome[]> {
  const rows = await pool.query<Row>({ name: 'read-outcomes', text: TEXT }, [keys])
  return rows.map((row) => ({
    key: row.key,
    content: row.content,
    status: statusWord(row.status),
    reason: reasonWord(row.reason),
    sequence: row.sequence,
    timeline: row.timeline,
    recordedAt: row.recorded_at,
    occurredAt: row.occurred_at,
    topic: row.topic,
    partition: row.partition,
    offset: row.offset,
    accountIds: row.account_ids,
  }))
}
