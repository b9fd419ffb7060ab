/** The rows of reconciliation as an audit compares them, all of one moment. */
import type pg from 'pg'
import type { BreakEvent } from '#domain/breaks/break-life.ts'
import type { ReadPool, SqlValue, Statement } from '#platform/postgres/pool.ts'

export interface PairAuditRow {
  readonly pair: string
  readonly settings: string
  readonly version: bigint
  readonly ledger_sequence: bigint
}

/** Every row of a pair, with the columns that say what was decided, by its key's name. */
const ROWS = {
  recon_items: `select id as key, item, side, account, currency, amount, day from recon_items where pair = $1`,
  recon_statements: 'select key, statement from recon_statements where pair = $1',
  recon_refused: `select topic || ':' || partition || ':' || "offset" as key, reason from recon_refused where pair = $1`,
  recon_commands: 'select id as key from recon_commands where pair = $1',
  recon_matches: `select id as key, pass, score, ledger_ids as ledger, bank_ids as bank, difference, because, account, currency,
    amount from recon_matches where pair = $1 and ended_version is null`,
  recon_breaks: `select break_id as key, status, kind, owner, severity, side, account, currency, amount, day, opened_at_ms, version
    from recon_breaks where pair = $1`,
} as const

export type PairTable = keyof typeof ROWS

/** @throws as ReadPool.query, as all here */
export const readPairRows = (pool: ReadPool, table: PairTable, pair: string): Promise<StoredRow[]> =>
  pool.query<StoredRow>({ text: ROWS[table] }, [pair])

export interface StoredRow {
  readonly key: string
  readonly [column: string]: unknown
}

export const readAuditedPairs = (pool: ReadPool): Promise<PairAuditRow[]> =>
  pool.query<PairAuditRow>({
    text: 'select pair, settings, version, ledger_sequence from recon_pairs order by pair',
  })

export interface AuditedEvent {
  readonly id: string
  readonly event: BreakEvent
  readonly version: bigint
}

/** Events of a pair's breaks, in their order. */
export const readPairEvents = (pool: ReadPool, pair: string): Promise<AuditedEvent[]> =>
  pool.query<AuditedEvent>(
    {
      text: 'select break_id as id, event, version from recon_break_events where pair = $1 order by version, index',
    },
    [pair],
  )

/** Where every reader stands on a cluster; '' = the reader of pairs. */
export const readReaderPositions = (
  pool: ReadPool,
  clusterId: string,
): Promise<{ reader: string; topic: string; next: bigint }[]> =>
  pool.query({ text: 'select reader, topic, next_offset as next from recon_offsets where cluster_id = $1' }, [
    clusterId,
  ])

/** What is numbered for publishing: rows, the highest, and what the head says. */
export const readResultNumbers = async (
  pool: ReadPool,
): Promise<{ rows: bigint; last: bigint; sequence: bigint; published: bigint }> => {
  const [row] = await pool.query<{ rows: bigint; last: bigint; sequence: bigint; published: bigint }>({
    text: `select (select count(*) from recon_results) as rows, (select coalesce(max(sequence), 0) from recon_results) as last,
      sequence, published from recon_results_head`,
  })
  return row!
}

/** Pairs that rows speak of although there is no such pair, with the table. */
export const readStrayPairs = (pool: ReadPool): Promise<{ name: string; pair: string }[]> =>
  pool.query({
    text: STRAY_TABLES.map(
      (table) =>
        `select distinct '${table}' as name, pair from ${table} t where not exists (select from recon_pairs p where p.pair = t.pair)`,
    ).join(' union all '),
  })

// Of recon_commands not: a pair whose settings were refused isn't there.
const STRAY_TABLES = [
  ...['recon_items', 'recon_statements', 'recon_matches', 'recon_break_events', 'recon_breaks'],
  'recon_refused',
] as const

/** A snapshot for what asks a pool of pg's with one object. */
export const asPool = (snapshot: ReadPool): Pick<pg.Pool, 'query'> => {
  const query = async (asked: string | (Statement & { values?: SqlValue[] }), more: SqlValue[] = []) => {
    const { values = more, ...statement } = typeof asked === 'string' ? { text: asked } : asked
    return { rows: await snapshot.query(statement, values) }
  }
  return { query: query as unknown as pg.Pool['query'] }
}
