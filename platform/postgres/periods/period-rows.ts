/** Closed periods as stored. */
import {
  CLOSING_FORMAT,
  type ClosingHead,
  type ClosingSum,
  type CurrencyTotal,
} from '#domain/ledger/closing.ts'

/** One statement at a time: a client or a pool of the engine or of readers. */
export interface Queryable {
  // biome-ignore lint/suspicious/noExplicitAny: rows are what the statement selects.
  query(text: string, values?: unknown[]): Promise<{ rows: any[]; rowCount: number | null }>
}

export interface ClosedPeriod extends ClosingHead, ClosingSum {
  readonly previousHash: Buffer
  readonly closedAt: Date
  readonly actor: string
  readonly droppedAt: Date | null
  readonly droppedBy: string | null
}

interface PeriodRow {
  period: string
  first_sequence: string | null
  last_sequence: string | null
  chain_sequence: string
  chain_hash: Buffer
  postings: string
  accounts: number
  cards: number
  totals: (Record<'currency' | 'opening' | 'debits' | 'credits' | 'closing', string> & { accounts: number })[]
  previous_hash: Buffer
  hash: Buffer
  closed_at: Date
  actor: string
  dropped_at: Date | null
  dropped_by: string | null
  ledger: string
}

const bigintOrNull = (text: string | null): bigint | null => (text === null ? null : BigInt(text))

const totalOf = (total: PeriodRow['totals'][number]): CurrencyTotal => ({
  currency: total.currency,
  accounts: total.accounts,
  opening: BigInt(total.opening),
  debits: BigInt(total.debits),
  credits: BigInt(total.credits),
  closing: BigInt(total.closing),
})

const periodOf = (row: PeriodRow): ClosedPeriod => ({
  ledger: row.ledger,
  period: row.period,
  firstSequence: bigintOrNull(row.first_sequence),
  lastSequence: bigintOrNull(row.last_sequence),
  chainSequence: BigInt(row.chain_sequence),
  chainHash: row.chain_hash,
  postings: BigInt(row.postings),
  accounts: row.accounts,
  cards: row.cards,
  totals: row.totals.map(totalOf),
  previousHash: row.previous_hash,
  hash: row.hash,
  closedAt: row.closed_at,
  actor: row.actor,
  droppedAt: row.dropped_at,
  droppedBy: row.dropped_by,
})

/** All closed periods, oldest first. */
export const readPeriods = async (queryable: Queryable): Promise<ClosedPeriod[]> => {
  const { rows } = await queryable.query(
    `select to_char(period, 'YYYY-MM') as period, first_sequence, last_sequence, chain_sequence, chain_hash, postings, accounts,
       cards, totals, previous_hash, hash, closed_at, actor, dropped_at, dropped_by, (select ledger from ledger_head) as ledger
     from periods order by periods.period`,
  )
  return rows.map((row: PeriodRow) => periodOf(row))
}

/** A period's first day, for a date column. */
export const firstDayOf = (period: string): string => `${period}-01`

const totalsJson = (totals: readonly CurrencyTotal[]): string =>
  JSON.stringify(totals, (_name, value: unknown) => (typeof value === 'bigint' ? value.toString() : value))

/** Makes a period closed: from now on its closings count. */
export const insertPeriod = async (
  queryable: Queryable,
  head: ClosingHead,
  sum: ClosingSum,
  by: { readonly previousHash: Buffer; readonly actor: string },
): Promise<void> => {
  await queryable.query(
    `insert into periods (period, format, first_sequence, last_sequence, chain_sequence, chain_hash, postings, accounts, cards,
       totals, previous_hash, hash, actor)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
    [
      firstDayOf(head.period),
      CLOSING_FORMAT,
      head.firstSequence,
      head.lastSequence,
      head.chainSequence,
      head.chainHash,
      sum.postings,
      sum.accounts,
      sum.cards,
      totalsJson(sum.totals),
      by.previousHash,
      sum.hash,
      by.actor,
    ],
  )
}
