/**
 * Whether the statements of one account follow each other: each opens with what the one before closed with, and none is missing in
 * their numbers. A function of the set of statements: in which order they came doesn't matter, and one that comes again says nothing new.
 */
import { add, type Decimal, isEqual, negate } from './decimal.ts'

/** A statement as it is proven. One account and currency. */
export interface ProvenStatement {
  /** By which it is known again (identity.ts). */
  readonly key: string
  /** `23`, `23/1` (number and page), or another form that isn't counted; null = none. */
  readonly sequence: string | null
  readonly opening: { readonly amount: Decimal; readonly date: string | null } | null
  readonly closing: { readonly amount: Decimal; readonly date: string | null } | null
  readonly proof: 'ok' | 'mismatch' | 'n/a'
  readonly controls: 'ok' | 'mismatch' | 'n/a'
}

export type StatementFinding =
  /** It doesn't add up, or not to the totals that it declares itself. */
  | { readonly kind: 'statement_arithmetic'; readonly statement: string; readonly of: 'balances' | 'totals' }
  /** What lies between two: ledger and bank can't agree before it is found. */
  | {
      readonly kind: 'statement_gap'
      readonly before: string
      readonly statement: string
      /** Opening less the closing before: what moved in between. */
      readonly missing: Decimal
    }

/** What is wrong with the statements of one account and currency, in their order. Several of one key count once. */
export function proveStatements(statements: readonly ProvenStatement[]): StatementFinding[] {
  const known = [...new Map(statements.map((statement) => [statement.key, statement])).values()]
  const arithmetic = known.flatMap(({ key, proof, controls }): StatementFinding[] => [
    ...(proof === 'mismatch'
      ? [{ kind: 'statement_arithmetic', statement: key, of: 'balances' } as const]
      : []),
    ...(controls === 'mismatch'
      ? [{ kind: 'statement_arithmetic', statement: key, of: 'totals' } as const]
      : []),
  ])
  return [...arithmetic.sort(byStatement), ...gapsIn(known)]
}

const byStatement = (left: StatementFinding, right: StatementFinding): number =>
  left.statement < right.statement ? -1 : left.statement > right.statement ? 1 : 0

type Balanced = ProvenStatement & {
  readonly opening: NonNullable<ProvenStatement['opening']>
  readonly closing: NonNullable<ProvenStatement['closing']>
}

function gapsIn(statements: readonly ProvenStatement[]): StatementFinding[] {
  const balanced = statements.filter(
    (statement): statement is Balanced => statement.opening !== null && statement.closing !== null,
  )
  const ordered = inOrder(balanced)
  return ordered.slice(1).flatMap((statement, at) => {
    const before = ordered[at]!
    const missing = add(statement.opening.amount, negate(before.closing.amount))
    if (missing.digits === 0n) return []
    return [{ kind: 'statement_gap', before: before.key, statement: statement.key, missing } as const]
  })
}

/** By closing date, number and page; those of one day without numbers in the order in which their balances meet. */
function inOrder(statements: readonly Balanced[]): Balanced[] {
  const sorted = [...statements].sort(
    (left, right) =>
      compareTexts(dateOf(left), dateOf(right)) ||
      compareSequences(left.sequence, right.sequence) ||
      compareTexts(left.key, right.key),
  )
  const ordered: Balanced[] = []
  while (sorted.length > 0) {
    const [first] = sorted as [Balanced]
    const last = ordered.at(-1)
    const isPeer = (other: Balanced) =>
      dateOf(other) === dateOf(first) && compareSequences(other.sequence, first.sequence) === 0
    const meeting =
      last === undefined
        ? startOf(sorted.filter(isPeer))
        : sorted.find((other) => isPeer(other) && isEqual(other.opening.amount, last.closing.amount))
    const next = meeting ?? first
    sorted.splice(sorted.indexOf(next), 1)
    ordered.push(next)
  }
  return ordered
}

/** Of several with one place in the order the one that no other one leads to. */
const startOf = (peers: readonly Balanced[]): Balanced | undefined =>
  peers.find((peer) =>
    peers.every((other) => other === peer || !isEqual(other.closing.amount, peer.opening.amount)),
  )

const dateOf = ({ opening, closing }: Balanced): string => closing.date ?? opening.date ?? ''

const compareTexts = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0)

const NUMBERED = /^(\d{1,9})(?:\/(\d{1,9}))?$/

/** Behind all numbers. */
const UNNUMBERED = [1_000_000_000, 0] as const

function placeOf(sequence: string | null): readonly [number: number, page: number] {
  const match = NUMBERED.exec(sequence ?? '')
  return match === null ? UNNUMBERED : [Number(match[1]), Number(match[2] ?? 0)]
}

/** By number, then page; what isn't numbered comes last and has no order of its own. */
function compareSequences(left: string | null, right: string | null): number {
  const [leftNumber, leftPage] = placeOf(left)
  const [rightNumber, rightPage] = placeOf(right)
  return leftNumber - rightNumber || leftPage - rightPage
}
