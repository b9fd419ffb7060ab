/**
 * Whole rows for audits, every column that says something about money or decisions, each as text: times in microseconds since 1970,
 * bytes and uuids in hexadecimal, JSON with its keys sorted.
 */
import type { ReadPool, SqlValue } from '../pool.ts'

/** Values of a row by the order of its table's columns; null where they are. */
export type AuditRow = readonly (string | null)[]

export interface AuditTable {
  readonly name: string
  /** SQL expressions in the order of the values. */
  readonly columns: readonly string[]
  /** How many of the first columns name the row. */
  readonly keyColumns: number
  /** Place of the time by which old rows are dropped with their period; absent where they stay. */
  readonly recordedColumn?: number
}

const time = (column: string): string => `(extract(epoch from ${column}) * 1000000)::bigint`
const uuid = (column: string): string => `replace(${column}::text, '-', '')`
const bytes = (column: string): string => `encode(${column}, 'hex')`

/** Tables to which batches only add rows; the first column is the batch's sequence. */
export const APPENDED = {
  transactions: {
    name: 'transactions',
    keyColumns: 2,
    recordedColumn: 2,
    columns: [
      'sequence',
      'index',
      time('recorded_at'),
      uuid('key'),
      'id',
      'source',
      'kind',
      'cause',
      'status',
      'reason',
      uuid('parent_key'),
      'card_no',
      'end_to_end_id',
      'uetr',
      time('occurred_at'),
      time('value_at'),
      'topic',
      'partition',
      '"offset"',
      'actor',
      'payer_no',
      'acceptor',
      'was_unusual',
    ],
  },
  postings: {
    name: 'postings',
    keyColumns: 3,
    recordedColumn: 3,
    columns: [
      'sequence',
      'index',
      'posting',
      time('recorded_at'),
      'debit_no',
      'credit_no',
      'amount',
      'currency',
      'debit_posted',
      'credit_posted',
      time('value_at'),
    ],
  },
  rules: { name: 'rules', keyColumns: 3, columns: ['version', 'index', 'rule_id', 'body'] },
  dead_letters: {
    name: 'dead_letters',
    keyColumns: 2,
    columns: [
      'sequence',
      'index',
      'topic',
      'partition',
      '"offset"',
      'first_offset',
      'reason',
      'detail',
      bytes('key'),
      bytes('value'),
      'value_bytes',
      bytes('value_sha256'),
      'content_type',
      time('recorded_at'),
    ],
  },
  commands: {
    name: 'commands',
    keyColumns: 2,
    columns: [
      'sequence',
      'index',
      'id',
      uuid('content'),
      'claims',
      'kind',
      'subject',
      'parameters',
      'actor',
      'reason',
      'outcome',
      'refusal',
      'topic',
      'partition',
      '"offset"',
      time('occurred_at'),
      time('recorded_at'),
    ],
  },
} as const satisfies Record<string, AuditTable>

/** Tables whose rows change; read in the order of their keys. */
export const CHANGING = {
  transaction_ids: {
    name: 'transaction_ids',
    keyColumns: 1,
    columns: [uuid('key'), uuid('content'), 'sequence', 'index', time('recorded_at')],
  },
  holds: {
    name: 'holds',
    keyColumns: 1,
    columns: [
      uuid('key'),
      'kind',
      'status',
      'id',
      'source',
      'sequence',
      'index',
      'expires_at_ms',
      'postings',
      'card',
      'command',
      'version',
      'version_index',
      'reviewers',
      'released_by',
    ],
  },
  reversals: {
    name: 'reversals',
    keyColumns: 2,
    columns: [uuid('key'), 'posting', 'reversed', 'version'],
  },
  accounts: {
    name: 'accounts',
    keyColumns: 1,
    columns: [
      'account_no',
      'account_id',
      'currency',
      'account_class',
      'normal_side',
      'status',
      'limited',
      'overdraft_limit',
      'reversal_may_overdraw',
      'posted',
      'reserved',
      'version',
      'opened_sequence',
      bytes('profile'),
    ],
  },
  cards: {
    name: 'cards',
    keyColumns: 1,
    columns: [
      'card_no',
      'card',
      'account_no',
      'status',
      'expires_at_ms',
      'transaction_limit',
      'daily_limit',
      'spent',
      'reserved',
      'day',
      'day_amount',
      'version',
    ],
  },
  fraud_parties: {
    name: 'fraud_parties',
    keyColumns: 2,
    columns: ['kind', 'name', 'used_day', 'version', bytes('state')],
  },
  fraud_labels: {
    name: 'fraud_labels',
    keyColumns: 1,
    columns: [
      uuid('key'),
      'is_fraud',
      'actor',
      'reason',
      time('occurred_at'),
      time('recorded_at'),
      'topic',
      'partition',
      '"offset"',
      'version',
    ],
  },
  ingest_offsets: {
    name: 'ingest_offsets',
    keyColumns: 3,
    columns: [
      ...[
        'cluster_id',
        'topic',
        'partition',
        'next_offset',
        'epoch',
        'last_offset',
        'jumped_from',
        'jumped_to',
      ],
    ],
  },
  codes: { name: 'codes', keyColumns: 2, columns: ['list', 'code', 'word'] },
} as const satisfies Record<string, AuditTable>

const month = `to_char(period, 'YYYY-MM')`

