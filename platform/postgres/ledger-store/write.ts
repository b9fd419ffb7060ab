/** Writes a decided batch and commits: rows by UNNEST, then the two compare-and-swaps, all in one pipeline. */
import type { BatchEffects, LedgerState, TransactionDecision } from '#domain/ledger/state.ts'
import { pendingTicksJson } from '#domain/time/pending-ticks.ts'
import { CAUSES, KINDS, REASONS, STATUSES } from '#domain/transactions/outcomes.ts'
import { OperatingError } from '#platform/errors.ts'
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
import { asOperatingError } from '../postgres-errors.ts'
import type { EncodedBatch, LockedHead, PartitionProgress, Statements } from './store.ts'
import { currencyNumeric, type Pending, writeAccounts, writeCards, writeParties } from './write-accounts.ts'
import {
  writeCommands,
  writeDeadLetters,
  writeForgotten,
  writeHolds,
  writeLabels,
  writeMoves,
  writeReversals,
  writeRules,
  writeToldJumps,
} from './write-rare.ts'

const placeIn = (list: readonly string[]): ((word: string) => number) => {
  const places = new Map(list.map((word, place) => [word, place]))
  return (word) => places.get(word)!
}
const kindCode = placeIn(KINDS)
const causeCode = placeIn(CAUSES)
const statusCode = placeIn(STATUSES)
const reasonCode = placeIn(REASONS)

/** See LedgerStore.commit and commitAhead. */
export const commitBatch = async (
  session: Statements,
  head: LockedHead,
  state: LedgerState,
  effects: BatchEffects,
  progress: readonly PartitionProgress[],
  batch: EncodedBatch,
  options: { readonly ahead: boolean } = { ahead: false },
): Promise<void> => {
  const pending: Pending = []
  if (options.ahead) {
    pending.push(session.query('begin', 'begin'))
    pending.push(session.query('lock-expected-head', LOCK_EXPECTED_HEAD, [head.sequence, head.hash]))
  }
  writeForgotten(session, pending, effects)
  writeIds(session, pending, state, effects)
  writeTransactions(session, pending, state, effects.decisions)
  writePostings(session, pending, state, effects.decisions)
  writeAccounts(session, pending, state, effects)
  writeCards(session, pending, state, effects)
  writeParties(session, pending, state, effects)
  writeHolds(session, pending, effects)
  writeReversals(session, pending, state, effects)
  writeRules(session, pending, effects)
  writeLabels(session, pending, state, effects)
  writeDeadLetters(session, pending, state, effects)
  writeCommands(session, pending, state, effects)
  pending.push(insertBatch(session, head, state, batch))
  writeToldJumps(session, pending, head)
  pending.push(advanceOffsets(session, progress))
  writeMoves(session, pending, effects)
  pending.push(advanceHead(session, head, state, batch))
  const commit = session.query('commit', 'commit')
  pending.push(commit)
  const results = await Promise.allSettled(pending)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw asOperatingError(failed.reason)
  // In an aborted transaction COMMIT is answered by ROLLBACK, without an error.
  const { command } = await commit
  if (command !== 'COMMIT') {
    throw new OperatingError('commit_rolled_back', `expected COMMIT, got ${command}`, { retriable: true })
  }
}

// Waits for whoever holds the head; another head than the expected one fails at once, and with it all that follows.
const LOCK_EXPECTED_HEAD = `select require_rows('ledger head', 1,
  (select count(*) from (select 1 from ledger_head where sequence = $1 and hash = $2 for update) as expected))`

const TAKE_IDS = `with taken as (
    insert into transaction_ids (key, content, sequence, index, recorded_at)
    select k, c, $3, i, r from unnest($1::uuid[], $2::uuid[], $4::int[], $5::timestamptz[]) as u (k, c, i, r) order by k
    on conflict (key) do nothing returning 1)
  select require_rows('transaction ids', $6, (select count(*) from taken))`

const writeIds = (session: Statements, pending: Pending, state: LedgerState, effects: BatchEffects): void => {
  const claiming = effects.decisions.filter((d) => d.claims)
  if (claiming.length === 0) return
  pending.push(
    session.query('take-ids', TAKE_IDS, [
      uuidArray(claiming.map((d) => d.key)),
      uuidArray(claiming.map((d) => d.content)),
      state.sequence,
      int4Array(claiming.map((d) => d.index)),
      timestampArray(claiming.map((d) => d.recordedAt)),
      claiming.length,
    ]),
  )
}

