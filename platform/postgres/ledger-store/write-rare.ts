/** Writes what is rare: forgotten ids, holds, reversals, rules, dead letters and commands. */
import type { BatchEffects, LedgerState } from '#domain/ledger/state.ts'
import {
  boolArray,
  byteaArray,
  int2Array,
  int4Array,
  int8Array,
  textArray,
  timestampArray,
  uuidArray,
} from '../binary-arrays.ts'
import { toJson } from './json-rows.ts'
import type { LockedHead, Statements } from './store.ts'
import type { Pending } from './write-accounts.ts'

/** Ids that are free again (domain/ledger/horizons.ts) leave nothing behind that their next owner could be taken for. */
export const writeForgotten = (session: Statements, pending: Pending, effects: BatchEffects): void => {
  if (effects.forgotten.size === 0) return
  const keys = uuidArray([...effects.forgotten])
  pending.push(
    session.query('forget-ids', 'delete from transaction_ids where key = any($1::uuid[])', [keys]),
    session.query('forget-holds', 'delete from holds where key = any($1::uuid[])', [keys]),
    session.query('forget-reversals', 'delete from reversals where key = any($1::uuid[])', [keys]),
    session.query('forget-labels', 'delete from fraud_labels where key = any($1::uuid[])', [keys]),
  )
}

const UPSERT_HOLDS = `insert into holds (key, kind, status, id, source, sequence, index, expires_at_ms, postings, card, command,
    version, version_index, priority, reviewers, released_by)
  select k, ki, s, d, so, sq, ix, e, p::jsonb, c, co::jsonb, v, vi, pr, re, rb
  from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::int[], $8::bigint[], $9::text[],
    $10::text[], $11::text[], $12::bigint[], $13::int[], $14::int[], $15::int[], $16::text[])
    as u (k, ki, s, d, so, sq, ix, e, p, c, co, v, vi, pr, re, rb) order by k
  on conflict (key) do update set kind = excluded.kind, status = excluded.status, expires_at_ms = excluded.expires_at_ms,
    postings = excluded.postings, version = excluded.version, version_index = excluded.version_index,
    priority = excluded.priority, reviewers = excluded.reviewers, released_by = excluded.released_by`

/** Authorizations and held transactions, as they are after the batch. */
export const writeHolds = (session: Statements, pending: Pending, effects: BatchEffects): void => {
  const holds = [...effects.holds]
  if (holds.length === 0) return
  pending.push(
    session.query('upsert-holds', UPSERT_HOLDS, [
      uuidArray(holds.map((h) => h.key)),
      textArray(holds.map((h) => h.kind)),
      textArray(holds.map((h) => h.status)),
      textArray(holds.map((h) => h.id)),
      textArray(holds.map((h) => h.source)),
      int8Array(holds.map((h) => h.sequence)),
      int4Array(holds.map((h) => h.index)),
      int8Array(holds.map((h) => h.expiresAt)),
      textArray(holds.map((h) => toJson(h.postings))),
      textArray(holds.map((h) => h.command.card)),
      textArray(holds.map((h) => toJson(h.command))),
      int8Array(holds.map((h) => h.version)),
      int4Array(holds.map((h) => h.versionIndex)),
      int4Array(holds.map((h) => h.priority)),
      int4Array(holds.map((h) => h.reviewers)),
      textArray(holds.map((h) => h.releasedBy)),
    ]),
  )
}

/** How much of earlier postings was given back. */
export const writeReversals = (
  session: Statements,
  pending: Pending,
  state: LedgerState,
  effects: BatchEffects,
): void => {
  const rows = [...effects.parents].flatMap((parent) =>
    parent.postings.filter((p) => p.changed).map((p) => ({ key: parent.key, ...p })),
  )
  if (rows.length === 0) return
  pending.push(
    session.query(
      'upsert-reversals',
      `insert into reversals (key, posting, reversed, version)
       select k, p, r, $1 from unnest($2::uuid[], $3::int2[], $4::bigint[]) as u (k, p, r) order by k, p
       on conflict (key, posting) do update set reversed = excluded.reversed, version = excluded.version`,
      [
        state.sequence,
        uuidArray(rows.map((r) => r.key)),
        int2Array(rows.map((r) => r.posting)),
        int8Array(rows.map((r) => r.reversed)),
      ],
    ),
  )
}

