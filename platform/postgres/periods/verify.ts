/**
 * Checks stored closings again: each period's hash over its rows and the chain, what the rows say of themselves and of the
 * closing before, and, where the period's entries are still there, the entries themselves.
 */
import { unbalanced } from '#domain/ledger/closing.ts'
import { monthStartMs } from '#domain/time/months.ts'
import { digestClosing } from './closing-rows.ts'
import { type ClosedPeriod, firstDayOf, type Queryable, readPeriods } from './period-rows.ts'

/** What is wrong, and where. */
export interface PeriodFinding {
  readonly period: string
  /**
   * `hash`: its rows aren't those that were closed. `chain`: it doesn't follow the closing before, or the batch that it ends with
   * is another one. `totals`, `sum`: its totals aren't its rows', or don't balance. `opening`: an account doesn't begin with what it
   * ended with before. `entries`: an account's closing isn't what its entries say. `values`: its nets by value time don't add up.
   */
  readonly kind: 'hash' | 'chain' | 'totals' | 'sum' | 'opening' | 'entries' | 'values'
  /** Account id where one is meant, else null. */
  readonly account: string | null
  readonly detail: string
}

const FINDINGS_MAX = 20

/**
 * Verifies all closed periods, or only one of them.
 * @returns what is wrong, oldest period first; empty = all is as it was closed.
 */
export const verifyPeriods = async (
  queryable: Queryable,
  options: { readonly period?: string; readonly signal?: AbortSignal } = {},
): Promise<PeriodFinding[]> => {
  const findings: PeriodFinding[] = []
  const periods = await readPeriods(queryable)
  for (const [place, period] of periods.entries()) {
    if (options.period !== undefined && options.period !== period.period) continue
    const before = periods[place - 1]
    findings.push(...(await verifyPeriod(queryable, period, before, options.signal)))
  }
  return findings
}

const verifyPeriod = async (
  queryable: Queryable,
  period: ClosedPeriod,
  before: ClosedPeriod | undefined,
  signal: AbortSignal | undefined,
): Promise<PeriodFinding[]> => {
  const findings: PeriodFinding[] = []
  const found = (kind: PeriodFinding['kind'], detail: string, account: string | null = null) =>
    findings.push({ period: period.period, kind, account, detail })
  const expectedPrevious = before?.hash ?? Buffer.alloc(32)
  if (!period.previousHash.equals(expectedPrevious))
    found('chain', 'it does not follow the closing before it')
  if (before !== undefined && monthStartMs(before.period, 1) !== monthStartMs(period.period)) {
    found('chain', `the closing before it is of ${before.period}`)
  }
  const sum = await digestClosing(queryable, period, period.previousHash, signal)
  if (!sum.hash.equals(period.hash)) found('hash', 'its rows are not those that were closed')
  if (!sameTotals(period, sum)) found('totals', 'its totals are not those of its rows')
  for (const currency of unbalanced(sum.totals)) found('sum', `${currency} does not balance`)
  for (const { account, detail } of await openingsThatDiffer(queryable, period, before))
    found('opening', detail, account)
  for (const { account, detail } of await valuesThatDiffer(queryable, period))
    found('values', detail, account)
  if (period.droppedAt !== null) return findings
  for (const { account, detail } of await entriesThatDiffer(queryable, period))
    found('entries', detail, account)
  if (!(await isInChain(queryable, period)))
    found('chain', `batch ${period.chainSequence} has another hash now`)
  return findings
}

const sameTotals = (stored: ClosedPeriod, sum: Awaited<ReturnType<typeof digestClosing>>): boolean => {
  const text = ({ accounts, cards, postings, totals }: typeof sum) =>
    JSON.stringify([accounts, cards, `${postings}`, totals.map((total) => Object.values(total).map(String))])
  return text(stored) === text(sum)
}

interface Difference {
  readonly account: string
  readonly detail: string
}

const differencesOf = (rows: { account: string; expected: string; stored: string }[]): Difference[] =>
  rows.map(({ account, expected, stored }) => ({
    account,
    detail: `expected ${expected}, found ${stored} (minor units)`,
  }))

const openingsThatDiffer = async (
  queryable: Queryable,
  period: ClosedPeriod,
  before: ClosedPeriod | undefined,
): Promise<Difference[]> => {
  const { rows } = await queryable.query(
    `with now as (select account_no, opening from closings where period = $1),
       before as (select account_no, posted from closings where period = $2 and posted <> 0)
     select coalesce(a.account_id, '#' || account_no) as account, coalesce(b.posted, 0)::text as expected,
       coalesce(n.opening::text, 'no row') as stored
     from now n full join before b using (account_no) left join accounts a using (account_no)
     where n.opening is distinct from coalesce(b.posted, 0) order by account_no limit ${FINDINGS_MAX}`,
    [firstDayOf(period.period), before === undefined ? null : firstDayOf(before.period)],
  )
  return differencesOf(rows)
}

const valuesThatDiffer = async (queryable: Queryable, period: ClosedPeriod): Promise<Difference[]> => {
  const { rows } = await queryable.query(
    `select coalesce(a.account_id, '#' || c.account_no) as account, (c.credits - c.debits)::text as expected, nets.sum::text as stored
     from closings c left join accounts a on a.account_no = c.account_no
     cross join lateral (select coalesce(sum(net), 0) as sum from unnest(c.value_nets || c.later_nets) as net) as nets
     where c.period = $1 and nets.sum <> c.credits - c.debits order by c.account_no limit ${FINDINGS_MAX}`,
    [firstDayOf(period.period)],
  )
  return differencesOf(rows)
}

const entriesThatDiffer = async (queryable: Queryable, period: ClosedPeriod): Promise<Difference[]> => {
  const { rows } = await queryable.query(
    `with sides as (
       select debit_no as account_no, amount as debit, 0 as credit from postings where recorded_at >= $2 and recorded_at < $3
       union all select credit_no, 0, amount from postings where recorded_at >= $2 and recorded_at < $3),
     moved as (select account_no, sum(debit) as debits, sum(credit) as credits from sides group by account_no),
     stored as (select account_no, debits, credits from closings where period = $1)
     select coalesce(a.account_id, '#' || account_no) as account,
       coalesce(m.debits, 0) || ' debits, ' || coalesce(m.credits, 0) || ' credits' as expected,
       coalesce(s.debits || ' debits, ' || s.credits || ' credits', 'no row') as stored
     from moved m full join stored s using (account_no) left join accounts a using (account_no)
     where coalesce(m.debits, 0) is distinct from s.debits or coalesce(m.credits, 0) is distinct from s.credits
     order by account_no limit ${FINDINGS_MAX}`,
    [
      firstDayOf(period.period),
      new Date(monthStartMs(period.period)),
      new Date(monthStartMs(period.period, 1)),
    ],
  )
  return differencesOf(rows)
}

const isInChain = async (
  queryable: Queryable,
  { chainSequence, chainHash, firstSequence }: ClosedPeriod,
): Promise<boolean> => {
  const { rows } = await queryable.query('select hash from batches where sequence = $1', [chainSequence])
  if (rows[0] !== undefined) return (rows[0].hash as Buffer).equals(chainHash)
  // A period without batches ends with one of an earlier period, which may be dropped.
  return firstSequence === null || chainSequence < firstSequence
}
