/** What the daily report of a pair is made of, added up in Postgres. */
import {
  type AcceptedDifference,
  type DailyReport,
  dailyReport,
  type DayStatement,
  type ItemSum,
} from '#domain/reconciliation/daily-report.ts'
import { parseDecimal } from '#domain/statements/decimal.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'

const DAY_MS = 86_400_000

// An item stands in at most one match that stands. Undated items count for every day.
const MEMBERS = `members as (
  select m.id as match, m.pass, m.difference, i.id, i.account, i.currency, max(i.day) over (partition by m.id) as last_day
  from recon_matches m cross join unnest(m.ledger_ids || m.bank_ids) as u (id)
  join recon_items i on i.pair = m.pair and i.id = u.id
  where m.pair = $1 and m.ended_version is null)`

const SUMS = `with ${MEMBERS}
select i.account, i.currency, i.side, coalesce(i.day, $2) = $2 as "isOfDay",
  case when m.match is not null then case when m.last_day > $2 then 'transit' else 'matched' end
    when b.break_id is not null then 'open' else 'settled' end as state,
  m.pass, case when m.match is null then b.kind end as kind,
  case when m.match is null then $2 - coalesce(i.day, $2) else 0 end as "ageDays",
  count(*)::integer as items, sum(i.amount)::bigint as "amountMinor"
from recon_items i
left join members m on m.id = i.id
left join recon_breaks b on b.pair = i.pair and b.break_id = i.id and b.status <> 'closed'
where i.pair = $1 and coalesce(i.day, $2) <= $2
group by 1, 2, 3, 4, 5, 6, 7, 8`

const ACCEPTED = `with ${MEMBERS}
select account, currency, sum(difference)::bigint as "differenceMinor" from (
  select distinct on (match) account, currency, difference from members where coalesce(last_day, $2) <= $2 and difference <> 0) as m
group by 1, 2`

const STATEMENTS = `select statement from recon_statements where pair = $1
  and coalesce(statement->'closing'->>'date', statement->'opening'->>'date') = $2 order by key`

/** The newest day that a statement closes; null where none does. @throws as ReadPool.query */
export async function readLastReportDate(pool: ReadPool, pair: string): Promise<string | null> {
  const rows = await pool.query<{ date: string | null }>(
    { text: `select max(statement->'closing'->>'date') as date from recon_statements where pair = $1` },
    [pair],
  )
  return rows[0]?.date ?? null
}

/**
 * The report of a day, as it stands now: what came later and is of that day is in it.
 * @param date ISO 8601
 * @returns null where there is no such pair
 * @throws as ReadPool.query
 */
export async function readDailyReport(
  pool: ReadPool,
  pair: string,
  date: string,
): Promise<DailyReport | null> {
  const known = await pool.query({ text: 'select 1 from recon_pairs where pair = $1' }, [pair])
  if (known.length === 0) return null
  const day = Date.parse(date) / DAY_MS
  const sums = await pool.query<ItemSum>({ text: SUMS }, [pair, day])
  const accepted = await pool.query<AcceptedDifference>({ text: ACCEPTED }, [pair, day])
  const statements = await pool.query<{ statement: StoredStatement }>({ text: STATEMENTS }, [pair, date])
  return dailyReport({
    pair,
    date,
    sums,
    accepted,
    statements: statements.map(({ statement }) => dayOf(statement)),
  })
}

interface StoredStatement {
  readonly account: string
  readonly currency: string | null
  readonly key: string
  readonly opening: { readonly amount: string } | null
  readonly closing: { readonly amount: string } | null
  readonly proof: DayStatement['proof']
}

const dayOf = ({ account, currency, key, opening, closing, proof }: StoredStatement): DayStatement => ({
  account,
  currency,
  key,
  opening: opening === null ? null : parseDecimal(opening.amount, '.'),
  closing: closing === null ? null : parseDecimal(closing.amount, '.'),
  proof,
})
