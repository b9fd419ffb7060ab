/** Rows by their keys, as they must be, against those that are stored. */
import type { Findings } from './findings.ts'

/** A value as text that is the same for the same content: keys in order, whole numbers alike whatever type they came in. */
export const canonical = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return part.toString()
    if (typeof part === 'number') return String(part)
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part
    const sorted = Object.entries(part).toSorted(([left], [right]) => (left < right ? -1 : 1))
    return Object.fromEntries(sorted)
  })

export interface ComparedTable {
  readonly name: string
  /** Of the rows' keys, as findings name them. */
  readonly prefix: string
  /** By key: any of these is right. */
  readonly expected: ReadonlyMap<string, readonly unknown[]>
  /** Whether a row that isn't expected may be right nevertheless: what it was made of is gone. */
  readonly mayStay: (key: string) => boolean
}

/** @param stored rows with their `key` */
export function compareRows(
  { name, prefix, expected, mayStay }: ComparedTable,
  stored: readonly { readonly key: string }[],
  findings: Findings,
): void {
  const seen = new Set<string>()
  for (const { key, ...row } of stored) {
    findings.rows += 1
    seen.add(key)
    const right = expected.get(key)
    if (right === undefined) {
      if (!mayStay(key)) findings.add(name, `${prefix}${key}`, 'added')
      continue
    }
    const found = canonical(row)
    if (!right.some((one) => canonical(one) === found)) findings.add(name, `${prefix}${key}`, 'changed')
  }
  for (const key of expected.keys()) if (!seen.has(key)) findings.add(name, `${prefix}${key}`, 'removed')
}
