/** Closed periods: their rows against their hashes, their chain, and, where the entries are still there, against them. */
import { type PeriodFinding, verifyPeriods } from '#platform/postgres/periods/verify.ts'
import type { ReadPool, SqlValue } from '#platform/postgres/pool.ts'
import type { Finding, Findings } from './findings.ts'

const KINDS: Readonly<Record<PeriodFinding['kind'], Finding['kind']>> = {
  hash: 'changed',
  totals: 'changed',
  chain: 'chain',
  sum: 'sum',
  opening: 'fold',
  entries: 'fold',
  values: 'changed',
}

/** What the rows alone can say only of a whole period, comparing them with the history says of each row. */
const OF_WHOLE_PERIODS: ReadonlySet<PeriodFinding['kind']> = new Set(['hash', 'totals', 'values'])

/**
 * Checks all of them. A finding is named by its period, and the account where it is about one.
 * @param areCompared whether their rows were compared with the history already
 */
export const checkClosings = async (
  pool: ReadPool,
  findings: Findings,
  areCompared: boolean,
): Promise<void> => {
  const queryable = {
    query: async (text: string, values: unknown[] = []) => {
      const rows = await pool.query<Record<string, unknown>>({ text }, values as SqlValue[])
      return { rows, rowCount: rows.length }
    },
  }
  for (const { period, kind, account } of await verifyPeriods(queryable)) {
    if (areCompared && OF_WHOLE_PERIODS.has(kind)) continue
    const key = account === null ? period : `${period}/${account}`
    findings.add(account === null ? 'periods' : 'closings', key, KINDS[kind])
  }
}
