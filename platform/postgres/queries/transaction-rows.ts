/** Shapes of transactions as the queries return them, and the JSON that Postgres makes of their postings. */
import type { Cause, ReasonCode, TransactionKind, TransactionStatus } from '#domain/transactions/outcomes.ts'
import {
  causeWord,
  currencyWord,
  kindWord,
  reasonWord,
  statusWord,
} from '#platform/postgres/queries/codes.ts'

/** What moved: one posting, two entries. */
export interface StoredPosting {
  readonly debit: string
  readonly credit: string
  readonly amountMinor: bigint
  readonly currency: string
}

export interface PostedPosting extends StoredPosting {
  /** Credits less debits of each account after it, minor units. */
  readonly debitPosted: bigint
  readonly creditPosted: bigint
}

/** What is or was reserved. */
export interface ReservedPosting extends StoredPosting {
  readonly remainingMinor: bigint
}

/** Amounts as text: JSON numbers couldn't hold them. */
export interface PostedPostingRow {
  debit: string
  credit: string
  amount: string
  currency: number
  debit_posted: string
  credit_posted: string
}

export interface HeldPostingRow {
  debit: string
  credit: string
  amount: string
  remaining: string
  currency: string
}

export const postedOf = (row: PostedPostingRow): PostedPosting => ({
  debit: row.debit,
  credit: row.credit,
  amountMinor: BigInt(row.amount),
  currency: currencyWord(row.currency),
  debitPosted: BigInt(row.debit_posted),
  creditPosted: BigInt(row.credit_posted),
})

export const reservedOf = (row: HeldPostingRow): ReservedPosting => ({
  debit: row.debit,
  credit: row.credit,
  amountMinor: BigInt(row.amount),
  currency: row.currency,
  remainingMinor: BigInt(row.remaining),
})

/** A payment that is or was held for review. */
export interface Hold {
  readonly heldAt: Date
  readonly expiresAtMs: number
  readonly postings: readonly ReservedPosting[]
  /** domain/fraud/priority.ts. */
  readonly priority: number
  /** How many people must release it, and who has. */
  readonly reviewers: number
  readonly releasedBy: string | null
}

export interface HoldRow {
  recorded_at: Date
  expires_at_ms: bigint
  postings: HeldPostingRow[]
  priority: number
  reviewers: number
  released_by: string | null
}

/** Of `holds h join transaction_ids i`. */
export const HOLD_COLUMNS =
  'i.recorded_at, h.expires_at_ms, h.postings, h.priority, h.reviewers, h.released_by'

export const holdOf = (row: HoldRow): Hold => ({
  heldAt: row.recorded_at,
  expiresAtMs: Number(row.expires_at_ms),
  postings: row.postings.map(reservedOf),
  priority: row.priority,
  reviewers: row.reviewers,
  releasedBy: row.released_by,
})

/** One decision about a transaction. */
export interface StoredDecision {
  readonly sequence: bigint
  readonly index: number
  readonly cause: Cause
  readonly status: TransactionStatus
  readonly reason: ReasonCode | null
  readonly recordedAt: Date
  readonly valueAt: Date
  /** The record that brought it. */
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly actor: string
  /** What it posted; empty where it moved nothing. */
  readonly postings: readonly PostedPosting[]
}

export interface DecisionRow {
  sequence: bigint
  index: number
  id: string
  source: string
  kind: number
  cause: number
  status: number
  reason: number | null
  recorded_at: Date
  occurred_at: Date
  value_at: Date
  end_to_end_id: string | null
  uetr: string | null
  topic: string
  partition: number
  offset: bigint
  actor: string
  postings: PostedPostingRow[]
}

export const decisionOf = (row: DecisionRow): StoredDecision => ({
  sequence: row.sequence,
  index: row.index,
  cause: causeWord(row.cause),
  status: statusWord(row.status),
  reason: reasonWord(row.reason),
  recordedAt: row.recorded_at,
  valueAt: row.value_at,
  topic: row.topic,
  partition: row.partition,
  offset: row.offset,
  actor: row.actor,
  postings: row.postings.map(postedOf),
})

export const kindOf = (row: { kind: number }): TransactionKind | 'unknown' => kindWord(row.kind)

/** Postings of decision row `t` as JSON, in order. */
export const POSTINGS_JSON = `coalesce((select jsonb_agg(jsonb_build_object('debit', d.account_id, 'credit', c.account_id,
      'amount', p.amount::text, 'currency', p.currency, 'debit_posted', p.debit_posted::text,
      'credit_posted', p.credit_posted::text) order by p.posting)
    from postings p join accounts d on d.account_no = p.debit_no join accounts c on c.account_no = p.credit_no
    where p.sequence = t.sequence and p.index = t.index and p.recorded_at = t.recorded_at), '[]')`
