/** Reads one transaction: every decision about it with what it posted, what it still reserves, and what was given back. */
import { CAUSES, type TransactionKind } from '#domain/transactions/outcomes.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { DUPLICATE_CODE } from '#platform/postgres/queries/codes.ts'
import { DROPPED, PeriodDroppedError } from '#platform/postgres/queries/history-start.ts'
import {
  type DecisionRow,
  decisionOf,
  type HeldPostingRow,
  kindOf,
  POSTINGS_JSON,
  type ReservedPosting,
  reservedOf,
  type StoredDecision,
} from '#platform/postgres/queries/transaction-rows.ts'

export type HoldStatus = 'active' | 'captured' | 'voided' | 'released' | 'declined' | 'expired' | 'rejected'

export interface StoredHold {
  readonly kind: 'authorization' | 'review'
  readonly status: HoldStatus
  readonly expiresAtMs: number
  readonly postings: readonly ReservedPosting[]
}

export interface StoredTransaction {
  readonly key: string
  readonly id: string
  readonly source: string
  readonly kind: TransactionKind | 'unknown'
  readonly occurredAt: Date
  readonly endToEndId: string | null
  readonly uetr: string | null
  /** Where it names a parent that is known: its id and source. */
  readonly parent: { readonly id: string; readonly source: string } | null
  readonly card: string | null
  /** Oldest first, at least one; the last one says what it is now. */
  readonly decisions: readonly StoredDecision[]
  readonly hold: StoredHold | null
  /** By place in the postings: minor units given back so far. */
  readonly reversedMinor: ReadonlyMap<number, bigint>
}

interface Row extends DecisionRow {
  parent: { id: string; source: string } | null
  card: string | null
  hold: {
    kind: StoredHold['kind']
    status: HoldStatus
    expires_at_ms: string
    postings: HeldPostingRow[]
  } | null
  reversals: { posting: number; reversed: string }[]
}

// Later decisions only ever follow a hold; without one (nearly always) nothing more is looked for. A hold knows the place of its
// last change, so that is where the search ends.
const TEXT = `with first as (select sequence, index, recorded_at from transaction_ids where key = $1::uuid),
  hold as (select * from holds where key = $1::uuid),
  decision as (
    select t.* from first f
    join transactions t on t.sequence = f.sequence and t.index = f.index and t.recorded_at = f.recorded_at
    union all
    select t.* from first f cross join hold h
    join transactions t on t.key = $1::uuid and t.cause <> 0 and t.status <> ${DUPLICATE_CODE}
      and t.sequence between f.sequence and h.version and t.recorded_at >= f.recorded_at
    where (h.version, h.version_index) <> (f.sequence, f.index))
  select t.sequence, t.index, t.id, t.source, t.kind, t.cause, t.status, t.reason, t.recorded_at, t.occurred_at, t.value_at,
    t.end_to_end_id, t.uetr, t.topic, t.partition, t."offset", t.actor, ${POSTINGS_JSON} as postings,
    (select jsonb_build_object('id', pt.id, 'source', pt.source) from transaction_ids pi
       join transactions pt on pt.sequence = pi.sequence and pt.index = pi.index and pt.recorded_at = pi.recorded_at
       where pi.key = t.parent_key) as parent,
    (select card from cards where card_no = t.card_no) as card,
    (select jsonb_build_object('kind', kind, 'status', status, 'expires_at_ms', expires_at_ms::text, 'postings', postings)
       from hold) as hold,
    coalesce((select jsonb_agg(jsonb_build_object('posting', posting, 'reversed', reversed::text))
       from reversals where key = $1::uuid), '[]') as reversals
  from decision t order by t.sequence, t.index`

const FIRST_CAUSE = CAUSES.indexOf('transaction')

/** @throws PeriodDroppedError where the id was taken in a period that was dropped */
async function expectNotDropped(pool: ReadPool, key: string): Promise<void> {
  const text = `with dropped as (${DROPPED})
    select dropped.until from transaction_ids join dropped on recorded_at < until where key = $1::uuid`
  const [row] = await pool.query<{ until: Date }>({ text }, [key])
  if (row !== undefined)
    throw new PeriodDroppedError('the transaction was dropped with its period', row.until)
}

/**
 * @param key As in domain/transactions/canonical.ts. Undefined where no transaction took that id.
 * @throws PeriodDroppedError where it was decided in a dropped period
 */
export async function readTransaction(pool: ReadPool, key: string): Promise<StoredTransaction | undefined> {
  const rows = await pool.query<Row>({ name: 'read-transaction', text: TEXT }, [key])
  const [first] = rows
  // Later decisions may be kept where the first one isn't: half a story is none.
  if (first === undefined || first.cause !== FIRST_CAUSE) {
    await expectNotDropped(pool, key)
    if (first === undefined) return undefined
  }
  return {
    key,
    id: first.id,
    source: first.source,
    kind: kindOf(first),
    occurredAt: first.occurred_at,
    endToEndId: first.end_to_end_id,
    uetr: first.uetr,
    parent: first.parent,
    card: first.card,
    decisions: rows.map(decisionOf),
    hold: first.hold === null ? null : holdOf(first.hold),
    reversedMinor: new Map(first.reversals.map(({ posting, reversed }) => [posting, BigInt(reversed)])),
  }
}

const holdOf = (hold: NonNullable<Row['hold']>): StoredHold => ({
  kind: hold.kind,
  status: hold.status,
  expiresAtMs: Number(hold.expires_at_ms),
  postings: hold.postings.map(reservedOf),
})