/** @param more columns beside the usual ones: names, short names and arrays, each beginning with a comma */
const insertTransactions = (more: { names: string; short: string; arrays: string }): string =>
  `insert into transactions (recorded_at, sequence, index, key, id, source, kind, cause, status, reason,
    parent_key, card_no, end_to_end_id, uetr, occurred_at, value_at, topic, partition, "offset", actor${more.names})
  select * from (select r, $1::bigint, i, k, d, s, ki, ca, st, re, pk, cn, e2e, ue, oc, va, t, p, o, ac${more.short}
  from unnest($2::timestamptz[], $3::int[], $4::uuid[], $5::text[], $6::text[], $7::int2[], $8::int2[], $9::int2[], $10::int2[],
    $11::uuid[], $12::bigint[], $13::text[], $14::text[], $15::timestamptz[], $16::timestamptz[], $17::text[], $18::int[],
    $19::bigint[], $20::text[]${more.arrays}) as u (r, i, k, d, s, ki, ca, st, re, pk, cn, e2e, ue, oc, va, t, p, o, ac${more.short})) as rows`
const INSERT_TRANSACTIONS = insertTransactions({ names: '', short: '', arrays: '' })
/** With what labels need: only where a rule looks at them, so that nobody else pays for it. */
const INSERT_LABELLED = insertTransactions({
  names: ', payer_no, acceptor, was_unusual',
  short: ', pn, ap, un',
  arrays: ', $21::bigint[], $22::text[], $23::bool[]',
})

const writeTransactions = (
  session: Statements,
  pending: Pending,
  state: LedgerState,
  decisions: readonly TransactionDecision[],
): void => {
  if (decisions.length === 0) return
  const isLabelled = decisions.some(({ payment }) => payment !== null)
  const name = isLabelled ? 'insert-labelled' : 'insert-transactions'
  const text = isLabelled ? INSERT_LABELLED : INSERT_TRANSACTIONS
  pending.push(
    session.query(name, text, [
      state.sequence,
      timestampArray(decisions.map((d) => d.recordedAt)),
      int4Array(decisions.map((d) => d.index)),
      uuidArray(decisions.map((d) => d.key)),
      textArray(decisions.map((d) => d.command.id)),
      textArray(decisions.map((d) => d.command.source)),
      int2Array(decisions.map((d) => (d.command.kind === 'unknown' ? -1 : kindCode(d.command.kind)))),
      int2Array(decisions.map((d) => causeCode(d.cause))),
      int2Array(decisions.map((d) => statusCode(d.status))),
      int2Array(decisions.map((d) => (d.reason === null ? null : reasonCode(d.reason)))),
      uuidArray(decisions.map((d) => d.parentKey)),
      int8Array(decisions.map((d) => d.cardNo)),
      textArray(decisions.map((d) => d.command.endToEndId)),
      textArray(decisions.map((d) => d.command.uetr)),
      timestampArray(decisions.map((d) => d.command.occurredAt)),
      timestampArray(decisions.map((d) => valueTimeOf(d))),
      textArray(decisions.map((d) => d.position.topic)),
      int4Array(decisions.map((d) => d.position.partition)),
      int8Array(decisions.map((d) => d.position.offset)),
      textArray(decisions.map((d) => d.actor)),
      ...(isLabelled ? labelColumns(decisions) : []),
    ]),
  )
}

const labelColumns = (decisions: readonly TransactionDecision[]): Buffer[] => [
  int8Array(decisions.map((d) => d.payment?.payerNo ?? null)),
  textArray(decisions.map((d) => d.payment?.acceptor ?? null)),
  boolArray(decisions.map((d) => d.payment?.wasUnusual ?? null)),
]

/** Effective time of a decision: what its record says, else when it occurred, ms. */
export const valueTimeOf = (decision: TransactionDecision): number =>
  decision.command.valueTime ?? decision.command.occurredAt

const INSERT_POSTINGS = `insert into postings (recorded_at, sequence, index, posting, debit_no, credit_no, amount, currency,
    debit_posted, credit_posted, value_at)
  select r, $1, i, p, d, c, a, cu, dp, cp, v
  from unnest($2::timestamptz[], $3::int[], $4::int2[], $5::bigint[], $6::bigint[], $7::bigint[], $8::int2[], $9::bigint[],
    $10::bigint[], $11::timestamptz[]) as u (r, i, p, d, c, a, cu, dp, cp, v)`

