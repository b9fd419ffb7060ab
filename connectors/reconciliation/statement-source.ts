/** The items of statement files: every booked line once, whichever file it comes from. */
import type { StatementMapping } from '#connectors/statements/csv-mapping.ts'
import { type ParsedStatement, parseStatementFile } from '#connectors/statements/parse-file.ts'
import { itemsOfLine } from '#domain/matching/from-statement.ts'
import type { MatchItem, Side } from '#domain/matching/item.ts'
import type { PairSettings } from '#domain/matching/pair.ts'
import { statementKeyOf } from '#domain/statements/identity.ts'
import { OperatingError } from '#platform/errors.ts'

export interface StatementItems {
  readonly items: readonly MatchItem[]
  /** With their keys, without lines. */
  readonly statements: readonly (ParsedStatement & { readonly key: string })[]
  /** Booked lines that are no item, by reason. */
  readonly refused: Readonly<Record<string, number>>
}

export interface StatementSourceOptions {
  readonly side: Side
  readonly settings: Pick<PairSettings, 'accounts' | 'expandLines'>
  readonly mapping: StatementMapping | null
  readonly signal: AbortSignal
}

/** Reads one file into memory. @throws OperatingError `statement_unreadable` with the place of what is wrong */
export async function readStatementItems(
  path: string,
  options: StatementSourceOptions,
): Promise<StatementItems> {
  const { mapping, signal } = options
  const parsed = await parseStatementFile(path, { collectLines: true, mapping, signal })
  if (parsed.error !== null) {
    const { code, message, line } = parsed.error
    throw new OperatingError(
      'statement_unreadable',
      `${path}${line === undefined ? '' : `, line ${line}`}: ${message} (${code})`,
    )
  }
  const items: MatchItem[] = []
  const refused: Record<string, number> = {}
  const statements = parsed.statements.map(({ lines = [], ...statement }) => {
    const key = statementKeyOf(statement)
    const account = statement.account ?? path
    lines.forEach((line, at) => {
      const origin = {
        statementKey: key,
        ordinal: at + 1,
        account: options.settings.accounts.get(account) ?? account,
        currency: statement.currency,
        date: statement.closing?.date ?? statement.opening?.date ?? null,
        provenance: `${path}:${line.line}`,
      }
      const found = itemsOfLine(line, origin, options.settings.expandLines)
      if (found.refusal !== null && found.refusal !== 'not_booked') {
        refused[found.refusal] = (refused[found.refusal] ?? 0) + 1
      }
      items.push(...found.items.map((item) => ofSide(item, options.side)))
    })
    return { ...statement, key }
  })
  return { items, statements, refused }
}

/** A statement may stand on both sides, for example of two banks' systems: its items are different ones then. */
const ofSide = (item: MatchItem, side: Side): MatchItem =>
  side === 'bank' ? item : { ...item, side, id: `ledger:${item.id}` }
