/** The mapping file of `import csv`: JSON that says what the columns mean. connectors/README.md shows one; every key is checked here. */
import { ACCOUNT_CLASSES, type AccountClass, type Side } from '#domain/transactions/command.ts'
import type { AmountFormat } from './amount.ts'
import { MappingChecker, mappingJson, readMappingText, type Section } from './mapping-checker.ts'
import type { CsvFormat } from './reader.ts'
import { parseTemplate, type Template } from './template.ts'
import { type TimeFormat, timeReader } from './times.ts'

/** How an account that a line names is opened. */
export interface OpeningTerms {
  readonly accountClass: AccountClass
  readonly normalSide: Side
  /** false = no limit at all. */
  readonly limited: boolean
  /** Minor units below zero that the available balance may reach. */
  readonly overdraftLimit: bigint
  readonly reversalMayOverdraw: boolean
}

/**
 * Which accounts a line moves money between. `pair`: from is debited, to is credited, amounts are positive.
 * `signed`: the line belongs to `account`; a positive amount (or the credit column) credits it against `counter`, unless
 * `positive` says debit.
 */
export type AccountsMapping =
  | { readonly form: 'pair'; readonly from: Template; readonly to: Template }
  | {
      readonly form: 'signed'
      readonly account: Template
      readonly counter: Template
      readonly positive: Side
    }

/** Where amounts stand: one column (signed or not), or one for debits and one for credits. */
export type AmountMapping = AmountFormat &
  (
    | { readonly form: 'single'; readonly value: Template }
    | { readonly form: 'split'; readonly debit: Template; readonly credit: Template }
  )

export type TimeMapping = TimeFormat & { readonly value: Template }

/** Fields of the transaction that are copied as they stand. */
export const COPIED_FIELDS = [
  'card',
  'merchant',
  'terminal',
  'device',
  'country',
  'endToEndId',
  'uetr',
] as const
export type CopiedField = (typeof COPIED_FIELDS)[number]

export interface CsvMapping {
  readonly source: string
  readonly file: CsvFormat
  /** null: ids are made from the line's number and text. */
  readonly id: Template | null
  readonly accounts: AccountsMapping
  readonly amount: AmountMapping
  readonly currency: Template
  readonly occurredAt: TimeMapping
  readonly valueTime: TimeMapping | null
  readonly fields: Readonly<Partial<Record<CopiedField, Template>>>
  readonly metadata: Readonly<Record<string, Template>>
  /** By side: debit side (`from`, `account` first) and the other one; null: the accounts exist already. */
  readonly open: { readonly first: OpeningTerms | null; readonly second: OpeningTerms | null }
}

const TEMPLATE = 'text with columns in braces, such as "card:{customer_id}"'
const METADATA_KEYS_MAX = 32

/**
 * Reads and checks a mapping file.
 * @throws ConfigurationError naming every wrong key with what was expected and what was found
 */
export async function readMapping(path: string): Promise<CsvMapping> {
  return parseMapping(await readMappingText(path))
}

/** Checks a mapping's JSON text. @throws ConfigurationError as readMapping does */
export function parseMapping(text: string): CsvMapping {
  const checker = new MappingChecker()
  const root = checker.section(mappingJson(text), '')
  const mapping: CsvMapping = {
    source: root.text('source', { expected: '1 to 64 characters', pattern: /^.{1,64}$/u }),
    file: readFileFormat(root.optionalSection('file')),
    id: root.has('id') ? template(root, 'id') : null,
    accounts: readAccounts(root.section('accounts')),
    amount: readAmount(root.section('amount')),
    currency: template(root, 'currency'),
    occurredAt: readTime(root.section('occurredAt')),
    valueTime: root.has('valueTime') ? readTime(root.section('valueTime')) : null,
    fields: readFields(root.optionalSection('fields')),
    metadata: readMetadata(root.optionalSection('metadata')),
    open: readOpen(root.optionalSection('open')),
  }
  checkRelations(root, mapping)
  root.finish()
  checker.finish()
  return mapping
}

const EMPTY_TEMPLATE: Template = { source: '', parts: [{ literal: '' }] }

/** A template that must be there. */
export function template(section: Section, key: string): Template {
  const text = section.text(key, { expected: TEMPLATE, pattern: /^.+$/su })
  if (text === '') return EMPTY_TEMPLATE
  return section.attempt(() => parseTemplate(text, section.pathOf(key))) ?? EMPTY_TEMPLATE
}

/** The section `file`. */
export function readFileFormat(section: Section): CsvFormat {
  const oneCharacter = { expected: 'one character', pattern: /^[^\r\n]$/u }
  const header = section.optionalTexts('header')
  const format: CsvFormat = {
    delimiter: section.text('delimiter', { ...oneCharacter, fallback: ',' }),
    quote: section.text('quote', { expected: 'one character or ""', pattern: /^[^\r\n]?$/u, fallback: '"' }),
    header: header ?? true,
    encoding: section.oneOf('encoding', ['utf-8', 'windows-1252', 'utf-16le'], 'utf-8'),
    skipLines: section.integer('skipLines', { min: 0, max: 10_000, fallback: 0 }),
  }
  section.finish()
  return format
}

