/** From what a person typed, or a file holds, to the JSON record of a transaction. */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { parseExactJson } from '#api/exact-json.ts'
import { recordTime, recordTimeOf } from '#api/request.ts'
import { amountOf, asUsage } from '#cli/options.ts'
import { CLI_SOURCE } from '#cli/transaction-results.ts'
import { containsCardNumber } from '#domain/transactions/card-numbers.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { parseJsonRecord } from '#processors/ingest/json-record.ts'
import { Unreadable } from '#processors/ingest/unreadable.ts'

export interface TransactionOptions {
  actor: string
  file?: string
  id?: string
  source?: string
  kind?: string
  from?: string
  to?: string
  amount?: string
  currency?: string
  posting?: string[]
  parent?: string
  parentSource?: string
  card?: string
  merchant?: string
  terminal?: string
  device?: string
  country?: string
  endToEndId?: string
  uetr?: string
  occurredAt?: string
  valueTime?: string
  expires?: string
  metadata?: string[]
}

export interface TransactionRecord {
  readonly id: string
  readonly source: string
  /** The first account debited, or else the id: a payer's transactions keep their order. */
  readonly key: string
  /** Without `occurredAt` where nobody gave it, so that the same sent again is a duplicate and not a conflict. */
  readonly record: Readonly<Record<string, unknown>>
}

type Fields = Record<string, unknown>

/** What only says where to look or what to wait for may stand beside `--file`; everything else would contradict the file. */
const BESIDE_FILE = new Set(['actor', 'file', 'id', 'source', 'wait', 'json'])

/**
 * Makes the record, checked as the engine reads it.
 *
 * @throws ConfigurationError with the field and what was expected of it
 */
export async function transactionRecordOf(options: TransactionOptions): Promise<TransactionRecord> {
  const { file } = options
  const given = file === undefined ? fieldsOf(options) : await fieldsOfFile(file, options)
  const record: Fields = { id: freshId(), source: CLI_SOURCE, actor: options.actor, ...given }
  if (options.id !== undefined) record.id = options.id
  if (options.source !== undefined) record.source = options.source
  const read = readAsEngine(record)
  return { id: read.id, source: read.source, key: read.postings[0]?.debit ?? read.id, record }
}

/** Readable, and never taken for a card number. */
function freshId(): string {
  for (;;) {
    const id = `cli-${randomBytes(8).toString('hex')}`
    if (!containsCardNumber(id)) return id
  }
}

/** The engine's own reader: a misspelt field shows here, and doesn't become a dead letter. */
function readAsEngine(record: Fields): { id: string; source: string; postings: { debit: string }[] } {
  try {
    const bytes = Buffer.from(JSON.stringify(record, withDigits))
    return parseJsonRecord('transactions', bytes) as unknown as ReturnType<typeof readAsEngine>
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    throw new ConfigurationError(`this is no transaction: ${error.message}`, { cause: error })
  }
}

const withDigits = (_name: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString() : value

async function fieldsOfFile(file: string, options: TransactionOptions): Promise<Fields> {
  const beside = Object.entries(options).find(
    ([name, value]) => value !== undefined && !BESIDE_FILE.has(name),
  )
  if (beside !== undefined) {
    throw new ConfigurationError(`expected --file without ${beside[0]}, got both: say it in the file`)
  }
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigurationError(`expected a readable file, got ${file} (${code})`, { cause: error })
  }
  const parsed = asUsage(() => parseExactJson(text))
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Fields
  throw new ConfigurationError(`expected one JSON object in ${file}`)
}

/** Option names as they are on the command line → fields of the record that take the text as it is. */
const PLAIN_FIELDS = {
  kind: 'kind',
  parent: 'parentId',
  parentSource: 'parentSource',
  card: 'card',
  merchant: 'merchant',
  terminal: 'terminal',
  device: 'device',
  country: 'country',
  endToEndId: 'endToEndId',
  uetr: 'uetr',
} as const satisfies Partial<Record<keyof TransactionOptions, string>>

const TIME_FIELDS = {
  '--occurred-at': ['occurredAt', 'occurredAt'],
  '--value-time': ['valueTime', 'valueTime'],
  '--expires': ['expires', 'expiresAt'],
} as const satisfies Record<string, readonly [keyof TransactionOptions, string]>

function fieldsOf(options: TransactionOptions): Fields {
  const fields: Fields = {}
  for (const [option, field] of Object.entries(PLAIN_FIELDS)) {
    const value = options[option as keyof typeof PLAIN_FIELDS]
    if (value !== undefined) fields[field] = value
  }
  for (const [option, [name, field]] of Object.entries(TIME_FIELDS)) {
    const value = options[name]
    if (value !== undefined) fields[field] = recordTime(asUsage(() => recordTimeOf(value, option), value))
  }
  if (options.metadata !== undefined) fields.metadata = Object.fromEntries(options.metadata.map(pairOf))
  const postings = postingsOf(options)
  if (postings.length > 0) fields.postings = postings
  return fields
}

function pairOf(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)]
  throw new ConfigurationError(`expected --metadata as key=value, got ${JSON.stringify(text)}`)
}

/** None for void, and for capture and reversal of all that remains. */
function postingsOf(options: TransactionOptions): Fields[] {
  const { from, to, amount, currency, posting = [] } = options
  const flat = [from, to, amount, currency]
  const missing = flat.filter((value) => value === undefined).length
  if (missing > 0 && missing < flat.length) {
    throw new ConfigurationError('expected --from, --to, --amount and --currency together, got only some')
  }
  const isEmpty = missing === flat.length && posting.length === 0
  const { kind = 'post' } = options
  if (isEmpty && !['capture', 'void', 'reverse'].includes(kind)) {
    throw new ConfigurationError(
      `expected --from, --to, --amount and --currency, or --posting, with kind ${kind}`,
    )
  }
  const listed = posting.map((text) => text.split(','))
  const flatPart = missing === 0 ? [postingOf(flat as string[], '--amount')] : []
  return [...flatPart, ...listed.map((parts) => postingOf(parts, 'the amount of --posting'))]
}

function postingOf(parts: readonly string[], name: string): Fields {
  const [debit, credit, amount, currency] = parts
  if (parts.length !== 4 || debit === undefined || credit === undefined) {
    throw new ConfigurationError(
      `expected --posting as from,to,amount,currency, got ${JSON.stringify(parts.join(','))}`,
    )
  }
  return { debit, credit, amount: amountOf(amount!, currency!, name), currency }
}
