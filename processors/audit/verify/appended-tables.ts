/** Compares tables to which batches only add: range by range of sequences, every column of every row. */

import type { ReadPool } from '#platform/postgres/pool.ts'
import {
  APPENDED,
  type AuditRow,
  type AuditTable,
  readAppended,
} from '#platform/postgres/queries/audit-rows.ts'
import type { AppendedRows } from './expected-rows.ts'
import type { Findings } from './findings.ts'

/** Rows of one range, of all tables together. */
const ROWS_AT_ONCE = 10_000

export class AppendedTables {
  private readonly pool: ReadPool
  private readonly findings: Findings
  private readonly expected = new Map<keyof typeof APPENDED, AuditRow[]>()
  private rows = 0
  /** The range begins behind this; null = at the beginning of time. */
  private after: bigint | null = null
  /** Microseconds since 1970: rows recorded before are gone, or on their way out. */
  private readonly keptFrom: bigint | null

  constructor(pool: ReadPool, findings: Findings, keptFrom: Date | null) {
    this.pool = pool
    this.findings = findings
    this.keptFrom = keptFrom === null ? null : BigInt(keptFrom.getTime()) * 1_000n
  }

  /** Takes the next batch's rows. */
  async add(sequence: bigint, rows: AppendedRows): Promise<void> {
    for (const [table, some] of Object.entries(rows) as [keyof typeof APPENDED, AuditRow[]][]) {
      const list = this.expected.get(table)
      if (list === undefined) this.expected.set(table, [...some])
      else for (const row of some) list.push(row)
      this.rows += some.length
    }
    if (this.rows >= ROWS_AT_ONCE) await this.compare(sequence)
  }

  /** Compares what is left. @param through the last batch to look at; null = whatever lies beyond the last one was added by hand */
  async end(through: bigint | null): Promise<void> {
    await this.compare(through)
  }

  private async compare(through: bigint | null): Promise<void> {
    for (const [name, table] of Object.entries(APPENDED) as [keyof typeof APPENDED, AuditTable][]) {
      const actual = await readAppended(this.pool, table, this.after, through)
      this.findings.rows += actual.length
      const kept = (rows: readonly AuditRow[]) => rows.filter((row) => this.isKept(table, row))
      compareRows(table, kept(this.expected.get(name) ?? []), kept(actual), this.findings)
    }
    this.expected.clear()
    this.rows = 0
    this.after = through
  }

  private isKept({ recordedColumn }: AuditTable, row: AuditRow): boolean {
    if (this.keptFrom === null || recordedColumn === undefined) return true
    return BigInt(row[recordedColumn]!) >= this.keptFrom
  }
}

/** A row as one text: two rows are equal where these are. */
export const rowText = (row: AuditRow): string => JSON.stringify(row)

/** The name of a row. */
export const keyOf = (table: AuditTable, row: AuditRow): string => row.slice(0, table.keyColumns).join('/')

/** Compares two sets of rows by their keys. */
export const compareRows = (
  table: AuditTable,
  expected: readonly AuditRow[],
  actual: readonly AuditRow[],
  findings: Findings,
): void => {
  const missing = new Map(expected.map((row) => [keyOf(table, row), rowText(row)]))
  const others: string[] = []
  for (const row of actual) {
    const key = keyOf(table, row)
    // Partitioned tables can hold a key twice, at two times: one of them may be the right one.
    if (missing.get(key) === rowText(row)) missing.delete(key)
    else others.push(key)
  }
  for (const key of others) findings.add(table.name, key, missing.delete(key) ? 'changed' : 'added')
  for (const key of missing.keys()) findings.add(table.name, key, 'removed')
}
