/** Statements as the values of the topic `statements` (schemas/avro/statement.avsc), and back. */
import { type Decimal, formatDecimal, parseDecimal } from './decimal.ts'
import type { LineDetail, StatementLine, StatementSummary } from './model.ts'

type AmountsAsText<T extends { readonly amount: unknown }> = Omit<T, 'amount'> & {
  readonly amount: T['amount'] extends Decimal ? string : string | null
}

export type DetailValue = AmountsAsText<LineDetail>
export type LineValue = Omit<AmountsAsText<StatementLine>, 'details'> & {
  readonly details: readonly DetailValue[]
}

export interface HeaderValue {
  readonly id: string | null
  readonly sequence: string | null
  readonly opening: string | null
  readonly openingDate: string | null
  readonly closing: string | null
  readonly closingDate: string | null
  readonly lines: number
  readonly entries: number
  readonly sumCredits: string
  readonly sumDebits: string
  readonly proof: 'ok' | 'mismatch' | 'n/a'
  readonly controls: 'ok' | 'mismatch' | 'n/a'
}

/** What all records of a statement say alike. */
export interface StatementSource {
  readonly statementKey: string
  readonly file: string
  readonly fileHash: string
  readonly format: string
  readonly account: string
  readonly currency: string | null
  readonly date: string | null
  readonly actor: string
}

export interface StatementValue extends StatementSource {
  readonly ordinal: number
  readonly header: HeaderValue | null
  readonly line: LineValue | null
}

const textOf = (amount: Decimal): string => formatDecimal(amount, 0)

/** @param ordinal from 1 */
export const lineValue = (source: StatementSource, ordinal: number, line: StatementLine): StatementValue => ({
  ...source,
  ordinal,
  header: null,
  line: {
    ...line,
    amount: textOf(line.amount),
    details: line.details.map((detail) => ({
      ...detail,
      amount: detail.amount === null ? null : textOf(detail.amount),
    })),
  },
})

/** @param lines How many records of lines there are */
export const headerValue = (
  source: StatementSource,
  lines: number,
  summary: StatementSummary,
): StatementValue => ({
  ...source,
  ordinal: 0,
  line: null,
  header: {
    id: summary.id,
    sequence: summary.sequence,
    opening: summary.opening === null ? null : textOf(summary.opening.amount),
    openingDate: summary.opening?.date ?? null,
    closing: summary.closing === null ? null : textOf(summary.closing.amount),
    closingDate: summary.closing?.date ?? null,
    lines,
    entries: summary.entries,
    sumCredits: textOf(summary.sumCredits),
    sumDebits: textOf(summary.sumDebits),
    proof: summary.proof,
    controls: summary.controls,
  },
})

const STATUSES: ReadonlySet<string> = new Set(['booked', 'pending', 'future', 'information'])

/** A line read from the topic; null where its amounts or status are none of ours. */
export function lineOfValue(value: LineValue): StatementLine | null {
  const amount = parseDecimal(value.amount, '.')
  if (amount === null || !STATUSES.has(value.status)) return null
  const details: LineDetail[] = []
  for (const detail of value.details) {
    const part = detail.amount === null ? null : parseDecimal(detail.amount, '.')
    if (detail.amount !== null && part === null) return null
    details.push({ ...detail, amount: part })
  }
  return { ...value, amount, details }
}
