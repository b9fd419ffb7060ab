/** Writes accounts, cards and parties of fraud rules: a row once a batch, however many of its transactions touched it. */
import { encodeParty, PARTY_KINDS } from '#domain/fraud/parties.ts'
import { encodeProfile } from '#domain/fraud/profile.ts'
import type { AccountState, BatchEffects, LedgerState } from '#domain/ledger/state.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { boolArray, byteaArray, int2Array, int4Array, int8Array, textArray } from '../binary-arrays.ts'
import type { Statements } from './store.ts'

/** Statements under way: errors of one reach the commit as an aborted transaction, so all are awaited together. */
export type Pending = Promise<unknown>[]

/** ISO 4217 numeric code of a currency that was checked. */
export const currencyNumeric = (code: string): number => {
  const currency = currencyByCode(code)
  if (currency === undefined) throw new Error(`currency ${code} was checked but isn't known`)
  return currency.numeric
}

const UPDATE_BALANCES = `update accounts a set posted = u.p, reserved = u.r, version = $1, profile = coalesce(u.f, a.profile)
  from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[]) as u (n, p, r, f) where a.account_no = u.n`

const UPDATE_REFERENCE = `update accounts a set status = u.s, limited = u.l, overdraft_limit = u.o
  from unnest($1::bigint[], $2::text[], $3::bool[], $4::bigint[]) as u (n, s, l, o) where a.account_no = u.n`

const INSERT_ACCOUNTS = `insert into accounts (account_no, account_id, currency, account_class, normal_side, status, limited,
    overdraft_limit, reversal_may_overdraw, posted, reserved, version, opened_sequence, profile)
  select n, d, c, k, s, st, l, o, rv, p, r, $1, $1, f
  from unnest($2::bigint[], $3::text[], $4::int2[], $5::text[], $6::text[], $7::text[], $8::bool[], $9::bigint[], $10::bool[],
    $11::bigint[], $12::bigint[], $13::bytea[]) as u (n, d, c, k, s, st, l, o, rv, p, r, f)`

/** Opened and changed accounts. */
export const writeAccounts = (
  session: Statements,
  pending: Pending,
  state: LedgerState,
  effects: BatchEffects,
): void => {
  const opened: AccountState[] = []
  const changed: AccountState[] = []
  for (const account of effects.accounts) {
    if (account.openedSequence === state.sequence) opened.push(account)
    else changed.push(account)
  }
  if (opened.length > 0) pending.push(insertAccounts(session, state, opened))
  if (changed.length === 0) return
  changed.sort((a, b) => a.no - b.no)
  pending.push(
    session.query('update-balances', UPDATE_BALANCES, [
      state.sequence,
      int8Array(changed.map((a) => a.no)),
      int8Array(changed.map((a) => a.posted)),
      int8Array(changed.map((a) => a.reserved)),
      byteaArray(changed.map((a) => (a.profileChanged ? encodeProfile(a.profile!) : null))),
    ]),
  )
  const reference = changed.filter((a) => a.referenceChanged)
  if (reference.length === 0) return
  pending.push(
    session.query('update-reference', UPDATE_REFERENCE, [
      int8Array(reference.map((a) => a.no)),
      textArray(reference.map((a) => a.status)),
      boolArray(reference.map((a) => a.limited)),
      int8Array(reference.map((a) => a.overdraftLimit)),
    ]),
  )
}

const insertAccounts = (
  session: Statements,
  state: LedgerState,
  opened: readonly AccountState[],
): Promise<unknown> =>
  session.query('insert-accounts', INSERT_ACCOUNTS, [
    state.sequence,
    int8Array(opened.map((a) => a.no)),
    textArray(opened.map((a) => a.id)),
    int2Array(opened.map((a) => currencyNumeric(a.currency))),
    textArray(opened.map((a) => a.accountClass)),
    textArray(opened.map((a) => a.normalSide)),
    textArray(opened.map((a) => a.status)),
    boolArray(opened.map((a) => a.limited)),
    int8Array(opened.map((a) => a.overdraftLimit)),
    boolArray(opened.map((a) => a.reversalMayOverdraw)),
    int8Array(opened.map((a) => a.posted)),
    int8Array(opened.map((a) => a.reserved)),
    byteaArray(opened.map((a) => (a.profileChanged ? encodeProfile(a.profile!) : null))),
  ])

const UPSERT_CARDS = `insert into cards (card_no, card, account_no, status, expires_at_ms, transaction_limit, daily_limit, spent,
    reserved, day, day_amount, version)
  select n, c, a, s, e, tl, dl, sp, r, d, da, $1 from unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::int[], $12::bigint[]) as u (n, c, a, s, e, tl, dl, sp, r, d, da)
  on conflict (card_no) do update set status = excluded.status, expires_at_ms = excluded.expires_at_ms,
    transaction_limit = excluded.transaction_limit, daily_limit = excluded.daily_limit, spent = excluded.spent,
    reserved = excluded.reserved, day = excluded.day, day_amount = excluded.day_amount, version = excluded.version`

/** Issued and changed cards. */
export const writeCards = (
  session: Statements,
  pending: Pending,
  state: LedgerState,
  effects: BatchEffects,
): void => {
  const cards = [...effects.cards].sort((a, b) => a.no - b.no)
  if (cards.length === 0) return
  pending.push(
    session.query('upsert-cards', UPSERT_CARDS, [
      state.sequence,
      int8Array(cards.map((c) => c.no)),
      textArray(cards.map((c) => c.card)),
      int8Array(cards.map((c) => c.accountNo)),
      textArray(cards.map((c) => c.status)),
      int8Array(cards.map((c) => c.expiresAt)),
      int8Array(cards.map((c) => c.transactionLimit)),
      int8Array(cards.map((c) => c.dailyLimit)),
      int8Array(cards.map((c) => c.spent)),
      int8Array(cards.map((c) => c.reserved)),
      int4Array(cards.map((c) => c.day)),
      int8Array(cards.map((c) => c.dayAmount)),
    ]),
  )
}

const UPSERT_PARTIES = `insert into fraud_parties (kind, name, used_day, version, state)
  select k, n, d, $1, s from unnest($2::int2[], $3::text[], $4::int[], $5::bytea[]) as u (k, n, d, s)
  on conflict (kind, name) do update set used_day = excluded.used_day, version = excluded.version, state = excluded.state`

/** Cards, terminals, merchants and devices that were used. */
export const writeParties = (
  session: Statements,
  pending: Pending,
  state: LedgerState,
  effects: BatchEffects,
): void => {
  if (effects.parties.size === 0) return
  const parties = [...effects.parties]
  pending.push(
    session.query('upsert-parties', UPSERT_PARTIES, [
      state.sequence,
      int2Array(parties.map((party) => PARTY_KINDS.indexOf(party.kind))),
      textArray(parties.map((party) => party.name)),
      int4Array(parties.map((party) => party.usedDay)),
      byteaArray(parties.map(encodeParty)),
    ]),
  )
}
