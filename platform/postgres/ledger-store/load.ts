/** Reads what a batch touches, under the head lock: a fixed number of round trips, whatever its size. */
import { decodeProfile, newProfile } from '#domain/fraud/profile.ts'
import type { Rule } from '#domain/fraud/rules.ts'
import { activeRules } from '#domain/fraud/rules.ts'
import { watchOf } from '#domain/fraud/rulebook/watch.ts'
import { horizonsOf } from '#domain/ledger/horizons.ts'
import type { BatchNeeds } from '#domain/ledger/needs.ts'
import {
  type AccountState,
  type CardState,
  type ClaimedTransactionId,
  DECISION_BOUNDS,
  type HoldState,
  type LedgerState,
  type PostedParent,
} from '#domain/ledger/state.ts'
import { currencyByNumeric } from '#domain/money/currency.ts'
import { KINDS } from '#domain/transactions/outcomes.ts'
import { textArray, uuidArray } from '../binary-arrays.ts'
import { type HoldRow, holdOfRow, ruleOfRow } from './json-rows.ts'
import { readCommands, readDeadLetterStatuses } from './load-commands.ts'
import { readLabelTargets, withAcceptors } from './load-labels.ts'
import { readParties } from './load-parties.ts'
import type { LedgerCache, LoadOptions, LockedHead, Statements } from './store.ts'

const hexOf = (uuid: string): string => uuid.replaceAll('-', '')

/** Loads the state for deciding the batch whose needs are given. */
export const loadState = async (
  session: Statements,
  head: LockedHead,
  needs: BatchNeeds,
  cache: LedgerCache,
  options: LoadOptions,
): Promise<LedgerState> => {
  const latestTick = latestTime(head, needs)
  const [
    claimed,
    holds,
    due,
    { parents, parentsTakenAt },
    cards,
    rules,
    labelTargets,
    commands,
    deadLetters,
  ] = await Promise.all([
    options.checkIds ? readClaimed(session, needs.idKeys) : new Map<string, ClaimedTransactionId>(),
    readHolds(session, needs.parentKeys),
    latestTick === null ? [] : readDueHolds(session, latestTick),
    readParents(session, needs.parentKeys),
    readCards(session, needs.cards),
    readRules(session, head, cache),
    readLabelTargets(session, needs.labelKeys),
    readCommands(session, needs.commandIds),
    readDeadLetterStatuses(session, [...needs.deadLetters.values()]),
  ])
  const dueHolds = due.slice(0, DECISION_BOUNDS.expiriesMax).map((hold) => holds.get(hold.key) ?? hold)
  for (const hold of dueHolds) holds.set(hold.key, hold)
  const payments = [...labelTargets.values()].flatMap(({ payment }) => payment ?? [])
  for (const { payer } of payments) needs.accountIds.add(payer)
  const [accounts, heldCards, parties] = await Promise.all([
    readAccounts(session, accountIdsOf(needs, holds, parents, cards), cache),
    readCards(session, cardsOf(holds, parents, cards)),
    readParties(session, withAcceptors(needs.parties(watchOf(rules)), payments), cache),
  ])
  for (const [token, card] of heldCards) cards.set(token, card)
  return {
    sequence: head.sequence + 1n,
    accounts,
    cards,
    parties,
    claimed,
    labelTargets,
    labelKeys: needs.labelKeys,
    holds,
    parents,
    parentsTakenAt,
    commands,
    deadLetters,
    parentKeys: needs.parentKeys,
    dueHolds,
    nextDueAt: due[DECISION_BOUNDS.expiriesMax]?.expiresAt ?? null,
    rules,
    horizons: cache.horizons,
    rulesVersion: head.rulesVersion,
    accountsCount: head.accountsCount,
    cardsCount: head.cardsCount,
    positions: head.positions,
    time: head.time,
    expiring: head.expiring,
    bounds: DECISION_BOUNDS,
  }
}

/** The latest time that may come to apply in the batch; null = none can. */
const latestTime = (head: LockedHead, needs: BatchNeeds): number | null => {
  const times = head.time.pending.map((tick) => tick.time)
  if (needs.latestTick !== null) times.push(needs.latestTick)
  if (head.expiring) times.push(head.time.nowMs)
  return times.length === 0 ? null : Math.max(...times)
}

const accountIdsOf = (
  needs: BatchNeeds,
  holds: ReadonlyMap<string, HoldState>,
  parents: ReadonlyMap<string, PostedParent>,
  cards: ReadonlyMap<string, CardState>,
): Set<string> => {
  const ids = needs.accountIds
  for (const { postings } of [...holds.values(), ...parents.values()]) {
    for (const posting of postings) {
      ids.add(posting.debit)
      ids.add(posting.credit)
    }
  }
  for (const card of cards.values()) ids.add(card.accountId)
  return ids
}

