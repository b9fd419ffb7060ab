/**
 * What reconciliation keeps in Postgres. A commit writes all that a portion changed together with the positions it was read up to, under
 * the pair's row, whose version must be the expected one: of two that work on a pair one writes, the other finds out.
 */
import type pg from 'pg'
import type { BreakEvent, BreakState } from '#domain/breaks/break-life.ts'
import { dayOf, type MatchItem } from '#domain/matching/item.ts'
import type { PairDelta, PairStatement } from '#domain/reconciliation/pair-state.ts'
import type { StoredMatch } from '#domain/reconciliation/stored-match.ts'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import { asOperatingError } from '#platform/postgres/postgres-errors.ts'
import { inTransaction } from '#platform/postgres/transaction.ts'
import { RESULTS_PART } from './results.ts'
import { itemJson, itemOf, jsonOf, statementJson, statementOf } from './rows.ts'

export interface PairRow {
  readonly pair: string
  readonly settings: string
  readonly version: bigint
  readonly ledgerSequence: bigint
}

export interface TopicPosition {
  readonly topic: string
  readonly partition: number
  /** null = never read. */
  readonly from: bigint | null
  readonly next: bigint
}

export interface RefusedRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly reason: string
}

export interface PairCommit {
  readonly pair: string
  /** The version that the pair must have. */
  readonly version: bigint
  readonly ledgerSequence: bigint
  /** The ledger's time, ms since 1970. */
  readonly recordedMs: number
  readonly positions: readonly TopicPosition[]
  readonly refused: readonly RefusedRecord[]
  readonly delta: PairDelta
  /** The breaks that the delta's events changed, as they are now, with their items (null for breaks of statements). */
  readonly breaks: readonly {
    readonly id: string
    readonly state: BreakState
    readonly item: MatchItem | null
  }[]
}

export interface LoadedPair {
  readonly items: readonly MatchItem[]
  readonly statements: readonly PairStatement[]
  readonly events: readonly { readonly id: string; readonly event: BreakEvent }[]
  readonly commands: readonly string[]
  /** Ids of the matches that stand. */
  readonly standing: ReadonlyMap<string, StoredMatch>
}

type Query = <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<Row[]>

export class ReconciliationStore {
  readonly #pool: pg.Pool
  readonly #clusterId: string

  constructor(pool: pg.Pool, clusterId: string) {
    this.#pool = pool
    this.#clusterId = clusterId
  }

