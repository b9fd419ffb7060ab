/**
 * Reads a CSV or TSV statement by a mapping: a statement for each account and currency in the file. A line that can't be
 * read costs that line only and is reported. With a balance column the first and last balances are proven against the lines.
 */
import type { AmountProblem } from '#connectors/csv/amount.ts'
import type { TimeMapping } from '#connectors/csv/mapping.ts'
import { type CsvRecord, readCsv } from '#connectors/csv/reader.ts'
import { type BoundTemplate, bindTemplate } from '#connectors/csv/template.ts'
import { timeReader } from '#connectors/csv/times.ts'
import { type BoundAmount, bindAmount } from '#connectors/csv/transform.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { isoDate } from '#domain/statements/dates.ts'
import { add, type Decimal, fromMinor, negate } from '#domain/statements/decimal.ts'
import {
  type LineStatus,
  NO_DETAIL,
  type StatementLine,
  type StatementSink,
} from '#domain/statements/model.ts'
import { StatementError, shown } from '#domain/statements/problems.ts'
import { StatementTally } from '#domain/statements/tally.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { STATEMENT_FIELDS, type StatementField, type StatementMapping, type Words } from './csv-mapping.ts'

/** Statements that may be open at once. */
const ACCOUNTS_MAX = 100_000

/** A line of the file with the account it belongs to. */
interface MappedLine {
  readonly account: string
  readonly currency: string
  readonly line: StatementLine
  readonly balance: Decimal | null
}

/** What is known of an account while the file is read. */
interface OpenAccount {
  readonly tally: StatementTally
  first: MappedLine | null
  last: MappedLine | null
}

/** @throws StatementError where the file lacks a column of the mapping, or has too many accounts */
export async function parseCsvStatement(
  path: string,
  { mapping, sink, signal }: { mapping: StatementMapping; sink: StatementSink; signal: AbortSignal },
): Promise<void> {
  const accounts = new Map<string, OpenAccount>()
  let read: ((record: CsvRecord) => MappedLine | string) | undefined
  for await (const { header, records, problems } of readCsvAsProblem(path, mapping)) {
    signal.throwIfAborted()
    read ??= bound(() => bindStatement(mapping, header))
    for (const { line, reason, text } of problems) {
      sink.reject({ code: 'value_invalid', message: `${reason.replaceAll('_', ' ')}: ${shown(text)}`, line })
    }
    for (const record of records) {
      const mapped = read(record)
      if (typeof mapped === 'string') {
        sink.reject({ code: 'value_invalid', message: mapped, line: record.line })
      } else take(mapped)
    }
  }
  for (const account of accounts.values()) finish(account, mapping.order)

  function take(mapped: MappedLine): void {
    const key = `${mapped.currency} ${mapped.account}`
    let account = accounts.get(key)
    if (account === undefined) {
      if (accounts.size >= ACCOUNTS_MAX) {
        throw new StatementError('statement_too_large', `expected at most ${ACCOUNTS_MAX} accounts`, {
          line: mapped.line.line,
        })
      }
      const header = { id: null, account: mapped.account, currency: mapped.currency, sequence: null }
      account = { tally: new StatementTally(sink, header), first: null, last: null }
      accounts.set(key, account)
    }
    account.tally.line(mapped.line)
    // The balance is of booked lines, so only they carry it on.
    if (mapped.line.status !== 'booked') return
    account.first ??= mapped
    account.last = mapped
  }
}

async function* readCsvAsProblem(path: string, mapping: StatementMapping) {
  try {
    yield* readCsv(path, mapping.file)
  } catch (error) {
    throw asStatementError(error)
  }
}

const bound = <T>(bind: () => T): T => {
  try {
    return bind()
  } catch (error) {
    throw asStatementError(error)
  }
}

/** A mapping that doesn't fit one file is that file's problem: the others of the call are read. */
const asStatementError = (error: unknown): unknown =>
  error instanceof ConfigurationError ? new StatementError('tag_missing', error.message) : error

function finish({ tally, first, last }: OpenAccount, order: StatementMapping['order']): void {
  const [oldest, newest] = order === 'oldest-first' ? [first, last] : [last, first]
  if (oldest?.balance && newest?.balance) {
    const { currency } = oldest
    const opening = add(oldest.balance, negate(oldest.line.amount))
    tally.opening({ amount: opening, currency, date: oldest.line.bookingDate, code: 'balance' })
    tally.closing({ amount: newest.balance, currency, date: newest.line.bookingDate, code: 'balance' })
  }
  tally.end()
}

