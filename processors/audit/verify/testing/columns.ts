/** Every column of every table: how a test changes it by hand, and which ones nothing vouches for. */
import { APPENDED, type AuditTable, CHANGING, PERIODIC } from '#platform/postgres/queries/audit-rows.ts'

/** Columns that say nothing about money or decisions, or that nothing vouches for: docs/audit.md says why. */
export const NOT_PROVEN: Record<string, readonly string[]> = {
  // Who reads now, and how a topic that was made anew is noticed: a wrong value stops the reading, it moves no money.
  ingest_offsets: [
    ...['owner', 'owner_backend_pid', 'owner_backend_start', 'owner_member', 'last_hash'],
    ...['last_timestamp_ms', 'topic_id', 'incident', 'turn', 'jumped_from'],
  ],
  ledger_head: ['only_one', 'timeline', 'created_at'],
  // The order of the review queue.
  holds: ['priority'],
  periods: ['closed_at', 'actor', 'dropped_at', 'dropped_by'],
  publisher_progress: ['only_one', 'updated_at'],
  archive_progress: ['only_one', 'updated_at', 'location'],
  id_sweep: ['only_one', 'next_block'],
  audit_log_head: ['only_one'],
  kafka_clusters: ['kafka_id', 'known', 'published_before', 'entered_at'],
  // Who is at work, and which files made the tables.
  leases: ['name', 'holder', 'expires_at'],
  migrations: ['name', 'hash', 'applied_at'],
}

/** Of the reconciliation, which has a history and a test of its own: auditing-reconciliation.it.test.ts. */
export const OUTSIDE: readonly string[] = [
  ...[
    'recon_break_events',
    'recon_breaks',
    'recon_commands',
    'recon_items',
    'recon_matches',
    'recon_offsets',
  ],
  ...['recon_pairs', 'recon_refused', 'recon_results', 'recon_results_head', 'recon_statements'],
  // Who works on a review, and notes.
  'review_events',
]

/** Tables with one row or few: each of their columns is changed in a test of its own. */
export const FEW_ROWS: Record<string, readonly string[]> = {
  ledger_head: [
    ...['ledger', 'sequence', 'hash', 'tick_ms', 'pending_ticks', 'expiring', 'logic_version'],
    ...['rules_version', 'accounts_count', 'cards_count', 'genesis_tick_ms', 'genesis_logic_version'],
  ],
  batches: [
    ...['sequence', 'recorded_at', 'previous_hash', 'hash', 'format', 'records', 'header', 'payload'],
  ],
  periods: [
    ...['period', 'format', 'first_sequence', 'last_sequence', 'chain_sequence', 'chain_hash', 'postings'],
    ...['accounts', 'cards', 'totals', 'previous_hash', 'hash'],
  ],
  publisher_progress: ['published_sequence'],
  archive_progress: ['archived_through', 'manifest', 'manifest_hash'],
  id_sweep: ['taken_before', 'swept_before'],
  kafka_clusters: ['cluster_id', 'turn'],
  audit_log: ['seq', 'at', 'actor', 'action', 'subject', 'details', 'previous_hash', 'hash'],
  audit_log_head: ['seq', 'hash'],
}

const { periods: _periods, ...closings } = PERIODIC
/** Tables that are compared row by row. */
export const TABLES = Object.values({ ...APPENDED, ...CHANGING, ...closings }) as AuditTable[]

/** The plain name of a column's expression. */
export const nameOf = (column: string): string =>
  /(?:from |replace\(|encode\(|to_char\()?"?(\w+)"?(?:\)|::|,|$)/.exec(column)![1]!

export interface Column {
  readonly name: string
  readonly type: string
}

/** Values that a column's check allows, where it has one. */
const WORDS: Record<string, string> = {
  'accounts.status': `case status when 'open' then 'frozen' else 'open' end`,
  'accounts.normal_side': `case normal_side when 'debit' then 'credit' else 'debit' end`,
  'cards.status': `case status when 'active' then 'blocked' else 'active' end`,
  'holds.kind': `case kind when 'review' then 'authorization' else 'review' end`,
  'holds.status': `case status when 'voided' then 'expired' else 'voided' end`,
  'commands.outcome': `case outcome when 'applied' then 'rejected' else 'applied' end`,
  // A higher one is a new owner's.
  'ingest_offsets.epoch': '0',
}

/** A check holds a closing to what it begins with and what was moved. */
const BESIDES: Record<string, string> = {
  'closings.opening': ', posted = posted + 1',
  'closings.debits': ', posted = posted - 1',
  'closings.credits': ', posted = posted + 1',
  'closings.posted': ', opening = opening + 1',
}

const changedValue = (table: string, { name, type }: Column, isKey: boolean): string => {
  const column = `"${name}"`
  const word = WORDS[`${table}.${name}`]
  if (word !== undefined) return word
  switch (type) {
    case 'int2':
    case 'int4':
    case 'int8':
    case 'numeric':
      return `coalesce(${column}, 0) + ${isKey ? 20_000 : 1}`
    case '_int4':
    case '_int8':
    case '_numeric':
      return `array_append(${column}, 1)`
    case 'date':
      return `${column} - interval '10 years'`
    case 'bool':
      return `coalesce(not ${column}, true)`
    case 'uuid':
      return `md5(coalesce(${column}::text, ''))::uuid`
    case 'timestamptz':
      return `${column} + interval '1 microsecond'`
    case 'jsonb':
      return `case jsonb_typeof(${column}) when 'array' then ${column} || '[{"amount": "1"}]' else ${column} || '{"amount": "1"}' end`
    case 'bytea':
      return `coalesce(${column}, '') || '\\x01'`
    default:
      return `coalesce(${column}, '') || 'x'`
  }
}

/** What a statement sets to change one column of a row. @param isKey whether it names the row: then it must not become another row's name */
export const changeOf = (table: string, column: Column, isKey: boolean): string =>
  `"${column.name}" = ${changedValue(table, column, isKey)}${BESIDES[`${table}.${column.name}`] ?? ''}`

/** What names a row in a finding. */
export const namesOf = ({ name, columns, keyColumns }: AuditTable): readonly string[] => {
  switch (name) {
    case 'accounts':
      return ['account_id']
    case 'cards':
      return ['card']
    case 'closings':
      return [columns[0]!, '(select account_id from accounts a where a.account_no = closings.account_no)']
    case 'card_closings':
      return [columns[0]!, '(select card from cards c where c.card_no = card_closings.card_no)']
    default:
      return columns.slice(0, keyColumns)
  }
}
