/**
 * What a case sees of a service, in a form in which a simulated and a real one can be compared: types are kept (text, number and
 * bigint are three things), names of columns are sorted, and so are rows that come in no stated order.
 */

/** What was asked and what came of it, line by line; apart for each who asks, since nothing says who is answered first. */
export class Transcript {
  private readonly lines = new Map<string, string[]>()

  note(who: string, what: string, value: unknown): void {
    const lines = this.lines.get(who) ?? []
    lines.push(`${what}: ${textOf(value)}`)
    this.lines.set(who, lines)
  }

  /** Takes back what is nobody's promise. */
  forget(who: string): void {
    this.lines.delete(who)
  }

  get text(): string {
    const parts = [...this.lines].sort(([a], [b]) => (a < b ? -1 : 1))
    return parts.map(([who, lines]) => `${who}\n${lines.map((line) => `  ${line}`).join('\n')}`).join('\n')
  }
}

/** One line of text for any value. */
export const textOf = (value: unknown): string => JSON.stringify(plain(value)) ?? 'undefined'

const plain = (value: unknown): unknown => {
  if (typeof value === 'bigint') return `${value}n`
  if (Buffer.isBuffer(value)) return `0x${value.toString('hex')}`
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Map) return plain([...value])
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, part]) => [name, plain(part)]),
    )
  }
  return value
}

/** Rows as they may be compared: in their order where that was asked for, else sorted. */
export const comparableRows = (rows: readonly unknown[], isOrdered: boolean): unknown[] =>
  isOrdered ? [...rows] : [...rows].sort((a, b) => (textOf(a) < textOf(b) ? -1 : 1))
