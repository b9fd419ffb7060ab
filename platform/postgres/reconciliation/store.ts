/**
 * What reconciliation keeps in Postgres. A commit writes all that a portion changed together with the positions it was read up to, under
 * the pair's row, whose version must be the expected one: of two that work on a pair one writes, the other finds out.
 */
import type pg from 'pg'
import type { BreakEvent } from '#domain/breaks/break-life.ts'
import type { MatchItem } from '#domain/matching/item.ts'
import type { PairStatement } from '#domain/reconciliation/pair-state.ts'
import type { StoredMatch } from '#domain/reconciliation/stored-match.ts'
import { OperatingError } from '#platform/errors.ts'
import { asOperatingError } from '#platform/postgres/postgres-errors.ts'
import { inTransaction } from '#platform/postgres/transaction.ts'
import {
  commitPortion,
  type PairCommit,
  positionMoved,
  type Send,
  sendPosition,
  type TopicPosition,
} from './commit.ts'
import { itemOf, statementOf } from './rows.ts'

export interface PairRow {
  readonly pair: string
  readonly settings: string
  readonly version: bigint
  readonly ledgerSequence: bigint
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
      const statements: (() => Promise<unknown>)[] = []
      const send: Send = (_name, text, values = []) => statements.push(() => query(text, [...values]))
      for (const position of positions) sendPosition(send, this.#clusterId, '', position)
      for (const statement of statements) await statement()
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
      `select id, pass, score, ledger_ids, bank_ids, difference, because, account, currency, amount from recon_matches
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
    let client: pg.PoolClient | undefined
    let isUsable = false
    try {
      client = await this.#pool.connect()
      const isWritten = await commitPortion(client, this.#clusterId, commit)
      isUsable = true
      return isWritten
    } catch (error) {
      throw asOperatingError(error)
    } finally {
      // One that failed may still be in the transaction: it is ended, not given back.
      client?.release(!isUsable)
    }
  }

  async #query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    try {
      return (await this.#pool.query<Row>(text, values)).rows
    } catch (error) {
      throw asOperatingError(error)
    }
  }

  async #transaction<T>(work: (query: Query) => Promise<T>): Promise<T> {
    try {
      return await inTransaction(this.#pool, (client) =>
        work(async (text, values = []) => (await client.query(text, values)).rows),
      )
    } catch (error) {
      if (error instanceof OperatingError && error.code === 'compare_and_swap_failed') {
        throw positionMoved('', error.message)
      }
      throw error
    }
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
  readonly account: string
  readonly currency: string
  readonly amount: bigint
}

const matchOf = ({ ledger_ids, bank_ids, difference, amount, ...row }: MatchRow): StoredMatch => ({
  ...row,
  ledger: ledger_ids,
  bank: bank_ids,
  differenceMinor: difference,
  amountMinor: amount,
})