/** Only what moved money: an authorization's or a held transaction's postings are plans. */
const writePostings = (
  session: Statements,
  pending: Pending,
  state: LedgerState,
  decisions: readonly TransactionDecision[],
): void => {
  const recorded: number[] = []
  const index: number[] = []
  const place: number[] = []
  const debit: number[] = []
  const credit: number[] = []
  const amount: bigint[] = []
  const currency: number[] = []
  const debitPosted: bigint[] = []
  const creditPosted: bigint[] = []
  const value: number[] = []
  for (const decision of decisions) {
    if (decision.status !== 'applied') continue
    const valueMs = valueTimeOf(decision)
    for (let at = 0; at < decision.postings.length; at += 1) {
      const posting = decision.postings[at]!
      recorded.push(decision.recordedAt)
      index.push(decision.index)
      place.push(at)
      debit.push(posting.debit.no)
      credit.push(posting.credit.no)
      amount.push(posting.amount)
      currency.push(currencyNumeric(posting.currency))
      debitPosted.push(posting.debitPosted)
      creditPosted.push(posting.creditPosted)
      value.push(valueMs)
    }
  }
  if (recorded.length === 0) return
  pending.push(
    session.query('insert-postings', INSERT_POSTINGS, [
      state.sequence,
      timestampArray(recorded),
      int4Array(index),
      int2Array(place),
      int8Array(debit),
      int8Array(credit),
      int8Array(amount),
      int2Array(currency),
      int8Array(debitPosted),
      int8Array(creditPosted),
      timestampArray(value),
    ]),
  )
}

const insertBatch = (
  session: Statements,
  head: LockedHead,
  state: LedgerState,
  batch: EncodedBatch,
): Promise<unknown> =>
  session.query(
    'insert-batch',
    `insert into batches (sequence, recorded_at, previous_hash, hash, format, records, header, payload)
     values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [
      state.sequence,
      new Date(state.time.nowMs).toISOString(),
      head.hash,
      batch.hash,
      batch.format,
      batch.records,
      batch.header,
      batch.payload,
    ],
  )

const ADVANCE_OFFSETS = `with advanced as (
    update ingest_offsets o set next_offset = u.n, last_offset = coalesce(u.lo, o.last_offset),
      last_hash = coalesce(u.lh, o.last_hash), last_timestamp_ms = coalesce(u.lt, o.last_timestamp_ms)
    from unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[], $9::bigint[])
      as u (t, p, e, f, n, lo, lh, lt)
    where o.cluster_id = $1 and o.topic = u.t and o.partition = u.p and o.epoch = u.e and o.next_offset = u.f
    returning 1)
  select require_rows('ingest offsets', $10, (select count(*) from advanced))`

const advanceOffsets = (session: Statements, progress: readonly PartitionProgress[]): Promise<unknown> =>
  session.query('advance-offsets', ADVANCE_OFFSETS, [
    session.clusterId,
    textArray(progress.map((p) => p.claim.topic)),
    int4Array(progress.map((p) => p.claim.partition)),
    int8Array(progress.map((p) => p.claim.epoch)),
    int8Array(progress.map((p) => p.from)),
    int8Array(progress.map((p) => p.next)),
    int8Array(progress.map((p) => p.last?.offset ?? null)),
    byteaArray(progress.map((p) => p.last?.hash ?? null)),
    int8Array(progress.map((p) => p.last?.timestampMs ?? null)),
    progress.length,
  ])

const ADVANCE_HEAD = `with advanced as (
    update ledger_head set sequence = $1, hash = $2, tick_ms = $3, pending_ticks = $4::jsonb, expiring = $5,
      rules_version = $6, accounts_count = $7, cards_count = $8
    where sequence = $9 and hash = $10 and logic_version = $11 returning 1)
  select require_rows('ledger head', 1, (select count(*) from advanced))`

const advanceHead = (
  session: Statements,
  head: LockedHead,
  state: LedgerState,
  batch: EncodedBatch,
): Promise<unknown> =>
  session.query('advance-head', ADVANCE_HEAD, [
    state.sequence,
    batch.hash,
    state.time.nowMs,
    JSON.stringify(pendingTicksJson(state.time)),
    state.expiring,
    state.rulesVersion,
    state.accountsCount,
    state.cardsCount,
    head.sequence,
    head.hash,
    head.logicVersion,
  ])
