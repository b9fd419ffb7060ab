/**
 * From a decoded value (Avro, or JSON brought into the same form: longs as bigint, null for what is absent) to an input.
 * Here stands what both must keep: text that can be stored, times that can be stored.
 */
import type { InputPosition, LedgerInput } from '#domain/ledger/inputs.ts'
import { contentHash, transactionKey } from '#domain/transactions/canonical.ts'
import type {
  AccountChange,
  AdministrativeCommand,
  CardChange,
  Label,
  Posting,
  Review,
  RuleChange,
  Tick,
  TransactionCommand,
} from '#domain/transactions/command.ts'
import { TIME_MAX_MS, TIME_MIN_MS } from '#domain/transactions/limits.ts'
import { traceHeaderOf } from '#platform/observability/trace.ts'
import { type RawRecord, Unreadable } from './unreadable.ts'

/** The ingest topics, by their names without the ledger's prefix. */
export const INGEST_TOPIC_NAMES = [
  'transactions',
  'accounts',
  'cards',
  'reviews',
  'fraud.labels',
  'rules',
  'commands',
  'ticks',
] as const
export type IngestTopicName = (typeof INGEST_TOPIC_NAMES)[number]

export type DecodedValue = Record<string, unknown>

/** The input of a decoded record. @throws Unreadable `encoding_invalid` or `schema_mismatch` */
export const inputOf = (record: RawRecord, value: DecodedValue): LedgerInput => {
  const { topic, partition, offset } = record
  const position = { topic, partition, offset, trace: traceHeaderOf(record.headers) }
  const name = topic as IngestTopicName
  switch (name) {
    case 'transactions':
      return transactionOf(record, position, value)
    case 'accounts':
      return { type: 'account', ...position, change: changeOf<AccountChange>(record, value, []) }
    case 'cards':
      return { type: 'card', ...position, change: changeOf<CardChange>(record, value, ['expiresAt']) }
    case 'reviews': {
      const review = changeOf<Review>(record, value, [])
      return { type: 'review', ...position, review, key: transactionKey(review.source, review.transactionId) }
    }
    case 'fraud.labels': {
      const label = changeOf<Label>(record, value, [])
      return { type: 'label', ...position, label, key: transactionKey(label.source, label.transactionId) }
    }
    case 'rules': {
      const change = changeOf<RuleChange>(record, value, [])
      return {
        type: 'rule',
        ...position,
        change: { ...change, windowMs: length(value.windowMs, 'windowMs') },
      }
    }
    case 'commands': {
      const change = changeOf<AdministrativeCommand>(record, value, [])
      return {
        type: 'command',
        ...position,
        command: { ...change, parameters: metadataOf(change.parameters) },
      }
    }
    case 'ticks':
      return { type: 'tick', ...position, tick: tickOf(record, value) }
    default:
      throw new Error(`records of ${name satisfies never} have no meaning here`)
  }
}

/** Records of reference data and reviews: their own fields, the named times as numbers. */
const changeOf = <T>(record: RawRecord, value: DecodedValue, times: readonly string[]): T => {
  const change: DecodedValue = {
    ...value,
    occurredAt: timeOr(value.occurredAt, record.timestampMs, 'occurredAt'),
  }
  for (const name of times) change[name] = maybeTime(value[name], name)
  for (const field of Object.values(change)) if (typeof field === 'string') text(field)
  return change as T
}

/** How far a ticker's clock may be ahead of the broker's, ms. */
const TICK_AHEAD_MAX_MS = 300_000

/**
 * Ends of topics that aren't read here could never be passed: time would stand still. A time beyond the broker's own would be the
 * ledger's for ever, since time never goes back: one wrong clock, and every hold expires. The broker's time is part of the log
 * (docs/decisions/0005-future-by-append-time.md), so a replay refuses the same ticks.
 */
const tickOf = (record: RawRecord, value: DecodedValue): Tick => ({
  time: tickTime(record, time(value.time, 'time')),
  ends: (value.ends as Tick['ends']).filter(({ topic }) =>
    INGEST_TOPIC_NAMES.includes(topic as IngestTopicName),
  ),
  actor: text(value.actor),
})