const cardsOf = (
  holds: ReadonlyMap<string, HoldState>,
  parents: ReadonlyMap<string, PostedParent>,
  known: ReadonlyMap<string, CardState>,
): Set<string> => {
  const tokens = new Set<string>()
  for (const hold of holds.values()) if (hold.command.card !== null) tokens.add(hold.command.card)
  for (const parent of parents.values()) if (parent.card !== null) tokens.add(parent.card)
  for (const token of known.keys()) tokens.delete(token)
  return tokens
}

interface AccountRow {
  account_no: string
  account_id: string
  currency: number
  account_class: AccountState['accountClass']
  normal_side: AccountState['normalSide']
  status: AccountState['status']
  limited: boolean
  overdraft_limit: string
  reversal_may_overdraw: boolean
  posted: string
  reserved: string
  version: string
  opened_sequence: string
  profile: Buffer | null
}

const READ_ACCOUNTS = `select account_no, account_id, currency, account_class, normal_side, status, limited,
  overdraft_limit, reversal_may_overdraw, posted, reserved, version, opened_sequence, profile
  from accounts where account_id = any($1::text[])`

/** Accounts by id; what the cache holds isn't read again, what is read is kept in it. */
const readAccounts = async (
  session: Statements,
  ids: ReadonlySet<string>,
  cache: LedgerCache,
): Promise<Map<string, AccountState>> => {
  const found = new Map<string, AccountState>()
  const missing: string[] = []
  for (const id of ids) {
    const cached = cache.accounts.get(id)
    if (cached === undefined) missing.push(id)
    else found.set(id, cached)
  }
  if (missing.length === 0) return found
  const { rows } = await session.query<AccountRow>('read-accounts', READ_ACCOUNTS, [textArray(missing)])
  for (const row of rows) found.set(row.account_id, accountOfRow(row))
  return found
}

const accountOfRow = (row: AccountRow): AccountState => {
  const currency = currencyByNumeric(row.currency)
  if (currency === undefined)
    throw new Error(`account ${row.account_id} has unknown currency ${row.currency}`)
  return {
    no: Number(row.account_no),
    id: row.account_id,
    currency: currency.code,
    accountClass: row.account_class,
    normalSide: row.normal_side,
    reversalMayOverdraw: row.reversal_may_overdraw,
    openedSequence: BigInt(row.opened_sequence),
    status: row.status,
    limited: row.limited,
    overdraftLimit: BigInt(row.overdraft_limit),
    posted: BigInt(row.posted),
    reserved: BigInt(row.reserved),
    version: BigInt(row.version),
    referenceChanged: false,
    profile: row.profile === null ? newProfile() : decodeProfile(row.profile),
    profileChanged: false,
  }
}

/** Ids that are taken, with their content. */
const readClaimed = async (
  session: Statements,
  keys: readonly string[],
): Promise<Map<string, ClaimedTransactionId>> => {
  if (keys.length === 0) return new Map()
  const { rows } = await session.query<{ key: string; content: string; taken_ms: string }>(
    'read-claimed',
    'select key, content, (extract(epoch from recorded_at) * 1000)::bigint as taken_ms from transaction_ids where key = any($1::uuid[])',
    [uuidArray(keys)],
  )
  return new Map(
    rows.map((row) => [hexOf(row.key), { content: hexOf(row.content), recordedAt: Number(row.taken_ms) }]),
  )
}

const HOLD_COLUMNS = `key, kind, status, id, source, sequence, index, expires_at_ms, postings, command, version, version_index,
  priority, reviewers, released_by`

const readHolds = async (session: Statements, keys: ReadonlySet<string>): Promise<Map<string, HoldState>> => {
  if (keys.size === 0) return new Map()
  const { rows } = await session.query<HoldRow>(
    'read-holds',
    `select ${HOLD_COLUMNS} from holds where key = any($1::uuid[])`,
    [uuidArray([...keys])],
  )
  return new Map(rows.map((row) => [hexOf(row.key), holdOfRow(row)]))
}

/** Active holds that are over at a time, oldest first, one more than one batch may expire. */
const readDueHolds = async (session: Statements, timeMs: number): Promise<HoldState[]> => {
  const { rows } = await session.query<HoldRow>(
    'read-due-holds',
    `select ${HOLD_COLUMNS} from holds where status = 'active' and expires_at_ms <= $1
     order by expires_at_ms, key limit $2`,
    [timeMs, DECISION_BOUNDS.expiriesMax + 1],
  )
  return rows.map(holdOfRow)
}

