/** Lists transactions, newest first, each with what it is now. */
import type { ReasonCode, TransactionKind, TransactionStatus } from '#domain/transactions/outcomes.ts'
import type { ReadPool, SqlValue } from '#platform/postgres/pool.ts'
import {
  DUPLICATE_CODE,
  kindCode,
  reasonCode,
  reasonWord,
  statusCode,
  statusWord,
} from '#platform/postgres/queries/codes.ts'
import { CURSOR_END, type Cursor, type Page } from '#platform/postgres/queries/cursor.ts'
import { expectKept } from '#platform/postgres/queries/history-start.ts'
import { sequencesBetween } from '#platform/postgres/queries/sequences-between.ts'
import {
  type HeldPostingRow,
  kindOf,
  POSTINGS_JSON,
  type PostedPostingRow,
  postedOf,
  reservedOf,
  type StoredPosting,
} from '#platform/postgres/queries/transaction-rows.ts'

export interface TransactionFilters {
  readonly statuses?: readonly TransactionStatus[] | undefined
  readonly kind?: TransactionKind | undefined
  readonly reason?: ReasonCode | undefined
  readonly source?: string | undefined
  /** Only transactions that moved this account's money. */
  readonly accountId?: string | undefined
  /** Only transactions that were asked for with this card, or belong to one that was (a capture, a reversal). */
  readonly card?: string | undefined
  /** Recorded at or after, before. */
  readonly from?: Date | undefined
  readonly to?: Date | undefined
}

export interface ListedTransaction {
  /** The decision that the listing is ordered by. */
  readonly sequence: bigint
  readonly index: number
  readonly id: string
  readonly source: string
  readonly kind: TransactionKind | 'unknown'
  /** What it is now: a held transaction that was released is `applied`. */
  readonly status: TransactionStatus
  readonly reason: ReasonCode | null
  readonly recordedAt: Date
  /** Posted, or else reserved. Empty where it was refused: what it asked for is in the batch record only. */
  readonly postings: readonly StoredPosting[]
}

export const TRANSACTION_CURSOR_LENGTH = 2

/** How many transactions, or postings of an account, one page looks through; then it ends, perhaps short, with a cursor to go on. */
const WINDOW = 5000

interface Row {
  sequence: bigint
  index: number
  id: string
  source: string
  kind: number
  status: number
  reason: number | null
  recorded_at: Date
  postings: PostedPostingRow[]
  held: HeldPostingRow[] | null
  window_rows: bigint | null
  window_sequence: bigint | null
  window_index: number | null
}

/** Columns of one listed row `t` (its own decision) and `n` (the last decision under the same id, where there is a later one). */
const COLUMNS = `t.sequence, t.index, t.id, t.source, t.kind, coalesce(n.status, t.status) as status,
    case when n.status is null then t.reason else n.reason end as reason, t.recorded_at,
    case when n.status is null then ${POSTINGS_JSON} else ${POSTINGS_JSON.replaceAll(' t.', ' n.')} end as postings,
    h.postings as held`

/** A hold's last change may be a decision about itself (review, expiry) or another transaction's (a capture). */
const LATEST = `left join holds h on h.key = t.key
  left join lateral (select l.sequence, l.index, l.recorded_at, l.status, l.reason from transactions l
      where l.sequence = h.version and l.index = h.version_index and l.key = t.key and l.cause <> 0
        and (l.sequence, l.index) <> (t.sequence, t.index)) n on true`

/**
 * A page of transactions older than `before`. With filters a page may be short of `limit`, even empty, and still have a next one:
 * a rare value isn't looked for in the whole history at once. The last page ends where the kept history begins.
 *
 * @param options.window rows looked through for one page
 * @throws PeriodDroppedError where `before`, `from` or `to` lies in what was dropped
 */
export async function listTransactions(
  pool: ReadPool,
  options: { filters: TransactionFilters; before: Cursor | null; limit: number; window?: number },
): Promise<Page<ListedTransaction>> {
  const { filters, limit, window = WINDOW } = options
  const { from, to, accountId } = filters
  const [sequence, index] = options.before ?? [CURSOR_END, 0n]
  const isPaging = options.before !== null
  const isTimed = from !== undefined || to !== undefined
  if (isPaging || isTimed) await expectKept(pool, { sequence: isPaging ? sequence : undefined, from, to })
  const span = isTimed ? await sequencesBetween(pool, { from, to }) : { first: 0n, last: CURSOR_END }
  const values: SqlValue[] = span.last < sequence! ? [span.last, CURSOR_END] : [sequence!, index!]
  values.push(span.first)
  const conditions = conditionsOf(filters, values)
  values.push(limit + 1, BigInt(window))
  const places = { conditions, limitPlace: `$${values.length - 1}`, windowPlace: `$${values.length}::bigint` }
  if (accountId !== undefined) values.push(accountId)
  const text =
    accountId === undefined
      ? plainText(places)
      : accountText({ ...places, accountPlace: `$${values.length}` })
  return pageFrom(await pool.query<Row>({ text }, values), { limit, window })
}

