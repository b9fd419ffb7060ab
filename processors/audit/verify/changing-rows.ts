/** Compares tables whose rows change: with what each row must be at the end, however often it changed on the way. */
import { hash } from 'node:crypto'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { type AuditRow, type AuditTable, readChanging } from '#platform/postgres/queries/audit-rows.ts'
import { IdTable } from '../replay/id-table.ts'
import { keyOf, rowText } from './appended-tables.ts'
import type { Findings } from './findings.ts'

const HASH_DIGITS = 32
const hashOf = (row: AuditRow): string => hash('sha256', rowText(row), 'hex').slice(0, HASH_DIGITS)

/** What is expected of rows, by their names: a hash of each. */
interface Expectations {
  set(key: string, content: string): void
  get(key: string): string | null
  delete(key: string): void
  keys(): Iterable<string>
}

/** For keys of 32 hexadecimal digits: as compact as millions of them need. */
const compact = (): Expectations => {
  const table = new IdTable()
  return {
    set: (key, content) => table.set(key, { content, takenAtMs: 0 }, 0),
    get: (key) => table.get(key)?.content ?? null,
    delete: (key) => table.forget(key),
    *keys() {
      for (const { key } of table.entries()) yield key
    },
  }
}

const plain = (): Expectations => {
  const map = new Map<string, string>()
  return {
    set: (key, content) => map.set(key, content),
    get: (key) => map.get(key) ?? null,
    delete: (key) => map.delete(key),
    keys: () => map.keys(),
  }
}

export class ChangingRows {
  private readonly table: AuditTable
  private readonly expected: Expectations

  /** @param keys `compact` where a row's key is one uuid */
  constructor(table: AuditTable, keys: 'compact' | 'plain') {
    this.table = table
    this.expected = keys === 'compact' ? compact() : plain()
  }

  /** The row as it is from now on. */
  expect(row: AuditRow): void {
    this.expected.set(keyOf(this.table, row), hashOf(row))
  }

  /** No row of this name from now on. */
  forget(key: string): void {
    this.expected.delete(key)
  }

  /**
   * Compares with all rows of the table; nothing is expected afterwards.
   * @param mayBeGone whether a row of this name may have been deleted in due course
   */
  async compare(pool: ReadPool, findings: Findings, mayBeGone: (key: string) => boolean): Promise<void> {
    for await (const rows of readChanging(pool, this.table)) {
      findings.rows += rows.length
      for (const row of rows) {
        const key = keyOf(this.table, row)
        const expected = this.expected.get(key)
        if (expected === null) findings.add(this.table.name, key, 'added')
        else if (expected !== hashOf(row)) findings.add(this.table.name, key, 'changed')
        this.expected.delete(key)
      }
    }
    for (const key of this.expected.keys()) {
      if (!mayBeGone(key)) findings.add(this.table.name, key, 'removed')
    }
  }
}

export interface NumberedRows {
  readonly count: number
  /** The row of a number. */
  rowOf(no: number): AuditRow
  /** Brings what says the same into the same form. */
  normalized(row: AuditRow): AuditRow
  /** Which value names a row. */
  readonly nameAt: number
}

/** Compares a table whose rows are numbered from 1 on without gaps. */
export const compareNumbered = async (
  pool: ReadPool,
  table: AuditTable,
  rows: NumberedRows,
  findings: Findings,
): Promise<void> => {
  let next = 1
  const missing = (through: number) => {
    for (; next <= Math.min(through, rows.count); next += 1) {
      findings.add(table.name, rows.rowOf(next)[rows.nameAt]!, 'removed')
    }
  }
  for await (const chunk of readChanging(pool, table)) {
    findings.rows += chunk.length
    for (const row of chunk) {
      const no = Number(row[0])
      missing(no - 1)
      if (no < next || no > rows.count) {
        findings.add(table.name, row[rows.nameAt]!, 'added')
        continue
      }
      next = no + 1
      const expected = rows.rowOf(no)
      if (rowText(rows.normalized(expected)) === rowText(rows.normalized(row))) continue
      findings.add(table.name, expected[rows.nameAt]!, 'changed')
    }
  }
  missing(rows.count)
}
