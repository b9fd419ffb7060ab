/** `recon match`: reads both sides from files, matches, classifies what is open, proves the statements, and says it all. */
import { showAmount } from '#api/amounts.ts'
import { table } from '#cli/table.ts'
import { dateOf, readItemFile } from '#connectors/reconciliation/item-file.ts'
import { readPairFile } from '#connectors/reconciliation/pair-file.ts'
import { readStatementItems, type StatementItems } from '#connectors/reconciliation/statement-source.ts'
import { readStatementMapping } from '#connectors/statements/csv-mapping.ts'
import { ageBucket, ageInDays, type BreakKind, classify, severityOf } from '#domain/breaks/classify.ts'
import { Relations } from '#domain/breaks/relations.ts'
import { explainOpen, type PassExplanation } from '#domain/matching/explain.ts'
import { dayOf, type MatchItem, type Side } from '#domain/matching/item.ts'
import { type Match, Matcher } from '#domain/matching/matcher.ts'
import { type PairSettings, pairSettings } from '#domain/matching/pair.ts'
import { type MatchProposal, proposals } from '#domain/matching/proposals.ts'
import { proveStatements } from '#domain/statements/continuity.ts'
import { isoDate } from '#domain/statements/dates.ts'
import { formatDecimal } from '#domain/statements/decimal.ts'
import { FEES_MINOR, ROUNDING_MAX_MINOR, type TrueMatch } from '#loadtest/reconciliation/generator.ts'
import { AIMS, reaches, type Score, scoreOf } from '#loadtest/reconciliation/score.ts'
import { ConfigurationError } from '#platform/errors.ts'

export interface MatchFilesOptions {
  readonly ledger: readonly string[]
  readonly bank: readonly string[]
  readonly pair?: string
  readonly mapping?: string
  readonly today?: string
  readonly matches?: boolean
  readonly open?: boolean
}

export interface FileReport {
  readonly items: Readonly<Record<Side, number>>
  /** Items that came again and changed nothing, and ids that said something else the second time. */
  readonly repeated: number
  readonly conflicts: readonly string[]
  readonly refusedLines: Readonly<Record<string, number>>
  readonly matchesByPass: Readonly<Record<string, number>>
  readonly matchedItems: number
  readonly breaks: readonly ShownBreak[]
  readonly breaksByKind: Readonly<Record<string, number>>
  readonly statementFindings: readonly Record<string, unknown>[]
  readonly proposals: readonly MatchProposal[]
  readonly matches?: readonly Record<string, unknown>[]
  readonly measured?: Score & { readonly meetsAims: boolean }
}

interface ShownBreak {
  readonly item: string
  readonly side: Side
  readonly kind: BreakKind
  readonly account: string
  readonly currency: string
  readonly amount: string
  readonly date: string | null
  readonly age: string
  readonly severity: string
  readonly related: readonly string[]
  readonly provenance: string
  readonly why?: readonly PassExplanation[]
}

/** @throws ConfigurationError, OperatingError `statement_unreadable` */
export async function matchFiles(
  options: MatchFilesOptions,
  truth: readonly TrueMatch[] | null,
  signal: AbortSignal,
): Promise<FileReport> {
  const settings = await settingsOf(options, truth)
  const mapping = options.mapping === undefined ? null : await readStatementMapping(options.mapping)
  const matcher = new Matcher(settings.passes)
  const relations = new Relations()
  const count = { ledger: 0, bank: 0 }
  const refusedLines: Record<string, number> = {}
  const conflicts: string[] = []
  const statements: { side: Side; statement: StatementItems['statements'][number] }[] = []
  let repeated = 0
  let today = 0
  const take = (item: MatchItem) => {
    const added = matcher.add(item)
    if (added === 'known') repeated += 1
    else if (added === 'conflict') conflicts.push(item.id)
    else {
      count[item.side] += 1
      today = Math.max(today, dayOf(item) ?? 0)
      relations.add(item)
    }
  }
  for (const side of ['ledger', 'bank'] as const) {
    for (const file of options[side]) {
      signal.throwIfAborted()
      if (/\.jsonl(\.gz)?$/.test(file)) {
        for await (const item of readItemFile(file, side)) take(item)
        continue
      }
      const read = await readStatementItems(file, { side, settings, mapping, signal })
      for (const item of read.items) take(item)
      for (const statement of read.statements) statements.push({ side, statement })
      for (const [reason, lines] of Object.entries(read.refused)) {
        refusedLines[reason] = (refusedLines[reason] ?? 0) + lines
      }
    }
  }
  matcher.settle()
  const matches = [...matcher.matches()]
  const until = options.today === undefined ? today : dayNumber(options.today)
  const breaks = breaksOf({ matcher, relations, settings, today: until, withReasons: options.open === true })
  const score = truth === null ? null : scoreOf(matches, truth)
  return {
    items: count,
    repeated,
    conflicts,
    refusedLines,
    matchesByPass: countBy(matches, ({ pass }) => pass),
    matchedItems: matches.reduce((sum, match) => sum + match.ledger.length + match.bank.length, 0),
    breaks,
    breaksByKind: countBy(breaks, ({ kind }) => kind),
    statementFindings: findingsOf(statements),
    proposals: proposals(matcher.open()),
    ...(options.matches ? { matches: matches.map(showMatch) } : {}),
    ...(score === null
      ? {}
      : {
          measured: {
            ...score,
            meetsAims: reaches(score.precision, AIMS.precision) && reaches(score.recall, AIMS.recall),
          },
        }),
  }
}