const tickTime = ({ timestampMs }: RawRecord, timeMs: number): number => {
  if (timeMs <= timestampMs + TICK_AHEAD_MAX_MS) return timeMs
  const detail = `time: expected at most ${TICK_AHEAD_MAX_MS} ms beyond the broker's ${timestampMs}, found ${timeMs}`
  throw new Unreadable('tick_ahead', detail)
}

const transactionOf = (record: RawRecord, position: InputPosition, value: DecodedValue): LedgerInput => {
  const command = commandOf(record, value)
  return {
    type: 'transaction',
    ...position,
    command,
    appendedAtMs: record.timestampMs,
    key: transactionKey(command.source, command.id),
    // The same record sent again without its event time arrives at another time: it is the same all the same.
    content: contentHash(command, { occurredAtGiven: value.occurredAt !== null }),
  }
}

const commandOf = (record: RawRecord, value: DecodedValue): TransactionCommand => ({
  id: text(value.id),
  source: text(value.source),
  kind: value.kind as TransactionCommand['kind'],
  postings: postingsOf(value.postings as readonly Posting[]),
  parentId: maybeText(value.parentId),
  parentSource: maybeText(value.parentSource),
  card: maybeText(value.card),
  merchant: maybeText(value.merchant),
  terminal: maybeText(value.terminal),
  device: maybeText(value.device),
  country: maybeText(value.country),
  endToEndId: maybeText(value.endToEndId),
  uetr: maybeText(value.uetr),
  valueTime: maybeTime(value.valueTime, 'valueTime'),
  occurredAt: timeOr(value.occurredAt, record.timestampMs, 'occurredAt'),
  expiresAt: maybeTime(value.expiresAt, 'expiresAt'),
  actor: text(value.actor),
  metadata: metadataOf(value.metadata as Record<string, string>),
  after: afterOf(value.after as TransactionCommand['after']),
})

const postingsOf = (postings: readonly Posting[]): readonly Posting[] => {
  for (const { debit, credit, currency } of postings) {
    text(debit)
    text(credit)
    text(currency)
  }
  return postings
}

const metadataOf = <T extends Readonly<Record<string, string>>>(metadata: T): T => {
  for (const key in metadata) {
    text(key)
    text(metadata[key])
  }
  return metadata
}

/** It is stored with the command of a hold, so it is held to a place that can be: any other could never be waited for either. */
const afterOf = (after: TransactionCommand['after']): TransactionCommand['after'] => {
  if (after === null || INGEST_TOPIC_NAMES.includes(after.topic as IngestTopicName)) return after
  throw new Unreadable('schema_mismatch', 'after.topic: expected an ingest topic without the prefix')
}

/** Postgres holds no NUL in text, and half a surrogate pair has no UTF-8: neither may reach a batch, which could then never commit. */
const text = (value: unknown): string => {
  const given = value as string
  if (given.includes('\0') || !given.isWellFormed()) {
    throw new Unreadable('encoding_invalid', 'expected text without NUL and halves of surrogate pairs')
  }
  return given
}

const maybeText = (value: unknown): string | null => (value === null ? null : text(value))

const time = (value: unknown, name: string): number => {
  const timeMs = Number(value)
  if (timeMs >= TIME_MIN_MS && timeMs <= TIME_MAX_MS) return timeMs
  throw new Unreadable('schema_mismatch', `${name}: expected a time of the years 1 to 9999, ms since 1970`)
}

/** What is published again as it was understood must not have become another number on its way. */
const length = (value: unknown, name: string): number => {
  const lengthMs = Number(value)
  if (Number.isSafeInteger(lengthMs)) return lengthMs
  throw new Unreadable('schema_mismatch', `${name}: expected a length of less than 2^53 ms`)
}

const maybeTime = (value: unknown, name: string): number | null => (value === null ? null : time(value, name))
const timeOr = (value: unknown, otherwiseMs: number, name: string): number =>
  time(value === null ? otherwiseMs : value, name)
