/** `statements parse`: what bank statement files say, and whether their arithmetic holds. */
import { setFlagsFromString } from 'node:v8'
import type { Command } from 'commander'
import { readStatementMapping } from '#connectors/statements/csv-mapping.ts'
import { addCommand, type CommandResult } from '#cli/command.ts'
import { withActorOption } from '#cli/options.ts'
import { type ImportOptions, importStatements } from '#cli/statements/import-files.ts'
import { table } from '#cli/table.ts'
import {
  type ParsedFile,
  type ParsedStatement,
  parseStatementFile,
} from '#connectors/statements/parse-file.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { type Decimal, formatDecimal } from '#domain/statements/decimal.ts'
import type { LineDetail, StatementLine } from '#domain/statements/model.ts'
import type { StatementProblem } from '#domain/statements/problems.ts'

interface ParseOptions {
  lines?: boolean
  mapping?: string
}

interface NamedFile extends ParsedFile {
  /** As typed. */
  readonly file: string
}

/** Registers `statements` and its subcommands. */
export function registerStatements(program: Command): void {
  const parent = program.command('statements').description('bank statements')
  addCommand<ParseOptions>(parent, {
    usage: 'parse <file...>',
    summary:
      'read statement files (camt.052/053/054, MT940, MT942, BAI2, OFX, CSV; plain or gzip) and check their arithmetic',
    example: 'statements parse statement.xml --json',
    configure: (command) =>
      command
        .option('--lines', 'show every line, not only the sums')
        .option(
          '--mapping <file>',
          'JSON that says what the columns of CSV files mean; see docs/statements.md',
        ),
    run: (context, options, files) => parseStatements(files, options, context.signal),
  })
  addCommand<ImportOptions>(parent, {
    usage: 'import [file...]',
    audited: true,
    summary: 'publish statement files to the topic statements; again changes nothing',
    example: 'statements import statement.xml --json',
    configure: (command) =>
      withActorOption(command)
        .option(
          '--mapping <file>',
          'JSON that says what the columns of CSV files mean; see docs/statements.md',
        )
        .option('--watch <folder>', 'stay up and import what is dropped into a folder'),
    run: importStatements,
  })
}

/** Reads the files one after the other. Exit code 1 where one is wrong, has lines that can't be read, or doesn't add up. */
export async function parseStatements(
  files: readonly string[],
  options: ParseOptions,
  signal: AbortSignal,
): Promise<CommandResult> {
  const mapping = options.mapping === undefined ? null : await readStatementMapping(options.mapping)
  // Lines live for a moment, so V8's young space gains nothing by doubling: 295 MB became 220 MB for 450 MB of camt.
  setFlagsFromString('--semi-space-growth-factor=1')
  const parsed: NamedFile[] = []
  for (const file of files) {
    signal.throwIfAborted()
    const read = await parseStatementFile(file, { collectLines: options.lines === true, mapping, signal })
    parsed.push({ file, ...read })
  }
  return resultOf(parsed)
}

function resultOf(files: readonly NamedFile[]): CommandResult {
  const isFine = files.every(
    ({ error, rejectCount, statements }) =>
      error === null &&
      rejectCount === 0 &&
      statements.every(({ proof, controls }) => proof !== 'mismatch' && controls !== 'mismatch'),
  )
  return { json: files.map(fileJson), text: files.map(fileText).join('\n\n'), exitCode: isFine ? 0 : 1 }
}

const fileJson = ({
  file,
  format,
  error,
  statements,
  warnings,
  warningCount,
  rejects,
  rejectCount,
}: NamedFile) => ({
  file,
  format,
  error,
  statements: statements.map(statementJson),
  warnings,
  warningCount,
  rejects,
  rejectCount,
})

/** Exact, in major units, with at least the currency's decimals. */
function amountText(amount: Decimal | null, currency: string | null): string | null {
  if (amount === null) return null
  return formatDecimal(amount, currencyByCode(currency ?? '')?.exponent ?? 0)
}

function statementJson({ opening, closing, lines, ...statement }: ParsedStatement) {
  const { currency } = statement
  return {
    ...statement,
    opening: amountText(opening?.amount ?? null, currency),
    openingDate: opening?.date ?? null,
    openingCode: opening?.code ?? null,
    closing: amountText(closing?.amount ?? null, currency),
    closingDate: closing?.date ?? null,
    closingCode: closing?.code ?? null,
    sumCredits: amountText(statement.sumCredits, currency),
    sumDebits: amountText(statement.sumDebits, currency),
    ...(lines === undefined ? {} : { lines: lines.map(lineJson) }),
  }
}

const lineJson = (line: StatementLine) => ({
  ...line,
  amount: amountText(line.amount, line.currency),
  details: line.details.map((detail) => detailJson(detail, line.currency)),
})

/** Without what isn't there: a batch's many details would be mostly nulls. */
function detailJson(detail: LineDetail, currency: string | null) {
  const amount = amountText(detail.amount, detail.currency ?? currency)
  return Object.fromEntries(Object.entries({ ...detail, amount }).filter(([, value]) => value !== null))
}

function fileText({
  file,
  format,
  error,
  statements,
  warningCount,
  rejects,
  rejectCount,
  warnings,
}: NamedFile): string {
  if (error !== null) return `${file}: ${problemText(error)}`
  const rows = statements.map((statement) => {
    const { opening, closing, sumCredits, sumDebits, currency } = statement
    return [
      statement.account ?? '-',
      currency ?? '-',
      amountText(opening?.amount ?? null, currency) ?? '-',
      amountText(sumCredits, currency) ?? '-',
      amountText(sumDebits, currency) ?? '-',
      amountText(closing?.amount ?? null, currency) ?? '-',
      String(statement.entries),
      statement.proof,
      statement.controls,
    ]
  })
  const heading = [
    'account',
    'currency',
    'opening',
    'credits',
    'debits',
    'closing',
    'entries',
    'proof',
    'controls',
  ]
  return [
    `${file}: ${format}, ${statements.length} statements, ${warningCount} warnings, ${rejectCount} lines not read`,
    ...(rows.length > 0 ? [table([heading, ...rows], [2, 3, 4, 5, 6])] : []),
    ...statements.flatMap(linesText),
    ...rejects.map((problem) => `  not read: ${problemText(problem)}`),
    ...warnings.map((problem) => `  warning: ${problemText(problem)}`),
  ].join('\n')
}

function linesText({ lines }: ParsedStatement): string[] {
  if (lines === undefined || lines.length === 0) return []
  const rows = lines.map((line) => [
    line.bookingDate ?? line.valueDate ?? '-',
    line.status,
    amountText(line.amount, line.currency) ?? '-',
    line.currency ?? '-',
    line.bankReference ?? line.reference ?? '-',
    (line.text ?? line.details[0]?.remittance ?? '').replace(/\s+/g, ' ').slice(0, 80),
  ])
  return [table([['date', 'status', 'amount', 'currency', 'reference', 'text'], ...rows], [2])]
}

function problemText({ code, message, line, path }: StatementProblem): string {
  const place = [line === undefined ? '' : `line ${line}`, path ?? '']
    .filter((part) => part !== '')
    .join(', ')
  return `${place === '' ? '' : `${place}: `}${message} (${code})`
}