const UPSERT_LABELS = `insert into fraud_labels (key, is_fraud, actor, reason, occurred_at, recorded_at, topic, partition,
    "offset", version)
  select k, f, a, r, oc, re, t, p, o, $1 from unnest($2::uuid[], $3::bool[], $4::text[], $5::text[], $6::timestamptz[],
    $7::timestamptz[], $8::text[], $9::int[], $10::bigint[]) as u (k, f, a, r, oc, re, t, p, o) order by k
  on conflict (key) do update set is_fraud = excluded.is_fraud, actor = excluded.actor, reason = excluded.reason,
    occurred_at = excluded.occurred_at, recorded_at = excluded.recorded_at, topic = excluded.topic,
    partition = excluded.partition, "offset" = excluded."offset", version = excluded.version`

/** What is known of payments from now on. */
export const writeLabels = (
  session: Statements,
  pending: Pending,
  state: LedgerState,
  effects: BatchEffects,
): void => {
  if (effects.labels.size === 0) return
  const labels = [...effects.labels.values()]
  pending.push(
    session.query('upsert-labels', UPSERT_LABELS, [
      state.sequence,
      uuidArray(labels.map((l) => l.key)),
      boolArray(labels.map((l) => l.isFraud)),
      textArray(labels.map((l) => l.actor)),
      textArray(labels.map((l) => l.reason)),
      timestampArray(labels.map((l) => l.occurredAt)),
      timestampArray(labels.map((l) => l.recordedAt)),
      textArray(labels.map((l) => l.position.topic)),
      int4Array(labels.map((l) => l.position.partition)),
      int8Array(labels.map((l) => l.position.offset)),
    ]),
  )
}

/** New versions of rules. */
export const writeRules = (session: Statements, pending: Pending, effects: BatchEffects): void => {
  if (effects.rules.length === 0) return
  pending.push(
    session.query(
      'insert-rules',
      `insert into rules (rule_id, version, index, body)
       select d, v, i, b::jsonb from unnest($1::text[], $2::bigint[], $3::int[], $4::text[]) as u (d, v, i, b)`,
      [
        textArray(effects.rules.map((r) => r.ruleId)),
        int8Array(effects.rules.map((r) => r.version)),
        int4Array(effects.rules.map((_, place) => place)),
        textArray(effects.rules.map((r) => toJson(r))),
      ],
    ),
  )
}

/** Records that could not be read. */
export const writeDeadLetters = (
  session: Statements,
  pending: Pending,
  state: LedgerState,
  effects: BatchEffects,
): void => {
  const letters = effects.deadLetters
  if (letters.length === 0) return
  pending.push(
    session.query(
      'insert-dead-letters',
      `insert into dead_letters (sequence, index, topic, partition, "offset", reason, detail, key, value, value_bytes,
         value_sha256, content_type, recorded_at, first_offset)
       select $1, i, t, p, o, r, d, k, v, b, h, c, a, f from unnest($2::int[], $3::text[], $4::int[], $5::bigint[], $6::text[],
         $7::text[], $8::bytea[], $9::bytea[], $10::bigint[], $11::bytea[], $12::text[], $13::timestamptz[], $14::bigint[])
         as u (i, t, p, o, r, d, k, v, b, h, c, a, f)`,
      [
        state.sequence,
        int4Array(letters.map((l) => l.index)),
        textArray(letters.map((l) => l.position.topic)),
        int4Array(letters.map((l) => l.position.partition)),
        int8Array(letters.map((l) => l.position.offset)),
        textArray(letters.map((l) => l.letter.reason)),
        textArray(letters.map((l) => l.letter.detail)),
        byteaArray(letters.map((l) => l.letter.key)),
        byteaArray(letters.map((l) => l.letter.value)),
        int8Array(letters.map((l) => l.letter.valueBytes)),
        byteaArray(letters.map((l) => l.letter.valueSha256)),
        textArray(letters.map((l) => l.letter.contentType)),
        timestampArray(letters.map((l) => l.recordedAt)),
        int8Array(letters.map((l) => l.letter.firstOffset ?? null)),
      ],
    ),
  )
}