/** What a page may look through is behind $1 and $2, and not before $3. */
const BEHIND = 'sequence <= $1 and (sequence, index) < ($1, $2::bigint) and sequence >= $3'

interface Places {
  readonly conditions: string
  readonly limitPlace: string
  readonly windowPlace: string
}

/** The last row of the window is looked up in the primary key first, so that reading may end before it: with the page. */
function plainText({ conditions, limitPlace, windowPlace }: Places): string {
  return `with edge as (select sequence, index from transactions where ${BEHIND}
      order by sequence desc, index desc offset ${windowPlace} - 1 limit 1),
    listed as (select ${COLUMNS} from (select * from transactions
        where ${BEHIND} and sequence >= coalesce((select sequence from edge), 0)
          and (sequence, index) >= (coalesce((select sequence from edge), 0), coalesce((select index from edge), 0))) t ${LATEST}
      where t.cause = 0 and t.status <> ${DUPLICATE_CODE} ${conditions}
      order by t.sequence desc, t.index desc limit ${limitPlace})
    select listed.*, case when edge.sequence is null then 0 else ${windowPlace} end as window_rows,
      edge.sequence as window_sequence, edge.index as window_index
    from (select 1) as always left join edge on true left join listed on true
    order by listed.sequence desc, listed.index desc`
}

/** By account the account's postings lead. */
function accountText(places: Places & { readonly accountPlace: string }): string {
  const { conditions, limitPlace, accountPlace, windowPlace } = places
  const side = (column: string) => `(select sequence, index, recorded_at from postings
      where ${column} = (select account_no from accounts where account_id = ${accountPlace})
        and ${BEHIND}
      order by sequence desc, index desc limit ${windowPlace})`
  return `with seen as (${side('debit_no')} union all ${side('credit_no')}
      order by sequence desc, index desc limit ${windowPlace}),
    edge as (select count(*) over () as rows, sequence, index from seen order by sequence, index limit 1),
    listed as (select ${COLUMNS} from (select distinct * from seen) s
      join transactions t on t.sequence = s.sequence and t.index = s.index and t.recorded_at = s.recorded_at ${LATEST}
      where true ${conditions} order by t.sequence desc, t.index desc limit ${limitPlace})
    select listed.*, edge.rows as window_rows, edge.sequence as window_sequence, edge.index as window_index
    from edge left join listed on true order by listed.sequence desc, listed.index desc`
}

function conditionsOf(filters: TransactionFilters, values: SqlValue[]): string {
  const conditions: string[] = []
  const add = (value: SqlValue, condition: (place: string) => string): void => {
    values.push(value)
    conditions.push(`and ${condition(`$${values.length}`)}`)
  }
  if (filters.statuses !== undefined) {
    add(filters.statuses.map(statusCode), (place) => `coalesce(n.status, t.status) = any(${place}::int2[])`)
  }
  if (filters.kind !== undefined) add(kindCode(filters.kind), (place) => `t.kind = ${place}`)
  if (filters.reason !== undefined) {
    add(reasonCode(filters.reason), (place) => `coalesce(n.reason, t.reason) = ${place}`)
  }
  if (filters.source !== undefined) add(filters.source, (place) => `t.source = ${place}`)
  if (filters.card !== undefined) {
    add(filters.card, (place) => `t.card_no = (select card_no from cards where card = ${place})`)
  }
  if (filters.from !== undefined) add(filters.from, (place) => `t.recorded_at >= ${place}`)
  if (filters.to !== undefined) add(filters.to, (place) => `t.recorded_at < ${place}`)
  return conditions.join(' ')
}

function pageFrom(
  rows: readonly Row[],
  { limit, window }: { readonly limit: number; readonly window: number },
): Page<ListedTransaction> {
  const [edge] = rows
  // A window without a match comes as one row of nothing but its edge.
  const found = rows.filter((row) => row.sequence !== null)
  const shown = found.slice(0, limit)
  const last = shown.at(-1)
  let next: Cursor | null = null
  if (found.length > limit && last !== undefined) next = [last.sequence, BigInt(last.index)]
  else if (edge?.window_rows === BigInt(window)) {
    next = [edge.window_sequence ?? 0n, BigInt(edge.window_index ?? 0)]
  }
  return { items: shown.map(listedOf), next }
}

const listedOf = (row: Row): ListedTransaction => ({
  sequence: row.sequence,
  index: row.index,
  id: row.id,
  source: row.source,
  kind: kindOf(row),
  status: statusWord(row.status),
  reason: reasonWord(row.reason),
  recordedAt: row.recorded_at,
  postings: row.postings.length > 0 ? row.postings.map(postedOf) : (row.held ?? []).map(reservedOf),
})
