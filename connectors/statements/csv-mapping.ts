/** The mapping file of `statements parse --mapping`: JSON that says what the columns of a CSV or TSV statement mean. docs/statements.md has one. */
import {
  type AmountMapping,
  readAmount,
  readFileFormat,
  readTime,
  type TimeMapping,
  template,
} from '#connectors/csv/mapping.ts'
import {
  MappingChecker,
  mappingJson,
  readMappingText,
  type Section,
} from '#connectors/csv/mapping-checker.ts'
import type { CsvFormat } from '#connectors/csv/reader.ts'
import type { Template } from '#connectors/csv/template.ts'

/** Columns that are copied as they stand. */
export const STATEMENT_FIELDS = [
  'text',
  'reference',
  'bankReference',
  'code',
  'endToEndId',
  'counterpartyName',
  'counterpartyAccount',
] as const
export type StatementField = (typeof STATEMENT_FIELDS)[number]

/** A column whose words say something. */
export interface Words<Name extends string> {
  readonly value: Template
  readonly words: Readonly<Record<Name, readonly string[]>>
}

export interface StatementMapping {
  readonly file: CsvFormat
  readonly account: Template
  readonly currency: Template
  readonly bookingDate: TimeMapping
  readonly valueDate: TimeMapping | null
  readonly amount: AmountMapping
  /** What a positive amount in a single column is. */
  readonly positive: 'credit' | 'debit'
  /** A column of its own that says the direction; amounts are then positive, and a negative one turns it around. */
  readonly direction: Words<'credit' | 'debit'> | null
  /** Words for lines that are not booked. */
  readonly status: Words<'pending' | 'information'> | null
  /** The account's balance after each line, written as the amounts are. */
  readonly balance: Template | null
  readonly order: 'oldest-first' | 'newest-first'
  readonly fields: Readonly<Partial<Record<StatementField, Template>>>
}

/** Reads and checks a mapping file. @throws ConfigurationError naming every wrong key */
export async function readStatementMapping(path: string): Promise<StatementMapping> {
  return parseStatementMapping(await readMappingText(path))
}

/** Checks a mapping's JSON text. @throws ConfigurationError */
export function parseStatementMapping(text: string): StatementMapping {
  const checker = new MappingChecker()
  const root = checker.section(mappingJson(text), '')
  const mapping: StatementMapping = {
    file: readFileFormat(root.optionalSection('file')),
    account: template(root, 'account'),
    currency: template(root, 'currency'),
    bookingDate: readTime(root.section('bookingDate')),
    valueDate: root.has('valueDate') ? readTime(root.section('valueDate')) : null,
    amount: readAmount(root.section('amount')),
    positive: root.oneOf('positive', ['credit', 'debit'], 'credit'),
    direction: root.has('direction') ? readWords(root.section('direction'), ['credit', 'debit']) : null,
    status: root.has('status') ? readWords(root.section('status'), ['pending', 'information']) : null,
    balance: root.has('balance') ? template(root, 'balance') : null,
    order: root.oneOf('order', ['oldest-first', 'newest-first'], 'oldest-first'),
    fields: readFields(root.optionalSection('fields')),
  }
  if (mapping.amount.form === 'split' && (mapping.direction !== null || mapping.positive === 'debit')) {
    root.complain('amount.debit', 'neither direction nor positive with debit and credit columns', 'both')
  }
  root.finish()
  checker.finish()
  return mapping
}

function readWords<Name extends string>(section: Section, names: readonly Name[]): Words<Name> {
  const value = template(section, 'value')
  const words = Object.fromEntries(
    names.map((name) => [name, section.has(name) ? (section.optionalTexts(name) ?? []) : []]),
  ) as Record<Name, readonly string[]>
  section.finish()
  return { value, words }
}

function readFields(section: Section): StatementMapping['fields'] {
  const fields: Partial<Record<StatementField, Template>> = {}
  for (const field of STATEMENT_FIELDS) if (section.has(field)) fields[field] = template(section, field)
  section.finish()
  return fields
}
