/** Computes the closings of some accounts or cards: the closing before plus the entries of the period, in one statement each. */
import { STATUSES } from '#domain/transactions/outcomes.ts'
import type { Queryable } from './period-rows.ts'

/** Accounts or cards with numbers above `after`, up to `through`. */
export interface Slice {
  /** First day of the period and of the one before, UTC. */
  readonly period: string
  readonly before: string
  /** From when to before when the period lasts. */
  readonly start: Date
  readonly until: Date
  readonly after: bigint
  readonly through: bigint
}

/** An account whose entries don't lead to the balance that its last entry of the period states. */
export interface SliceDifference {
  readonly accountId: string
  /** Closing before plus entries, minor units. */
  readonly folded: bigint
  /** What the last entry states. */
  readonly stated: bigint
}

const DIFFERENCES_MAX = 20

const valuesOf = (slice: Slice): unknown[] => [
  slice.period,
  slice.before,
  slice.start,
  slice.until,
  slice.after,
  slice.through,
]

const CLOSE_ACCOUNTS = `with moved as materialized (
    select debit_no as account_no, -amount as signed, sequence, index, posting * 2 as entry, debit_posted as posted, value_at from postings
      where recorded_at >= $3 and recorded_at < $4 and debit_no > $5 and debit_no <= $6
    union all
    select credit_no, amount, sequence, index, posting * 2 + 1, credit_posted, value_at from postings
      where recorded_at >= $3 and recorded_at < $4 and credit_no > $5 and credit_no <= $6),
  sums as (
    select account_no, -sum(least(signed, 0)) as debits, sum(greatest(signed, 0)) as credits,
      count(*) filter (where signed < 0) as debit_count, count(*) filter (where signed > 0) as credit_count,
      max(sequence) as version,
      -- Arrays compare element by element: of the last entry, what it states. Looking each up, or sorting, took a thousand times as long.
      (max(array[sequence, index, entry, posted]))[4] as stated
    from moved group by account_no),
  days as (
    select account_no, array_agg(day order by day) as days, array_agg(net order by day) as nets from (
      select account_no, floor(extract(epoch from value_at) / 86400)::int as day, sum(signed) as net
      from moved where value_at < $4 group by account_no, day) as by_day
    group by account_no),
  later as (
    select account_no, array_agg(ms order by ms) as ms, array_agg(net order by ms) as nets from (
      select account_no, (extract(epoch from value_at) * 1000)::bigint as ms, sum(signed) as net
      from moved where value_at >= $4 group by account_no, ms) as by_time
    group by account_no),
  earlier as (
    select account_no, posted, version from closings
    where period = $2::date and account_no > $5 and account_no <= $6
      and exists (select from periods where period = $2::date)),
  closing as materialized (
    select coalesce(s.account_no, e.account_no) as account_no, coalesce(e.posted, 0) as opening,
      coalesce(s.debits, 0) as debits, coalesce(s.credits, 0) as credits,
      coalesce(s.debit_count, 0) as debit_count, coalesce(s.credit_count, 0) as credit_count,
      coalesce(e.posted, 0) + coalesce(s.credits, 0) - coalesce(s.debits, 0) as posted,
      coalesce(s.version, e.version) as version, s.stated
    from sums s full join earlier e on e.account_no = s.account_no
    where s.account_no is not null or e.posted <> 0),
  stored as (
    insert into closings (period, account_no, currency, opening, debits, credits, debit_count, credit_count, posted, version,
      value_days, value_nets, later_ms, later_nets)
    select $1::date, c.account_no, a.currency, c.opening, c.debits, c.credits, c.debit_count, c.credit_count, c.posted, c.version,
      coalesce(d.days, '{}'), coalesce(d.nets, '{}'), coalesce(l.ms, '{}'), coalesce(l.nets, '{}')
    from closing c join accounts a on a.account_no = c.account_no
    left join days d on d.account_no = c.account_no left join later l on l.account_no = c.account_no
    order by c.account_no)
  select a.account_id, m.posted::text as folded, m.stated::text as stated
  from closing m left join accounts a on a.account_no = m.account_no
  where m.debit_count + m.credit_count > 0 and (m.stated <> m.posted or a.account_no is null)
  order by m.account_no limit ${DIFFERENCES_MAX}`

const DELETE_ACCOUNTS =
  'delete from closings where period = $1::date and account_no > $2 and account_no <= $3'

/**
 * Stores the closings of the slice's accounts in place of what an earlier attempt left.
 * @returns the accounts whose balance isn't what their last entry states; empty = none.
 */
export const closeAccounts = async (queryable: Queryable, slice: Slice): Promise<SliceDifference[]> => {
  await queryable.query(DELETE_ACCOUNTS, [slice.period, slice.after, slice.through])
  const { rows } = await queryable.query(CLOSE_ACCOUNTS, valuesOf(slice))
  return rows.map((row) => ({
    accountId: row.account_id ?? '(no such account)',
    folded: BigInt(row.folded),
    stated: BigInt(row.stated),
  }))
}

const CLOSE_CARDS = `with moved as (
    select k.card_no, coalesce(sum(p.amount) filter (where p.debit_no = k.account_no), 0) as debits,
      coalesce(sum(p.amount) filter (where p.credit_no = k.account_no), 0) as credits
    from transactions t
    join cards k on k.card_no = t.card_no
    join postings p on p.sequence = t.sequence and p.index = t.index and p.recorded_at = t.recorded_at
    where t.recorded_at >= $3 and t.recorded_at < $4 and p.recorded_at >= $3 and p.recorded_at < $4
      and t.card_no > $5 and t.card_no <= $6 and t.status = ${STATUSES.indexOf('applied')}
    group by k.card_no),
  earlier as (
    select card_no, spent from card_closings
    where period = $2::date and card_no > $5 and card_no <= $6 and exists (select from periods where period = $2::date))
  insert into card_closings (period, card_no, debits, credits, spent)
  select $1::date, card_no, coalesce(m.debits, 0), coalesce(m.credits, 0),
    coalesce(e.spent, 0) + coalesce(m.debits, 0) - coalesce(m.credits, 0)
  from moved m full join earlier e using (card_no) where m.card_no is not null or e.spent <> 0 order by card_no`

const DELETE_CARDS = 'delete from card_closings where period = $1::date and card_no > $2 and card_no <= $3'

/** Stores the closings of the slice's cards in place of what an earlier attempt left. */
export const closeCards = async (queryable: Queryable, slice: Slice): Promise<void> => {
  await queryable.query(DELETE_CARDS, [slice.period, slice.after, slice.through])
  await queryable.query(CLOSE_CARDS, valuesOf(slice))
}
