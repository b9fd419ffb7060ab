/**
 * Writes a portion: rows by UNNEST of binary arrays, then positions and version, all in one pipeline, so that the caller may work on
 * the next portion meanwhile. Whatever isn't as it was expected raises in the database, and with it all that follows.
 */
import type pg from 'pg'
import type { BreakState } from '#domain/breaks/break-life.ts'
import { dayOf, type MatchItem } from '#domain/matching/item.ts'
import type { PairDelta } from '#domain/reconciliation/pair-state.ts'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import { int4Array, int8Array, textArray } from '#platform/postgres/binary-arrays.ts'
import { asOperatingError } from '#platform/postgres/postgres-errors.ts'
import { RESULTS_PART } from './results.ts'
import { itemJson, jsonOf, statementJson } from './rows.ts'

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

/** Sends a statement and doesn't wait: answers come in order. */
export type Send = (name: string, text: string, values?: readonly unknown[]) => void

/** What `require_rows` was told that it counts. */
const COUNTED = {
  version: 'version of the pair',
  matches: 'matches that end',
  position: 'position of the reader',
} as const

/**
 * Writes it on a connection in pipeline mode.
 * @returns whether it was written: false = the pair has another version
 * @throws IncidentError `reconciliation_position_moved`, `reconciliation_state_differs`; OperatingError, UnreachableError
 */
export async function commitPortion(
  client: Pick<pg.ClientBase, 'query'>,
  clusterId: string,
  commit: PairCommit,
): Promise<boolean> {
  const pending: Promise<pg.QueryResult>[] = []
  const send: Send = (name, text, values = []) => {
    pending.push(client.query({ name: `recon-${name}`, text, values: values as unknown[] }))
  }
  send('begin', 'begin')
  send('lock', LOCK, [commit.pair, commit.version])
  writeRows(send, commit)
  for (const position of commit.positions) sendPosition(send, clusterId, commit.pair, position)
  send('version', SET_VERSION, [commit.pair, commit.version + 1n, commit.ledgerSequence])
  sendNumbers(send, commit)
  send('commit', 'commit')
  const results = await Promise.allSettled(pending)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) {
    // Behind an error COMMIT has rolled back already; where it never got there, the connection is given up by who holds it.
    return refusalOf(commit, asOperatingError(failed.reason))
  }
  const { command } = await pending.at(-1)!
  if (command !== 'COMMIT') {
    throw new OperatingError('commit_rolled_back', `expected COMMIT, got ${command}`, { retriable: true })
  }
  return true
}

/** @returns false where somebody else was first @throws the rest */
function refusalOf({ pair, delta }: PairCommit, error: OperatingError): false {
  if (error.code !== 'compare_and_swap_failed') throw error
  if (error.message.includes(COUNTED.version)) return false
  if (error.message.includes(COUNTED.matches)) {
    throw new IncidentError(
      'reconciliation_state_differs',
      `pair ${pair}: ${delta.unmatched.length} matches end, but not all of them stand: ${error.message}`,
    )
  }
  throw positionMoved(pair, error.message)
}

/** A position that isn't where reading began means that somebody else has read on, or has set it. */
export const positionMoved = (reader: string, found: string): IncidentError =>
  new IncidentError(
    'reconciliation_position_moved',
    `what ${reader || 'the reader of pairs'} read isn't from where its position is: ${found}`,
  )

// A statement of its own: what follows sees what was committed before it.
const LOCK = `select require_rows('${COUNTED.version}', 1,
  (select count(*) from (select 1 from recon_pairs where pair = $1 and version = $2 for update) as expected))`
const SET_VERSION = 'update recon_pairs set version = $2, ledger_sequence = $3 where pair = $1'

const BEGIN_POSITION = `with done as (insert into recon_offsets values ($1, $2, $3, $4, $5) on conflict do nothing returning 1)
  select require_rows('${COUNTED.position}', 1, (select count(*) from done))`
const ADVANCE_POSITION = `with done as (update recon_offsets set next_offset = $5
    where reader = $1 and cluster_id = $2 and topic = $3 and partition = $4 and next_offset = $6 returning 1)
  select require_rows('${COUNTED.position}', 1, (select count(*) from done))`

/** Moves a reader's position; raises `compare_and_swap_failed` where it isn't where reading began. */
export function sendPosition(
  send: Send,
  clusterId: string,
  reader: string,
  { topic, partition, from, next }: TopicPosition,
): void {
  const key = [reader, clusterId, topic, partition, next]
  if (from === null) send('begin-position', BEGIN_POSITION, key)
  else send('advance-position', ADVANCE_POSITION, [...key, from])
}

const INSERT_ITEMS = `insert into recon_items (pair, id, item, version, side, account, currency, amount, day)
  select $1, id, item::json, $2, side, account, currency, amount, day
  from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::integer[])
    as i (id, item, side, account, currency, amount, day)`
const INSERT_STATEMENTS = `insert into recon_statements (pair, key, statement, version)
  select $1, key, statement::jsonb, $2 from unnest($3::text[], $4::text[]) as s (key, statement)`
const INSERT_COMMANDS = `insert into recon_commands (pair, id, refusal, version)
  select $1, id, refusal, $2 from unnest($3::text[], $4::text[]) as c (id, refusal)`
const INSERT_REFUSED = `insert into recon_refused (pair, topic, partition, "offset", reason)
  select $1, * from unnest($2::text[], $3::integer[], $4::bigint[], $5::text[])`