  /** @throws UnreachableError, OperatingError, as all methods */
  async pairs(): Promise<PairRow[]> {
    return await this.#query<{ pair: string; settings: string; version: bigint; sequence: bigint }>(
      'select pair, settings, version, ledger_sequence as sequence from recon_pairs order by pair',
    ).then((rows) => rows.map(({ sequence, ...row }) => ({ ...row, ledgerSequence: sequence })))
  }

  /** Where a reader goes on: null = it has not begun. */
  async position(reader: string, topic: string, partition: number): Promise<bigint | null> {
    const rows = await this.#query<{ next_offset: bigint }>(
      'select next_offset from recon_offsets where reader = $1 and cluster_id = $2 and topic = $3 and partition = $4',
      [reader, this.#clusterId, topic, partition],
    )
    return rows[0]?.next_offset ?? null
  }

  /** Makes pairs or changes their settings, together with the position of the reader of pairs (''). */
  async setPairs(
    pairs: ReadonlyMap<string, string>,
    outcomes: readonly { readonly pair: string; readonly id: string; readonly refusal: string | null }[],
    positions: readonly TopicPosition[],
  ): Promise<void> {
    await this.#transaction(async (query) => {
      for (const [pair, settings] of pairs) {
        await query(
          `insert into recon_pairs (pair, settings) values ($1, $2)
           on conflict (pair) do update set settings = excluded.settings, version = recon_pairs.version + 1`,
          [pair, settings],
        )
      }
      await query(
        `insert into recon_commands (pair, id, refusal, version)
         select o.pair, o.id, o.refusal, coalesce((select version from recon_pairs p where p.pair = o.pair), 0)
         from unnest($1::text[], $2::text[], $3::text[]) as o (pair, id, refusal) on conflict do nothing`,
        [
          outcomes.map(({ pair }) => pair),
          outcomes.map(({ id }) => id),
          outcomes.map(({ refusal }) => refusal),
        ],
      )
      await this.#advance(query, '', positions)
    })
  }

  /** All that a pair's state is built from. */
  async load(pair: string): Promise<LoadedPair> {
    const items = await this.#query<{ item: Parameters<typeof itemOf>[0] }>(
      'select item from recon_items where pair = $1',
      [pair],
    )
    const statements = await this.#query<{ statement: Parameters<typeof statementOf>[0] }>(
      'select statement from recon_statements where pair = $1',
      [pair],
    )
    const events = await this.#query<{ id: string; event: BreakEvent }>(
      'select break_id as id, event from recon_break_events where pair = $1 order by version, index',
      [pair],
    )
    const commands = await this.#query<{ id: string }>('select id from recon_commands where pair = $1', [
      pair,
    ])
    const matches = await this.#query<MatchRow>(
      `select id, pass, score, ledger_ids, bank_ids, difference, because from recon_matches
       where pair = $1 and ended_version is null`,
      [pair],
    )
    return {
      items: items.map(({ item }) => itemOf(item)),
      statements: statements.map(({ statement }) => statementOf(statement)),
      events,
      commands: commands.map(({ id }) => id),
      standing: new Map(matches.map((row) => [row.id, matchOf(row)])),
    }
  }

  /** The ledger's last batch and its time, ms. */
  async head(): Promise<{ sequence: bigint; tickMs: number }> {
    const rows = await this.#query<{ sequence: bigint; tick_ms: bigint }>(
      'select sequence, tick_ms from ledger_head',
    )
    const [row] = rows
    if (row === undefined)
      throw new OperatingError('head_missing', 'the ledger has no tables: npx tallystream migrate')
    return { sequence: row.sequence, tickMs: Number(row.tick_ms) }
  }

  /**
   * Writes a portion.
   * @returns whether it was written: false = somebody else was first, or the settings have changed: load again
   * @throws IncidentError `reconciliation_position_moved` where a position isn't what was read from
   */
  async commit(commit: PairCommit): Promise<boolean> {
    const { pair, delta } = commit
    const version = commit.version + 1n
    return await this.#transaction(async (query) => {
      const rows = await query<{ version: bigint }>(
        'select version from recon_pairs where pair = $1 for update',
        [pair],
      )
      if (rows[0]?.version !== commit.version) return false
      await query(
        `insert into recon_items (pair, id, item, version)
         select $1, id, item::jsonb, $4 from unnest($2::text[], $3::text[]) as i (id, item)`,
        [pair, delta.items.map(({ id }) => id), delta.items.map(itemJson), version],
      )
      await query(
        `insert into recon_statements (pair, key, statement, version)
         select $1, key, statement::jsonb, $4 from unnest($2::text[], $3::text[]) as s (key, statement)`,
        [pair, delta.statements.map(({ key }) => key), delta.statements.map(statementJson), version],
      )
      await this.#writeMatches(query, pair, version, delta)
      await this.#writeBreaks(query, version, commit)
      await query(
        `insert into recon_commands (pair, id, refusal, version)
         select $1, id, refusal, $4 from unnest($2::text[], $3::text[]) as c (id, refusal)`,
        [pair, delta.commands.map(({ id }) => id), delta.commands.map(({ refusal }) => refusal), version],
      )
      await query(
        `insert into recon_refused (pair, topic, partition, "offset", reason)
         select $1, * from unnest($2::text[], $3::integer[], $4::bigint[], $5::text[])`,
        [
          pair,
          commit.refused.map(({ topic }) => topic),
          commit.refused.map(({ partition }) => partition),
          commit.refused.map(({ offset }) => offset),
          commit.refused.map(({ reason }) => reason),
        ],
      )
      await this.#advance(query, pair, commit.positions)
      await query('update recon_pairs set version = $2, ledger_sequence = $3 where pair = $1', [
        pair,
        version,
        commit.ledgerSequence,
      ])
      await this.#number(query, commit)
      return true
    })
  }

  async #writeMatches(query: Query, pair: string, version: bigint, delta: PairDelta): Promise<void> {
    const ended = await query(
      `update recon_matches set ended_version = $3 where pair = $1 and id = any($2::text[]) and ended_version is null
       returning 1`,
      [pair, delta.unmatched.map(({ id }) => id), version],
    )
    if (ended.length !== delta.unmatched.length) {
      throw new IncidentError(
        'reconciliation_state_differs',
        `pair ${pair}: ${delta.unmatched.length} matches end, but ${ended.length} of them stand`,
      )
    }
    await query(
      `insert into recon_matches (pair, id, version, pass, score, ledger_ids, bank_ids, difference, because)
       select $1, m->>'id', $3, m->>'pass', (m->>'score')::integer,
         array(select jsonb_array_elements_text(m->'ledger')), array(select jsonb_array_elements_text(m->'bank')),
         (m->>'differenceMinor')::bigint, m->>'because'
       from jsonb_array_elements($2::jsonb) as m`,
      [pair, jsonOf(delta.matched), version],
    )
  }

  async #writeBreaks(query: Query, version: bigint, { pair, delta, breaks }: PairCommit): Promise<void> {
    await query(
      `insert into recon_break_events (pair, version, index, break_id, event)
       select $1, $2, ordinality - 1, id, event::jsonb from unnest($3::text[], $4::text[]) with ordinality as e (id, event)`,
      [pair, version, delta.breaks.map(({ id }) => id), delta.breaks.map(({ event }) => jsonOf(event))],
    )
    const rows = breaks.map(({ id, state, item }) => ({
      break_id: id,
      status: state.status,
      kind: state.kind,
      owner: state.owner,
      side: item?.side ?? null,
      account: item?.account ?? null,
      currency: item?.currency ?? null,
      amount: item?.amountMinor ?? null,
      day: item === null ? null : dayOf(item),
      severity: state.severity,
      opened_at_ms: state.openedAtMs,
    }))
    await query(
      `insert into recon_breaks (pair, break_id, status, kind, owner, side, account, currency, amount, day, severity, opened_at_ms, version)
       select $1, break_id, status, kind, owner, side, account, currency, amount, day, severity, opened_at_ms, $3
       from jsonb_to_recordset($2::jsonb) as b (break_id text, status text, kind text, owner text, side text, account text,
         currency text, amount bigint, day integer, severity text, opened_at_ms bigint)
       on conflict (pair, break_id) do update set status = excluded.status, kind = excluded.kind, owner = excluded.owner,
         severity = excluded.severity, version = excluded.version`,
      [pair, jsonOf(rows), version],
    )
  }

  /** Gives what is to be published its places. Last of all: whoever numbers holds the others up until it is committed. */
  async #number(query: Query, { pair, version, recordedMs, delta }: PairCommit): Promise<void> {
    const records = delta.unmatched.length + delta.matched.length + delta.breaks.length
    if (records === 0) return
    const parts = Math.ceil(records / RESULTS_PART)
    await query(
      `with head as (update recon_results_head set sequence = sequence + $4 returning sequence - $4 as before)
       insert into recon_results (sequence, pair, version, first, recorded_ms)
       select before + part, $1, $2, (part - 1) * $5, $3 from head, generate_series(1, $4::integer) as part`,
      [pair, version + 1n, recordedMs, parts, RESULTS_PART],
    )
  }

  /** A position that isn't where reading began means that somebody else has read on, or has set it. */
  async #advance(query: Query, reader: string, positions: readonly TopicPosition[]): Promise<void> {
    for (const { topic, partition, from, next } of positions) {
      const key = [reader, this.#clusterId, topic, partition, next]
      const rows =
        from === null
          ? await query(
              'insert into recon_offsets values ($1, $2, $3, $4, $5) on conflict do nothing returning 1',
              key,
            )
          : await query(
              `update recon_offsets set next_offset = $5
               where reader = $1 and cluster_id = $2 and topic = $3 and partition = $4 and next_offset = $6 returning 1`,
              [...key, from],
            )
      if (rows.length !== 1) {
        throw new IncidentError(
          'reconciliation_position_moved',
          `${topic}:${partition} of ${reader || 'the pairs'} was read from ${from ?? 'its beginning'}, but its position is another one`,
        )
      }
    }
  }

  async #query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    try {
      return (await this.#pool.query<Row>(text, values)).rows
    } catch (error) {
      throw asOperatingError(error)
    }
  }

  #transaction<T>(work: (query: Query) => Promise<T>): Promise<T> {
    return inTransaction(this.#pool, (client) =>
      work(async (text, values = []) => (await client.query(text, values)).rows),
    )
  }
}

interface MatchRow {
  readonly id: string
  readonly pass: string
  readonly score: number
  readonly ledger_ids: string[]
  readonly bank_ids: string[]
  readonly difference: bigint
  readonly because: string
}

const matchOf = ({ ledger_ids, bank_ids, difference, ...row }: MatchRow): StoredMatch => ({
  ...row,
  ledger: ledger_ids,
  bank: bank_ids,
  differenceMinor: difference,
})
