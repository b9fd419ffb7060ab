/** Lists transactions that wait for a reviewer: those that expire first at the front, or those of the highest priority. */
import type { ReadPool, SqlValue } from '#platform/postgres/pool.ts'
import {
  type Cursor,
  type Page,
  pageOf,
  uuidFromNumbers,
  uuidToNumbers,
} from '#platform/postgres/queries/cursor.ts'
import { HOLD_COLUMNS, type Hold, type HoldRow, holdOf } from '#platform/postgres/queries/transaction-rows.ts'

export interface HeldTransaction extends Hold {
  readonly id: string
  readonly source: string
  /** Who works on it; null: nobody. */
  readonly owner: string | null
  readonly notes: number
}

export const QUEUE_ORDERS = ['expires', 'priority'] as const
export type QueueOrder = (typeof QUEUE_ORDERS)[number]

/** Numbers of a cursor: priority where the order is by it, expiry, and the key in four parts. */
export const HELD_CURSOR_LENGTHS: Readonly<Record<QueueOrder, number>> = { expires: 5, priority: 6 }

export interface QueueFilters {
  /** Only what somebody works on. */
  readonly owner?: string | undefined
  /** Only what nobody works on. */
  readonly unassigned?: boolean | undefined
  readonly priorityMin?: number | undefined
  /** Held before it. */
  readonly heldBefore?: Date | undefined
}

interface Row extends HoldRow {
  key: string
  id: string
  source: string
  owner: string | null
  notes: number
}

/** What a page begins behind, and its order; the first place holds the priority, 0 where the order isn't by it. */
const ORDERS: Readonly<Record<QueueOrder, { behind: string; by: string }>> = {
  expires: {
    behind: '$1::int = 0 and (h.expires_at_ms, h.key) > ($2, $3::uuid)',
    by: 'h.expires_at_ms, h.key',
  },
  priority: {
    behind: '(-h.priority, h.expires_at_ms, h.key) > (-$1::int, $2, $3::uuid)',
    by: '-h.priority, h.expires_at_ms, h.key',
  },
}

const textOf = ({ behind, by }: (typeof ORDERS)[QueueOrder]): string =>
  `select h.key, h.id, h.source, ${HOLD_COLUMNS}, w.owner,
    (select count(*) from review_events e where e.key = h.key and e.sequence = h.sequence and e.kind = 'noted')::int as notes
  from holds h join transaction_ids i on i.key = h.key
  left join lateral (select e.owner from review_events e
    where e.key = h.key and e.sequence = h.sequence and e.kind <> 'noted' order by e.event desc limit 1) w on true
  where h.status = 'active' and h.kind = 'review' and ${behind}
    and ($5::text is null or w.owner = $5) and (not $6::boolean or w.owner is null)
    and h.priority >= $7::int and ($8::timestamptz is null or i.recorded_at < $8)
  order by ${by} limit $4`

const PRIORITY_MAX = 2n ** 31n - 1n

/** A page of held transactions behind `after`. */
export async function listHeld(
  pool: ReadPool,
  options: { after: Cursor | null; limit: number; order?: QueueOrder; filters?: QueueFilters },
): Promise<Page<HeldTransaction>> {
  const { after, limit, order = 'expires', filters = {} } = options
  const isByPriority = order === 'priority'
  const [priority = PRIORITY_MAX, expiresAtMs = -1n, ...key] = isByPriority
    ? (after ?? [])
    : [0n, ...(after ?? [])]
  const values: SqlValue[] = [
    priority > PRIORITY_MAX ? PRIORITY_MAX : priority,
    expiresAtMs,
    uuidFromNumbers(key.length === 0 ? [0n, 0n, 0n, 0n] : key),
    limit + 1,
    filters.owner ?? null,
    filters.unassigned ?? false,
    filters.priorityMin ?? 0,
    filters.heldBefore ?? null,
  ]
  const rows = await pool.query<Row>({ name: `list-held-${order}`, text: textOf(ORDERS[order]) }, values)
  return pageOf(rows, limit, heldOf, (row) => [
    ...(isByPriority ? [BigInt(row.priority)] : []),
    row.expires_at_ms,
    ...uuidToNumbers(row.key),
  ])
}

const heldOf = (row: Row): HeldTransaction => ({
  id: row.id,
  source: row.source,
  ...holdOf(row),
  owner: row.owner,
  notes: row.notes,
})