/** Tables of closed periods; the first column is the month. Who closed and dropped one, and when, follows from nothing. */
export const PERIODIC = {
  periods: {
    name: 'periods',
    keyColumns: 1,
    columns: [
      month,
      'format',
      'first_sequence',
      'last_sequence',
      'chain_sequence',
      bytes('chain_hash'),
      'postings',
      'accounts',
      'cards',
      'totals',
      bytes('previous_hash'),
      bytes('hash'),
    ],
  },
  closings: {
    name: 'closings',
    keyColumns: 2,
    columns: [
      month,
      'account_no',
      'currency',
      'opening',
      'debits::text',
      'credits::text',
      'debit_count',
      'credit_count',
      'posted',
      'version',
      'value_days::text',
      'value_nets::text',
      'later_ms::text',
      'later_nets::text',
    ],
  },
  card_closings: {
    name: 'card_closings',
    keyColumns: 2,
    columns: [month, 'card_no', 'debits::text', 'credits::text', 'spent::text'],
  },
} as const satisfies Record<string, AuditTable>

const selected = ({ columns }: AuditTable): string =>
  columns.map((column, place) => `${column} as c${place}`).join(', ')

/** JSON with the keys of its objects sorted, so that equal values are equal texts. */
export const sortedJson = (value: unknown): string =>
  JSON.stringify(value, (_name, inner: unknown) => {
    if (typeof inner === 'bigint') return inner.toString()
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
  })

/** A value as the rows have it. */
export const auditText = (value: unknown): string | null => {
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return value
  return typeof value === 'object' ? sortedJson(value) : String(value)
}

const rowOf = (table: AuditTable, row: Record<string, unknown>): AuditRow =>
  table.columns.map((_, place) => auditText(row[`c${place}`]))

/** Rows of an appended table with after < sequence ≤ through, in sequence; `through` null = without end. */
export const readAppended = async (
  pool: ReadPool,
  table: AuditTable,
  after: bigint | null,
  through: bigint | null,
): Promise<AuditRow[]> => {
  const column = table.columns[0]!
  const rows = await pool.query<Record<string, unknown>>(
    {
      name: `audit-${table.name}`,
      text: `select ${selected(table)} from ${table.name} where ($1::bigint is null or ${column} > $1)
        and ($2::bigint is null or ${column} <= $2)`,
    },
    [after, through],
  )
  return rows.map((row) => rowOf(table, row))
}

/** All rows of a changing table in the order of its key, in chunks. */
export async function* readChanging(
  pool: ReadPool,
  table: AuditTable,
  chunk = 5_000,
): AsyncGenerator<AuditRow[]> {
  const keys = table.columns
    .slice(0, table.keyColumns)
    .map((column) => KEY_COLUMN.exec(column)?.[1] ?? column)
  const places = keys.map((_, place) => `$${place + 2}::${keyType(table, place)}`)
  let last: Record<string, unknown> | null = null
  for (;;) {
    const where = last === null ? '' : `where (${keys.join(', ')}) > (${places.join(', ')})`
    const statement = {
      text: `select ${selected(table)} from ${table.name} ${where} order by ${keys.join(', ')} limit $1`,
    }
    const after: SqlValue[] = last === null ? [] : keys.map((_, place) => String(last![`c${place}`]))
    const rows: Record<string, unknown>[] = await pool.query(statement, [chunk, ...after])
    if (rows.length > 0) yield rows.map((row) => rowOf(table, row))
    if (rows.length < chunk) return
    last = rows.at(-1)!
  }
}

const KEY_COLUMN = /^replace\((\w+)::text/

/** The type of a key column: its text compares by it. */
const keyType = (table: AuditTable, place: number): string => {
  const column = table.columns[place]!
  if (KEY_COLUMN.test(column)) return 'uuid'
  return ['cluster_id', 'topic', 'list'].includes(column) ? 'text' : 'bigint'
}

/** The rows of a month (YYYY-MM) in the order of their numbers, in chunks; null = of all months, from a table with one row each. */
export async function* readPeriodic(
  pool: ReadPool,
  table: AuditTable,
  of: string | null,
  chunk = 5_000,
): AsyncGenerator<AuditRow[]> {
  const text = `select ${selected(table)} from ${table.name}`
  if (of === null) {
    const rows = await pool.query<Record<string, unknown>>({ text: `${text} order by period` })
    yield rows.map((row) => rowOf(table, row))
    return
  }
  const number = table.columns[1]!
  for (let last: string | null = null; ; ) {
    const rows: Record<string, unknown>[] = await pool.query(
      {
        text: `${text} where period = $1::date and ($2::bigint is null or ${number} > $2) order by ${number} limit $3`,
      },
      [`${of}-01`, last, chunk],
    )
    if (rows.length > 0) yield rows.map((row) => rowOf(table, row))
    if (rows.length < chunk) return
    last = String(rows.at(-1)!.c1)
  }
}

/** Months before the first and from the current one on (YYYY-MM) that have rows. */
export const readStrayPeriods = async (
  pool: ReadPool,
  table: AuditTable,
  first: string,
  current: string,
): Promise<string[]> => {
  const rows = await pool.query<{ month: string }>(
    {
      text: `select distinct ${month} as month from ${table.name} where period < $1::date or period >= $2::date order by 1`,
    },
    [`${first}-01`, `${current}-01`],
  )
  return rows.map((row) => row.month)
}
