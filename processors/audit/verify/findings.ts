/** What an audit of the tables finds. */

export interface Finding {
  readonly table: string
  /**
   * The row: its key columns' values, joined by slashes; an account's, a currency's or a batch's name where it is about one; the
   * first and the last of a stretch of missing sequences (`7-9`).
   */
  readonly key: string
  /**
   * `changed`, `added`, `removed` a row; `chain` a batch that isn't what was hashed, or doesn't continue the one before; `sum` the
   * balances of a currency don't add up to zero; `fold` a balance isn't the sum of its entries; `gap` a sequence is missing.
   */
  readonly kind: 'changed' | 'added' | 'removed' | 'chain' | 'sum' | 'fold' | 'gap'
}

/** More than these are counted and not listed. */
const LISTED_MAX = 10_000

export class Findings {
  readonly listed: Finding[] = []
  count = 0
  /** Rows that were compared. */
  rows = 0
  private readonly seen = new Set<string>()

  /** The same finding again doesn't count. */
  add(table: string, key: string, kind: Finding['kind']): void {
    const name = `${table} ${key} ${kind}`
    if (this.listed.length >= LISTED_MAX) {
      this.count += 1
      return
    }
    if (this.seen.has(name)) return
    this.seen.add(name)
    this.count += 1
    this.listed.push({ table, key, kind })
  }
}
