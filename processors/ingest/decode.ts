/** From a Kafka record to an input: Avro by its writer's schema, JSON by hand; whatever can't be read becomes a dead letter. */
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import type { DeadLetterReason } from '#domain/transactions/outcomes.ts'
import { OperatingError } from '#platform/errors.ts'
import type { Contracts } from '#platform/schema-registry/contracts.ts'
import { AvroDecoder, type SchemaSource, writerIdOf } from '#platform/schema-registry/serde.ts'
import { type DecodedValue, INGEST_TOPIC_NAMES, type IngestTopicName, inputOf } from './inputs.ts'
import { parseJsonRecord } from './json-record.ts'
import { deadLetter, type RawRecord, stretchLetter, Unreadable } from './unreadable.ts'

export type IngestCodecs = ReadonlyMap<string, AvroDecoder<DecodedValue>>

/** Records beyond this are refused whatever the broker let through, bytes. */
const VALUE_BYTES_MAX = 1024 * 1024

/** A decoder for each ingest topic. */
export const makeIngestCodecs = (
  registry: SchemaSource,
  contracts: { readonly [topic in IngestTopicName]: Pick<Contracts[topic], 'schema'> },
): IngestCodecs =>
  new Map(
    INGEST_TOPIC_NAMES.map((topic) => [
      topic,
      new AvroDecoder<DecodedValue>(registry, contracts[topic].schema),
    ]),
  )

/** Fetches the writers' schemas of some records. @throws OperatingError `registry_unreachable`: wait, nothing is wrong with them */
export const prepareSchemas = async (
  codecs: IngestCodecs,
  topic: string,
  records: readonly Pick<RawRecord, 'value' | 'unreadable'>[],
): Promise<void> => {
  await codecs.get(topic)?.prepare(writersOf(records))
}

/** Whether that needs nothing of the registry. */
export const areSchemasReady = (
  codecs: IngestCodecs,
  topic: string,
  records: readonly Pick<RawRecord, 'value' | 'unreadable'>[],
): boolean => {
  const codec = codecs.get(topic)
  return codec === undefined || [...writersOf(records)].every((id) => codec.isReady(id))
}

const writersOf = (records: readonly Pick<RawRecord, 'value' | 'unreadable'>[]): Set<number> => {
  const ids = new Set<number>()
  for (const { value, unreadable } of records) {
    const id = value === null || unreadable !== undefined ? undefined : writerIdOf(value)
    if (id !== undefined) ids.add(id)
  }
  return ids
}

/** Decodes a record; never throws for what a producer may send. Schemas must have been prepared. */
export const decodeRecord = (record: RawRecord, codecs: IngestCodecs): LedgerInput => {
  if (record.unreadable !== undefined) return stretchLetter(record, record.unreadable)
  try {
    return inputOf(record, decodedValue(record, codecs))
  } catch (error) {
    if (error instanceof Unreadable) return deadLetter(record, error.reason, error.message)
    if (error instanceof OperatingError && AVRO_REASONS.has(error.code)) {
      return deadLetter(record, error.code as DeadLetterReason, error.message)
    }
    throw error
  }
}

const AVRO_REASONS: ReadonlySet<string> = new Set(['avro_invalid', 'schema_unknown', 'schema_incompatible'])

const decodedValue = (record: RawRecord, codecs: IngestCodecs): DecodedValue => {
  const { value } = record
  if (value === null || value.length === 0) throw new Unreadable('empty_record', 'the record has no value')
  if (value.length > VALUE_BYTES_MAX) {
    throw new Unreadable('too_large', `expected at most ${VALUE_BYTES_MAX} bytes, found ${value.length}`)
  }
  const contentType = contentTypeOf(record)
  if (contentType === 'json' || (contentType === null && value[0] !== 0)) {
    return parseJsonRecord(record.topic as IngestTopicName, value)
  }
  if (contentType === 'other') {
    throw new Unreadable('content_type_unknown', 'expected application/json or an Avro content type')
  }
  return codecs.get(record.topic)!.decode(value)
}

const JSON_TYPES: ReadonlySet<string> = new Set([
  'application/json',
  'application/vnd.tallystream.transaction+json',
])
const AVRO_TYPE =
  /^application\/(vnd\.apache\.|x-)?avro([+-]binary)?$|^avro\/binary$|^application\/octet-stream$/

const contentTypeOf = (record: RawRecord): 'json' | 'avro' | 'other' | null => {
  const header = record.headers?.['content-type']
  if (header === undefined) return null
  const type = header.toString('latin1').toLowerCase().split(';')[0]!.trim()
  if (JSON_TYPES.has(type)) return 'json'
  return AVRO_TYPE.test(type) ? 'avro' : 'other'
}