function readAccounts(section: Section): AccountsMapping {
  const pair = section.has('from') || section.has('to')
  const accounts: AccountsMapping = pair
    ? { form: 'pair', from: template(section, 'from'), to: template(section, 'to') }
    : {
        form: 'signed',
        account: template(section, 'account'),
        counter: template(section, 'counter'),
        positive: section.oneOf('positive', ['credit', 'debit'], 'credit'),
      }
  section.finish()
  return accounts
}

/** The section `amount`. */
export function readAmount(section: Section): AmountMapping {
  const format: AmountFormat = {
    unit: section.oneOf('unit', ['minor', 'major']),
    decimal: section.oneOf('decimal', ['.', ','], '.'),
    thousands: section.oneOf('thousands', ['', '.', ',', ' ', "'"], ''),
  }
  if (format.thousands === format.decimal) {
    section.complain('thousands', 'another character than decimal', format.thousands)
  }
  const split = section.has('debit') || section.has('credit')
  const amount: AmountMapping = split
    ? { ...format, form: 'split', debit: template(section, 'debit'), credit: template(section, 'credit') }
    : { ...format, form: 'single', value: template(section, 'value') }
  section.finish()
  return amount
}

/** A time's section. */
export function readTime(section: Section): TimeMapping {
  const time: TimeMapping = {
    value: template(section, 'value'),
    format: section.text('format', {
      expected: 'epoch_s, epoch_ms, iso or a pattern such as dd.mm.yyyy',
      pattern: /^.{1,32}$/u,
    }),
    zone: section.text('zone', {
      expected: 'UTC, +02:00 or a zone name',
      pattern: /^.{1,64}$/u,
      fallback: 'UTC',
    }),
  }
  if (time.format !== '') section.attempt(() => timeReader(time, section.pathOf('format')))
  section.finish()
  return time
}

function readFields(section: Section): CsvMapping['fields'] {
  const fields: Partial<Record<CopiedField, Template>> = {}
  for (const field of COPIED_FIELDS) {
    if (section.has(field)) fields[field] = template(section, field)
  }
  section.finish()
  return fields
}

function readMetadata(section: Section): CsvMapping['metadata'] {
  const keys = section.keys()
  if (keys.length > METADATA_KEYS_MAX) {
    section.complain('', `at most ${METADATA_KEYS_MAX} keys`, `${keys.length}`)
  }
  return Object.fromEntries(keys.map((key) => [key, template(section, key)]))
}

/** Keys of `open` by the form of `accounts`: the debit side or the line's own account first. */
const OPEN_KEYS = { pair: ['from', 'to'], signed: ['account', 'counter'] } as const

function readOpen(section: Section): CsvMapping['open'] {
  const of = (keys: readonly string[]): OpeningTerms | null => {
    const key = keys.find((candidate) => section.has(candidate))
    return key === undefined ? null : readTerms(section.section(key))
  }
  const open = {
    first: of([OPEN_KEYS.pair[0], OPEN_KEYS.signed[0]]),
    second: of([OPEN_KEYS.pair[1], OPEN_KEYS.signed[1]]),
  }
  section.finish()
  return open
}

function readTerms(section: Section): OpeningTerms {
  const limited = section.boolean('limited', true)
  const terms: OpeningTerms = {
    accountClass: section.oneOf('accountClass', ACCOUNT_CLASSES, 'customer'),
    normalSide: section.oneOf('normalSide', ['debit', 'credit'], 'credit'),
    limited,
    overdraftLimit: BigInt(
      section.integer('overdraftLimit', { min: 0, max: Number.MAX_SAFE_INTEGER, fallback: 0 }),
    ),
    reversalMayOverdraw: section.boolean('reversalMayOverdraw', false),
  }
  if (!limited && terms.overdraftLimit > 0n) {
    section.complain('overdraftLimit', 'none where limited is false', `${terms.overdraftLimit}`)
  }
  section.finish()
  return terms
}

function checkRelations(root: Section, mapping: CsvMapping): void {
  const { form } = mapping.accounts
  if (mapping.amount.form === 'split' && form === 'pair') {
    root.complain(
      'amount.debit',
      'accounts.account and accounts.counter with debit and credit columns',
      'accounts.from',
    )
  }
  const open = root.optionalSection('open')
  const [first, second] = OPEN_KEYS[form]
  for (const key of open.keys()) {
    if (key !== first && key !== second) {
      root.complain(`open.${key}`, `${first} or ${second}, as in accounts`, key)
    }
  }
}