interface ParentRow {
  key: string
  taken_ms: string
  /** Null and all that follows: nothing was posted, or its partition is gone. */
  kind: number | null
  card: string | null
  posting: number | null
  debit: string
  credit: string
  amount: string
  currency: number
  reversed: string | null
}

// A released held transaction was posted where its review was decided, not where its id was taken.
const READ_PARENTS = `with place as (
    select i.key, (extract(epoch from i.recorded_at) * 1000)::bigint as taken_ms, coalesce(h.version, i.sequence) as sequence, coalesce(h.version_index, i.index) as index
    from transaction_ids i left join holds h on h.key = i.key and h.status = 'released'
    where i.key = any($1::uuid[]))
  select place.key, place.taken_ms, t.kind, c.card, p.posting, d.account_id as debit, k.account_id as credit, p.amount, p.currency, r.reversed
  from place
  left join transactions t on t.sequence = place.sequence and t.index = place.index
  left join postings p on p.sequence = place.sequence and p.index = place.index
  left join accounts d on d.account_no = p.debit_no
  left join accounts k on k.account_no = p.credit_no
  left join cards c on c.card_no = t.card_no
  left join reversals r on r.key = place.key and r.posting = p.posting
  order by place.key, p.posting`

interface Parents {
  readonly parents: Map<string, PostedParent>
  readonly parentsTakenAt: Map<string, number>
}

const readParents = async (session: Statements, keys: ReadonlySet<string>): Promise<Parents> => {
  const parents = new Map<string, PostedParent>()
  const parentsTakenAt = new Map<string, number>()
  if (keys.size === 0) return { parents, parentsTakenAt }
  const { rows } = await session.query<ParentRow>('read-parents', READ_PARENTS, [uuidArray([...keys])])
  for (const row of rows) {
    const key = hexOf(row.key)
    parentsTakenAt.set(key, Number(row.taken_ms))
    if (row.kind === null || row.posting === null) continue
    let parent = parents.get(key)
    if (parent === undefined) {
      parent = { key, kind: KINDS[row.kind]!, card: row.card, postings: [] }
      parents.set(key, parent)
    }
    parent.postings.push({
      posting: row.posting,
      debit: row.debit,
      credit: row.credit,
      amount: BigInt(row.amount),
      currency: currencyByNumeric(row.currency)!.code,
      reversed: BigInt(row.reversed ?? 0),
      changed: false,
    })
  }
  return { parents, parentsTakenAt }
}

interface CardRow {
  card_no: string
  card: string
  account_id: string
  account_no: string
  status: CardState['status']
  expires_at_ms: string | null
  transaction_limit: string | null
  daily_limit: string | null
  spent: string
  reserved: string
  day: number
  day_amount: string
  version: string
}

const bigintOrNull = (text: string | null): bigint | null => (text === null ? null : BigInt(text))

const readCards = async (
  session: Statements,
  tokens: ReadonlySet<string>,
): Promise<Map<string, CardState>> => {
  if (tokens.size === 0) return new Map()
  const { rows } = await session.query<CardRow>(
    'read-cards',
    `select c.card_no, c.card, a.account_id, c.account_no, c.status, c.expires_at_ms, c.transaction_limit, c.daily_limit,
       c.spent, c.reserved, c.day, c.day_amount, c.version
     from cards c join accounts a on a.account_no = c.account_no where c.card = any($1::text[])`,
    [textArray([...tokens])],
  )
  return new Map(
    rows.map((row) => [
      row.card,
      {
        no: Number(row.card_no),
        card: row.card,
        accountId: row.account_id,
        accountNo: Number(row.account_no),
        isNew: false,
        status: row.status,
        expiresAt: row.expires_at_ms === null ? null : Number(row.expires_at_ms),
        transactionLimit: bigintOrNull(row.transaction_limit),
        dailyLimit: bigintOrNull(row.daily_limit),
        spent: BigInt(row.spent),
        reserved: BigInt(row.reserved),
        day: row.day,
        dayAmount: BigInt(row.day_amount),
        version: BigInt(row.version),
      },
    ]),
  )
}

/** Rules in force; the cache is believed only at the head's version. */
const readRules = async (
  session: Statements,
  head: LockedHead,
  cache: LedgerCache,
): Promise<readonly Rule[]> => {
  if (cache.rules !== null && cache.rulesVersion === head.rulesVersion) return cache.rules
  const { rows } = await session.query<{ version: string; body: unknown }>(
    'read-rules',
    `select distinct on (rule_id) version, body from rules order by rule_id, version desc, index desc`,
  )
  const newest = rows.map((row) => ruleOfRow(BigInt(row.version), row.body))
  cache.rules = activeRules(newest)
  cache.horizons = horizonsOf(newest)
  cache.rulesVersion = head.rulesVersion
  return cache.rules
}
