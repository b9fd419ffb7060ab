/** Reads a text with a statement parser, whole or cut into pieces, and keeps all that it tells: what the tests of every format compare. */
import { formatDecimal } from '../decimal.ts'
import type {
  StatementHeader,
  StatementLine,
  StatementParser,
  StatementSink,
  StatementSummary,
} from '../model.ts'
import { StatementError, type StatementProblem } from '../problems.ts'

export interface ReadStatement
  extends Omit<StatementSummary, 'opening' | 'closing' | 'sumCredits' | 'sumDebits'> {
  readonly opening: string | null
  readonly closing: string | null
  readonly sumCredits: string
  readonly sumDebits: string
  readonly lines: readonly StatementLine[]
}

export interface ReadText {
  readonly format: string
  readonly error: StatementProblem | null
  readonly statements: readonly ReadStatement[]
  readonly warnings: readonly StatementProblem[]
  readonly rejects: readonly StatementProblem[]
}

/** @param cuts Where to cut the text into pieces: lengths of the first ones. */
export function readText(
  make: (sink: StatementSink) => StatementParser,
  text: string,
  cuts: readonly number[] = [],
): ReadText {
  const statements: ReadStatement[] = []
  const warnings: StatementProblem[] = []
  const rejects: StatementProblem[] = []
  const open = new Map<StatementHeader, StatementLine[]>()
  const parser = make({
    start(header) {
      if (open.size > 0) throw new Error('A statement began inside another')
      open.set(header, [])
    },
    line(line, header) {
      const lines = open.get(header)
      if (lines === undefined) throw new Error('A line came outside of its statement')
      lines.push(line)
    },
    end({ opening, closing, sumCredits, sumDebits, ...summary }, header) {
      const lines = open.get(header)
      if (lines === undefined) throw new Error('A statement ended twice')
      open.delete(header)
      statements.push({
        ...summary,
        opening: opening === null ? null : formatDecimal(opening.amount, 0),
        closing: closing === null ? null : formatDecimal(closing.amount, 0),
        sumCredits: formatDecimal(sumCredits, 0),
        sumDebits: formatDecimal(sumDebits, 0),
        lines,
      })
    },
    warn: (problem) => warnings.push(problem),
    reject: (problem) => rejects.push(problem),
  })
  let error: StatementProblem | null = null
  try {
    let at = 0
    for (const length of cuts) {
      parser.push(text.slice(at, at + length))
      at += length
    }
    parser.push(text.slice(at))
    parser.end()
  } catch (thrown) {
    if (!(thrown instanceof StatementError)) throw thrown
    error = thrown.problem
  }
  return { format: parser.format, error, statements, warnings, rejects }
}

/** A line's amount as text, for short comparisons. */
export const amounts = (statement: ReadStatement | undefined): string[] =>
  statement?.lines.map(({ amount }) => formatDecimal(amount, 0)) ?? []
