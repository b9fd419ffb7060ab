/** Generated records as bytes: Avro, both JSON forms, and the ways to be unreadable. */

import { formatMinorAmount } from '#domain/money/amount.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import type { TransactionCommand } from '#domain/transactions/command.ts'
import type { GeneratedRecord, Malformation } from './records.ts'

export interface EncodedRecord {
  readonly key: string
  readonly value: Buffer
  readonly headers?: Record<string, string>
}

type EncodeAvro = (command: TransactionCommand) => Buffer

const JSON_TYPE = { 'content-type': 'application/json' }
/** No registry gives out such a high id. */
const UNKNOWN_SCHEMA_ID = 0x7fff_fff0
const NESTING = 64

/** Encodes a record as it is meant to be, readable or not. */
export function encodeRecord(record: GeneratedRecord, encodeAvro: EncodeAvro): EncodedRecord {
  const { key, command, form, malformation } = record
  if (malformation !== null) return { key, ...malformed(malformation, command, encodeAvro) }
  if (form === 'avro') return { key, value: encodeAvro(command) }
  const value = Buffer.from(form === 'flat' ? flatJson(command) : postingsJson(command))
  // Half of the JSON comes without a header, as producers do: what isn't in the registry's wire format is JSON.
  return command.id.length % 2 === 0 ? { key, value } : { key, value, headers: JSON_TYPE }
}

/** Without what is empty: absent and null mean the same. */
const withoutPostings = (command: TransactionCommand): Record<string, unknown> => {
  const { postings: _postings, ...rest } = command
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null))
}

/** JSON in minor units; beyond what a number holds exactly as text. */
const wholeNumber = (amount: bigint): number | string =>
  amount <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(amount) : amount.toString()

function postingsJson(command: TransactionCommand): string {
  const postings = command.postings.map((posting) => ({ ...posting, amount: wholeNumber(posting.amount) }))
  return JSON.stringify({ ...withoutPostings(command), postings })
}

function flatJson(command: TransactionCommand): string {
  const { debit, credit, amount, currency } = command.postings[0]!
  const decimal = formatMinorAmount(amount, currencyByCode(currency)!.exponent)
  return JSON.stringify({
    ...withoutPostings(command),
    from: debit,
    to: credit,
    amount: decimal,
    currency,
  })
}

function malformed(
  malformation: Malformation,
  command: TransactionCommand,
  encodeAvro: EncodeAvro,
): Omit<EncodedRecord, 'key'> {
  switch (malformation) {
    case 'empty_record':
      return { value: Buffer.alloc(0) }
    case 'json_invalid':
      return { value: Buffer.from(postingsJson(command).slice(0, -7)), headers: JSON_TYPE }
    case 'json_too_deep':
      return { value: Buffer.from('['.repeat(NESTING) + ']'.repeat(NESTING)), headers: JSON_TYPE }
    case 'schema_mismatch':
      return { value: Buffer.from(JSON.stringify({ id: command.id, amout: 12 })), headers: JSON_TYPE }
    case 'avro_invalid': {
      const whole = encodeAvro(command)
      return { value: Buffer.from(whole.subarray(0, whole.length >> 1)) }
    }
    case 'schema_unknown': {
      const value = Buffer.from(encodeAvro(command))
      value.writeInt32BE(UNKNOWN_SCHEMA_ID, 1)
      return { value }
    }
    case 'content_type_unknown':
      return { value: encodeAvro(command), headers: { 'content-type': 'text/plain' } }
    case 'encoding_invalid':
      return { value: Buffer.concat([Buffer.from('{"id":"'), Buffer.from([0xff, 0xfe])]), headers: JSON_TYPE }
  }
}
