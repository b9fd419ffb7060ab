/** What people look up of reconciliation. */
import type { BreakEvent } from '#domain/breaks/break-life.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'

export interface PairStatus {
  readonly pair: string
  readonly ledger_sequence: bigint
  readonly items: bigint
  readonly statements: bigint
  readonly refused: bigint
  readonly matches: readonly { readonly pass: string; readonly matches: number; readonly ended: number }[]
  readonly open: readonly {
    readonly kind: string
    readonly breaks: number
    readonly oldest_day: number | null
  }[]
}

const STATUS = `select p.pair, p.ledger_sequence,
  (select count(*) from recon_items i where i.pair = p.pair) as items,
  (select count(*) from recon_statements s where s.pair = p.pair) as statements,
  (select count(*) from recon_refused r where r.pair = p.pair) as refused,
  (select coalesce(jsonb_agg(m order by m.pass), '[]') from (
    select pass, count(*) filter (where ended_version is null) as matches, count(ended_version) as ended
    from recon_matches m where m.pair = p.pair group by pass) as m) as matches,
  (select coalesce(jsonb_agg(b order by b.kind), '[]') from (
    select kind, count(*) as breaks, min(day) as oldest_day
    from recon_breaks b where b.pair = p.pair and status <> 'closed' group by kind) as b) as open
from recon_pairs p order by p.pair`

/** How every pair stands. @throws as ReadPool.query, as all here */
export const readPairStatus = (pool: ReadPool): Promise<PairStatus[]> =>
  pool.query<PairStatus>({ text: STATUS })

export interface BreakRow {
  readonly break_id: string
  readonly status: 'open' | 'proposed' | 'posting' | 'closed'
  readonly kind: string
  readonly severity: string
  readonly owner: string | null
  readonly side: string | null
  readonly account: string | null
  readonly currency: string | null
  readonly amount: bigint | null
  /** Days since 1970. */
  readonly day: number | null
  readonly opened_at_ms: bigint
}

export interface BreakFilter {
  readonly pair: string
  readonly kind: string | null
  readonly status: string | null
  readonly owner: string | null
  readonly severity: string | null
  /** The break after which to go on. */
  readonly after: string | null
  readonly limit: number
}

const COLUMNS = 'break_id, status, kind, severity, owner, side, account, currency, amount, day, opened_at_ms'

/** Breaks by their ids; without a status those that aren't closed. */
export const readBreaks = (pool: ReadPool, filter: BreakFilter): Promise<BreakRow[]> =>
  pool.query<BreakRow>(
    {
      text: `select ${COLUMNS} from recon_breaks
        where pair = $1 and ($2::text is null or kind = $2) and ($4::text is null or owner = $4)
          and (status = $3 or ($3::text is null and status <> 'closed')) and ($5::text is null or break_id > $5)
          and ($7::text is null or severity = $7)
        order by break_id limit $6`,
    },
    [filter.pair, filter.kind, filter.status, filter.owner, filter.after, filter.limit, filter.severity],
  )

export interface ItemStory {
  readonly item: Record<string, unknown> | null
  readonly break: BreakRow | null
  readonly events: readonly BreakEvent[]
  /** Oldest first; `ended` = taken back. */
  readonly matches: readonly {
    readonly id: string
    readonly pass: string
    readonly score: number
    readonly because: string
    readonly difference: bigint
    readonly ended: boolean
    readonly ledger: readonly { readonly id: string; readonly provenance: string }[]
    readonly bank: readonly { readonly id: string; readonly provenance: string }[]
  }[]
}

const MATCHES = `select id, pass, score, because, difference, ended_version is not null as ended,
  (select jsonb_agg(jsonb_build_object('id', i.id, 'provenance', i.item->>'provenance') order by i.id)
    from recon_items i where i.pair = m.pair and i.id = any(m.ledger_ids)) as ledger,
  (select jsonb_agg(jsonb_build_object('id', i.id, 'provenance', i.item->>'provenance') order by i.id)
    from recon_items i where i.pair = m.pair and i.id = any(m.bank_ids)) as bank
from recon_matches m where pair = $1 and (ledger_ids[1] = $2 or bank_ids[1] = $2
  or (cardinality(ledger_ids) + cardinality(bank_ids) > 2 and ledger_ids || bank_ids @> array[$2])) order by version`

/** All about an item or a break: both sides of its matches with where they came from, and what happened to its break. */
export async function readItemStory(pool: ReadPool, pair: string, id: string): Promise<ItemStory> {
  const items = await pool.query<{ item: Record<string, unknown> }>(
    { text: 'select item from recon_items where pair = $1 and id = $2' },
    [pair, id],
  )
  const breaks = await pool.query<BreakRow>(
    { text: `select ${COLUMNS} from recon_breaks where pair = $1 and break_id = $2` },
    [pair, id],
  )
  const events = await pool.query<{ event: BreakEvent }>(
    {
      text: 'select event from recon_break_events where pair = $1 and break_id = $2 order by version, index',
    },
    [pair, id],
  )
  const matches = await pool.query<ItemStory['matches'][number]>({ text: MATCHES }, [pair, id])
  return {
    item: items[0]?.item ?? null,
    break: breaks[0] ?? null,
    events: events.map(({ event }) => event),
    matches,
  }
}

/** What became of a command; null = nothing yet. */
export async function readCommandOutcome(
  pool: ReadPool,
  pair: string,
  id: string,
): Promise<{ readonly refusal: string | null } | null> {
  const rows = await pool.query<{ refusal: string | null }>(
    { text: 'select refusal from recon_commands where pair = $1 and id = $2' },
    [pair, id],
  )
  return rows[0] ?? null
}

/** Items of a match that stands; null where there is no such match or it was taken back. */
export async function readStandingMatch(
  pool: ReadPool,
  pair: string,
  id: string,
): Promise<{ readonly ledger: string[]; readonly bank: string[] } | null> {
  const rows = await pool.query<{ ledger: string[]; bank: string[] }>(
    {
      text: `select ledger_ids as ledger, bank_ids as bank from recon_matches
        where pair = $1 and id = $2 and ended_version is null`,
    },
    [pair, id],
  )
  return rows[0] ?? null
}

/** An entry of the ledger as reconciliation knows it. */
export interface EntryStory extends ItemStory {
  readonly pair: string
  readonly id: string
}

/** What reconciliation knows of entries (as `sequence.index.entry`), in every pair. */
export async function readEntryStories(pool: ReadPool, entries: readonly string[]): Promise<EntryStory[]> {
  const found = await pool.query<{ pair: string; id: string }>(
    {
      text: `select pair, i.id from recon_pairs p join recon_items i using (pair)
        where i.id = any($1::text[]) order by pair, i.id`,
    },
    [entries.map((entry) => `ledger:${entry}`)],
  )
  const stories: EntryStory[] = []
  for (const { pair, id } of found) stories.push({ pair, id, ...(await readItemStory(pool, pair, id)) })
  return stories
}