function writeRows(send: Send, commit: PairCommit): void {
  const { pair, delta, refused } = commit
  const { items, statements, commands } = delta
  const version = commit.version + 1n
  if (items.length > 0) {
    send('items', INSERT_ITEMS, [
      pair,
      version,
      textArray(items.map(({ id }) => id)),
      textArray(items.map(itemJson)),
      textArray(items.map(({ side }) => side)),
      textArray(items.map(({ account }) => account)),
      textArray(items.map(({ currency }) => currency)),
      int8Array(items.map(({ amountMinor }) => amountMinor)),
      int4Array(items.map(dayOf)),
    ])
  }
  if (statements.length > 0) {
    const keys = textArray(statements.map(({ key }) => key))
    send('statements', INSERT_STATEMENTS, [pair, version, keys, textArray(statements.map(statementJson))])
  }
  writeMatches(send, pair, version, delta)
  if (delta.breaks.length > 0) writeBreaks(send, version, commit)
  if (commands.length > 0) {
    const ids = textArray(commands.map(({ id }) => id))
    send('commands', INSERT_COMMANDS, [pair, version, ids, textArray(commands.map(({ refusal }) => refusal))])
  }
  if (refused.length > 0) {
    send('refused', INSERT_REFUSED, [
      pair,
      textArray(refused.map(({ topic }) => topic)),
      int4Array(refused.map(({ partition }) => partition)),
      int8Array(refused.map(({ offset }) => offset)),
      textArray(refused.map(({ reason }) => reason)),
    ])
  }
}

const END_MATCHES = `with ended as (update recon_matches set ended_version = $2
    where pair = $1 and id = any($3::text[]) and ended_version is null returning 1)
  select require_rows('${COUNTED.matches}', $4, (select count(*) from ended))`
/** Between the ids of one side; none holds such a character. */
const SEPARATOR = '\u0001'
const INSERT_MATCHES = `insert into recon_matches (pair, id, version, pass, score, ledger_ids, bank_ids, difference, because,
    account, currency, amount)
  select $1, id, $2, pass, score, string_to_array(ledger, chr(1)), string_to_array(bank, chr(1)), difference, because,
    account, currency, amount
  from unnest($3::text[], $4::text[], $5::integer[], $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[], $11::text[],
    $12::bigint[]) as m (id, pass, score, ledger, bank, difference, because, account, currency, amount)`

function writeMatches(send: Send, pair: string, version: bigint, { matched, unmatched }: PairDelta): void {
  if (unmatched.length > 0) {
    const ids = textArray(unmatched.map(({ id }) => id))
    send('end-matches', END_MATCHES, [pair, version, ids, unmatched.length])
  }
  if (matched.length === 0) return
  send('matches', INSERT_MATCHES, [
    pair,
    version,
    textArray(matched.map(({ id }) => id)),
    textArray(matched.map(({ pass }) => pass)),
    int4Array(matched.map(({ score }) => score)),
    textArray(matched.map(({ ledger }) => ledger.join(SEPARATOR))),
    textArray(matched.map(({ bank }) => bank.join(SEPARATOR))),
    int8Array(matched.map(({ differenceMinor }) => differenceMinor)),
    textArray(matched.map(({ because }) => because)),
    textArray(matched.map(({ account }) => account)),
    textArray(matched.map(({ currency }) => currency)),
    int8Array(matched.map(({ amountMinor }) => amountMinor)),
  ])
}

const INSERT_EVENTS = `insert into recon_break_events (pair, version, index, break_id, event)
  select $1, $2, ordinality - 1, id, event::jsonb from unnest($3::text[], $4::text[]) with ordinality as e (id, event)`
const PUT_BREAKS = `insert into recon_breaks (pair, break_id, status, kind, owner, side, account, currency, amount, day, severity,
    opened_at_ms, version)
  select $1, break_id, status, kind, owner, side, account, currency, amount, day, severity, opened_at_ms, $2
  from jsonb_to_recordset($3::jsonb) as b (break_id text, status text, kind text, owner text, side text, account text,
    currency text, amount bigint, day integer, severity text, opened_at_ms bigint)
  on conflict (pair, break_id) do update set status = excluded.status, kind = excluded.kind, owner = excluded.owner,
    severity = excluded.severity, version = excluded.version`

function writeBreaks(send: Send, version: bigint, { pair, delta, breaks }: PairCommit): void {
  send('break-events', INSERT_EVENTS, [
    pair,
    version,
    textArray(delta.breaks.map(({ id }) => id)),
    textArray(delta.breaks.map(({ event }) => jsonOf(event))),
  ])
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
  send('breaks', PUT_BREAKS, [pair, version, jsonOf(rows)])
}

const NUMBER = `with head as (update recon_results_head set sequence = sequence + $4 returning sequence - $4 as before)
  insert into recon_results (sequence, pair, version, first, recorded_ms)
  select before + part, $1, $2, (part - 1) * $5::integer, $3 from head, generate_series(1, $4::integer) as part`

/** Gives what is to be published its places. Last of all: whoever numbers holds the others up until it is committed. */
function sendNumbers(send: Send, { pair, version, recordedMs, delta }: PairCommit): void {
  const records = delta.unmatched.length + delta.matched.length + delta.breaks.length
  if (records === 0) return
  send('number', NUMBER, [pair, version + 1n, recordedMs, Math.ceil(records / RESULTS_PART), RESULTS_PART])
}