/** @throws ConfigurationError where the file has no such column */
function bindStatement(
  mapping: StatementMapping,
  header: readonly string[],
): (record: CsvRecord) => MappedLine | string {
  const accountOf = bindTemplate(mapping.account, header, 'account')
  const currencyOf = bindTemplate(mapping.currency, header, 'currency')
  const bookingOf = bindDate(mapping.bookingDate, header, 'bookingDate')
  const valueDateOf = mapping.valueDate === null ? null : bindDate(mapping.valueDate, header, 'valueDate')
  const amountOf = bindAmount(mapping.amount, header, 1n)
  const directionOf = mapping.direction === null ? null : bindWords(mapping.direction, header, 'direction')
  const statusOf = mapping.status === null ? null : bindWords(mapping.status, header, 'status')
  const balanceOf = mapping.balance === null ? null : bindBalance(mapping, header)
  const fieldsOf = bindFields(mapping, header)
  return ({ fields, line }) => {
    const account = accountOf(fields)
    if (account === null) return 'expected an account'
    const currency = currencyByCode(currencyOf(fields) ?? '')
    if (currency === undefined) return `expected a currency code, found ${shown(currencyOf(fields) ?? '')}`
    const bookingDate = bookingOf(fields)
    if (bookingDate === null || bookingDate === undefined) return 'expected a booking date'
    const valueDate = valueDateOf === null ? null : valueDateOf(fields)
    if (valueDate === undefined) return 'expected a value date'
    const minor = amountOf(fields, currency.exponent)
    if (typeof minor === 'string') return problemText(minor)
    const direction = directionOf === null ? (mapping.positive as 'credit' | 'debit') : directionOf(fields)
    if (direction === null) return 'expected a word for credit or debit'
    const status: LineStatus = statusOf?.(fields) ?? 'booked'
    const balance = balanceOf === null ? null : balanceOf(fields, currency.exponent)
    // A balance that says amount_missing isn't there; any other word says that it can't be read.
    if (typeof balance === 'string' && balance !== 'amount_missing') return `balance: ${problemText(balance)}`
    const amount = fromMinor(direction === 'credit' ? minor : -minor, currency.exponent)
    return {
      account,
      currency: currency.code,
      balance: typeof balance === 'bigint' ? fromMinor(balance, currency.exponent) : null,
      line: lineOf(
        { line, status, amount, currency: currency.code, bookingDate, valueDate },
        fieldsOf(fields),
      ),
    }
  }
}

type Basics = Pick<StatementLine, 'line' | 'status' | 'amount' | 'currency' | 'bookingDate' | 'valueDate'>

function lineOf(basics: Basics, fields: Record<StatementField, string | null>): StatementLine {
  const { text, reference, bankReference, code, endToEndId, counterpartyName, counterpartyAccount } = fields
  const hasDetail = endToEndId !== null || counterpartyName !== null || counterpartyAccount !== null
  const detail = {
    ...NO_DETAIL,
    bankReference,
    endToEndId,
    counterpartyName,
    counterpartyAccount,
    remittance: text,
  }
  return {
    ...basics,
    path: null,
    reversal: false,
    bankReference,
    reference,
    code,
    text,
    details: hasDetail ? [detail] : [],
  }
}

const problemText = (problem: AmountProblem | string): string => problem.replaceAll('_', ' ')

/** Null where the value is empty, undefined where it is no date. */
function bindDate(
  mapping: TimeMapping,
  header: readonly string[],
  path: string,
): (fields: readonly string[]) => string | null | undefined {
  const textOf = bindTemplate(mapping.value, header, `${path}.value`)
  // The date is the bank's as it stands: no zone may move it to another day.
  const read = timeReader({ ...mapping, zone: 'UTC' }, `${path}.format`)
  return (fields) => {
    const text = textOf(fields)
    if (text === null) return null
    if (mapping.format === 'iso') return isoDate(text.trim().replace(' ', 'T')) ?? undefined
    const time = read(text)
    return time === null ? undefined : new Date(time).toISOString().slice(0, 10)
  }
}

/** The name whose words hold the value, whatever their case; null where none does. */
function bindWords<Name extends string>(
  mapping: Words<Name>,
  header: readonly string[],
  path: string,
): (fields: readonly string[]) => Name | null {
  const textOf = bindTemplate(mapping.value, header, `${path}.value`)
  const names = new Map<string, Name>()
  for (const [name, words] of Object.entries(mapping.words) as [Name, readonly string[]][]) {
    for (const word of words) names.set(word.trim().toLowerCase(), name)
  }
  return (fields) => names.get((textOf(fields) ?? '').toLowerCase()) ?? null
}

function bindBalance(mapping: StatementMapping, header: readonly string[]): BoundAmount {
  const { unit, decimal, thousands } = mapping.amount
  return bindAmount({ form: 'single', value: mapping.balance!, unit, decimal, thousands }, header, 1n)
}

function bindFields(
  mapping: StatementMapping,
  header: readonly string[],
): (fields: readonly string[]) => Record<StatementField, string | null> {
  const bindings = STATEMENT_FIELDS.map((field): [StatementField, BoundTemplate] => {
    const source = mapping.fields[field]
    return [field, source === undefined ? () => null : bindTemplate(source, header, `fields.${field}`)]
  })
  return (fields) =>
    Object.fromEntries(bindings.map(([field, textOf]) => [field, textOf(fields)])) as Record<
      StatementField,
      string | null
    >
}
