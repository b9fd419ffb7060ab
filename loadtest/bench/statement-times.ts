/** Where Postgres' time went: pg_stat_statements, where the database has it, between two moments. */
import type { BenchLedger } from './lab.ts'
import type { Detail } from './measure.ts'
import { significant } from './statistics.ts'

const STATEMENTS_SHOWN = 12
const WORDS_SHOWN = 60

/** Forgets what was before. False where there is nothing to ask. */
export const resetStatements = async ({ writer }: BenchLedger): Promise<boolean> => {
  try {
    await writer.query('select public.pg_stat_statements_reset()')
    return true
  } catch {
    return false
  }
}

// Its statements are found by their ledger's schema alone where several ledgers share a database; here one is measured at a time.
const TEXT = `select query, sum(total_exec_time) as ms from public.pg_stat_statements
  where dbid = (select oid from pg_database where datname = current_database()) group by query order by ms desc limit $1`

/** Execution time of the statements that took most, µs a transfer. Commits wait for the disk: that is in no statement. */
export const statementTimes = async ({ writer }: BenchLedger, transfers: number): Promise<Detail> => {
  const { rows } = await writer.query<{ query: string; ms: number }>(TEXT, [STATEMENTS_SHOWN])
  return Object.fromEntries(
    rows
      .map(({ query, ms }) => [shortened(query), significant((ms * 1_000) / transfers, 3)] as const)
      .filter(([, microseconds]) => microseconds >= MICROSECONDS_SHOWN),
  )
}

const MICROSECONDS_SHOWN = 0.05

const shortened = (query: string): string => query.replaceAll(/\s+/g, ' ').slice(0, WORDS_SHOWN)