/** What was decided about administrative commands. */
export const writeCommands = (
  session: Statements,
  pending: Pending,
  state: LedgerState,
  effects: BatchEffects,
): void => {
  const { commands } = effects
  if (commands.length === 0) return
  pending.push(
    session.query(
      'insert-commands',
      `insert into commands (sequence, index, id, content, claims, kind, subject, parameters, actor, reason, outcome, refusal,
         topic, partition, "offset", occurred_at, recorded_at)
       select $1, i, d, h, cl = 1, k, s, p::jsonb, a, w, oc, re, t, pn, o, e, r from unnest($2::int[], $3::text[], $4::uuid[],
         $5::int2[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[],
         $14::int[], $15::bigint[], $16::timestamptz[], $17::timestamptz[])
         as u (i, d, h, cl, k, s, p, a, w, oc, re, t, pn, o, e, r)`,
      [
        state.sequence,
        int4Array(commands.map((c) => c.index)),
        textArray(commands.map((c) => c.command.id)),
        uuidArray(commands.map((c) => c.content)),
        int2Array(commands.map((c) => (c.claims ? 1 : 0))),
        textArray(commands.map((c) => c.command.kind)),
        textArray(commands.map((c) => c.command.subject)),
        textArray(commands.map((c) => JSON.stringify(c.command.parameters))),
        textArray(commands.map((c) => c.command.actor)),
        textArray(commands.map((c) => c.command.reason)),
        textArray(commands.map((c) => c.outcome)),
        textArray(commands.map((c) => c.refusal)),
        textArray(commands.map((c) => c.position.topic)),
        int4Array(commands.map((c) => c.position.partition)),
        int8Array(commands.map((c) => c.position.offset)),
        timestampArray(commands.map((c) => c.command.occurredAt)),
        timestampArray(commands.map((c) => c.recordedAt)),
      ],
    ),
  )
}

/** The batch's header tells them: from now on they are history. */
export const writeToldJumps = (session: Statements, pending: Pending, { jumps = [] }: LockedHead): void => {
  if (jumps.length === 0) return
  pending.push(
    session.query(
      'tell-jumps',
      `update ingest_offsets o set jumped_from = null, jumped_to = null from unnest($2::text[], $3::int[], $4::bigint[]) as u (t, p, n)
       where o.cluster_id = $1 and o.topic = u.t and o.partition = u.p and o.jumped_to = u.n`,
      [
        session.clusterId,
        textArray(jumps.map((j) => j.topic)),
        int4Array(jumps.map((j) => j.partition)),
        int8Array(jumps.map((j) => j.to)),
      ],
    ),
  )
}

// What was hashed before is no longer what stands before the position, and the topic may be another one by intention; the time is still
// that of the last applied record.
const MOVE_POSITIONS = `with moved as (
    update ingest_offsets o set next_offset = u.n, epoch = epoch + 1, last_offset = null, last_hash = null, topic_id = null,
      incident = null,      jumped_from = u.f, jumped_to = u.n
    from unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[]) as u (t, p, f, n)
    where o.cluster_id = $1 and o.topic = u.t and o.partition = u.p and o.next_offset = u.f returning 1)
  select require_rows('moved positions', $6, (select count(*) from moved))`

/** Positions that commands moved: whoever reads the partitions has to take them anew. */
export const writeMoves = (session: Statements, pending: Pending, { moves }: BatchEffects): void => {
  if (moves.length === 0) return
  pending.push(
    session.query('move-positions', MOVE_POSITIONS, [
      session.clusterId,
      textArray(moves.map((m) => m.topic)),
      int4Array(moves.map((m) => m.partition)),
      int8Array(moves.map((m) => m.from)),
      int8Array(moves.map((m) => m.to)),
      moves.length,
    ]),
  )
}