/** Generated data is measured with the fees and differences that its generator makes, unless a pair says otherwise. */
async function settingsOf(
  { pair }: MatchFilesOptions,
  truth: readonly TrueMatch[] | null,
): Promise<PairSettings> {
  if (pair !== undefined) return await readPairFile(pair)
  if (truth === null) return pairSettings()
  return pairSettings(new Map(), { absoluteMinor: ROUNDING_MAX_MINOR, perMillion: 0, feesMinor: FEES_MINOR })
}

function dayNumber(text: string): number {
  const date = text.length === 10 ? isoDate(text) : null
  if (date === null)
    throw new ConfigurationError(`expected --today as yyyy-mm-dd, got ${JSON.stringify(text)}`)
  return Date.parse(`${date}T00:00:00Z`) / 86_400_000
}

function countBy<T>(things: readonly T[], nameOf: (thing: T) => string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const thing of things) counts[nameOf(thing)] = (counts[nameOf(thing)] ?? 0) + 1
  return counts
}

interface Open {
  readonly matcher: Matcher
  readonly relations: Relations
  readonly settings: PairSettings
  readonly today: number
  readonly withReasons: boolean
}

function breaksOf({ matcher, relations, settings, today, withReasons }: Open): ShownBreak[] {
  const open = [...matcher.open()].sort((left, right) => (left.id < right.id ? -1 : 1))
  return open.map((item) => {
    const related = relations
      .of(item)
      .map((other) => ({ item: other, isOpen: matcher.find(other.id)?.match === null }))
    const found = classify(item, related, today, settings.breaks)
    const age = ageInDays(item, today)
    return {
      item: item.id,
      side: item.side,
      kind: found.kind,
      account: item.account,
      currency: item.currency,
      amount: showAmount(item.amountMinor, item.currency),
      date: dateOf(dayOf(item)),
      age: ageBucket(age),
      severity: severityOf(item.amountMinor, age, settings.breaks),
      related: found.related,
      provenance: item.provenance,
      ...(withReasons ? { why: explainOpen(matcher, settings.passes, item.id) } : {}),
    }
  })
}

/** Arithmetic and gaps of each account's statements; reports and notifications have no balances to follow. */
function findingsOf(
  statements: readonly { readonly side: Side; readonly statement: StatementItems['statements'][number] }[],
): Record<string, unknown>[] {
  const byAccount = Map.groupBy(statements, ({ side, statement }) =>
    JSON.stringify([side, statement.account, statement.currency]),
  )
  return [...byAccount].flatMap(([key, group]) => {
    const [side, account, currency] = JSON.parse(key) as [Side, string | null, string | null]
    return proveStatements(group.map(({ statement }) => statement)).map((finding) => ({
      side,
      account,
      currency,
      ...finding,
      ...('missing' in finding ? { missing: formatDecimal(finding.missing, 2) } : {}),
    }))
  })
}

const showMatch = ({
  pass,
  score,
  ledger,
  bank,
  differenceMinor,
  because,
}: Match): Record<string, unknown> => ({
  pass,
  score,
  ledger: ledger.map(({ id, provenance }) => ({ id, provenance })),
  bank: bank.map(({ id, provenance }) => ({ id, provenance })),
  difference: showAmount(differenceMinor, bank[0]!.currency),
  because,
})

const SHOWN_MAX = 50

/** For people. */
export function reportText(report: FileReport): string {
  const total = report.items.ledger + report.items.bank
  const share = total === 0 ? '0' : ((report.matchedItems * 100) / total).toFixed(2)
  const passRows = Object.entries(report.matchesByPass).map(([pass, matches]) => [pass, String(matches)])
  const breakRows = report.breaks
    .slice(0, SHOWN_MAX)
    .map((one) => [
      one.item,
      one.side,
      one.kind,
      one.amount,
      one.currency,
      one.date ?? '-',
      one.age,
      one.severity,
      one.related.join(' '),
    ])
  const lines = [
    `${report.items.ledger} of the ledger, ${report.items.bank} of the bank: ${share} % matched, ${report.breaks.length} open`,
    ...(passRows.length > 0 ? [table([['pass', 'matches'], ...passRows], [1])] : []),
    ...Object.entries(report.breaksByKind).map(([kind, breaks]) => `${breaks} ${kind}`),
    ...(breakRows.length > 0
      ? [
          table(
            [['item', 'side', 'kind', 'amount', '', 'date', 'days', 'severity', 'related'], ...breakRows],
            [3],
          ),
        ]
      : []),
    ...(report.breaks.length > SHOWN_MAX
      ? [`and ${report.breaks.length - SHOWN_MAX} more: --json shows all`]
      : []),
    ...report.statementFindings.map((finding) => `statement: ${JSON.stringify(finding)}`),
    ...(report.proposals.length > 0
      ? [`${report.proposals.length} proposals by text for a person: --json shows them`]
      : []),
  ]
  if (report.measured !== undefined) {
    const { precision, recall, meetsAims } = report.measured
    lines.push(
      `precision ${precision.right} of ${precision.all}, recall ${recall.right} of ${recall.all}: ${meetsAims ? 'as aimed at' : 'below the aims'}`,
    )
  }
  return lines.join('\n')
}
