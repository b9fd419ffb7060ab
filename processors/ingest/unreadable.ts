/** Why a record can't be read, and the dead letter that keeps what may be kept of it. */
import { hash } from 'node:crypto'
import type { InputPosition, UnreadableInput } from '#domain/ledger/inputs.ts'
import { maskCardNumbers, maskCardNumbersInBytes } from '#domain/transactions/card-numbers.ts'
import type { DeadLetterReason } from '#domain/transactions/outcomes.ts'
import type { UnreadableStretch } from '#platform/kafka/ingest-record.ts'
import { BATCH_HEADER_BYTES } from '#platform/kafka/record-batches.ts'
import { traceHeaderOf } from '#platform/observability/trace.ts'

/** One record as it came, topic without the ledger's prefix. */
export interface RawRecord extends InputPosition {
  /** Kafka's time of the record, ms since 1970. */
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Record<string, Buffer> | undefined
  /** Set where it stands for a batch of records that nobody can read; `value` is that batch. */
  readonly unreadable?: UnreadableStretch | undefined
}

/** Thrown while a record is read; the message says what was expected and where, never what was found: it could hold card numbers. */
export class Unreadable extends Error {
  readonly reason: DeadLetterReason
  constructor(reason: DeadLetterReason, detail: string) {
    super(detail)
    this.reason = reason
  }
}

/** How much of key and value is kept, bytes. */
const KEPT_BYTES_MAX = 16 * 1024
/** A card number that the cut goes through is masked before it is cut: its digits and separators fit in here. */
const MASK_MARGIN_BYTES = 64
const DETAIL_LENGTH_MAX = 300
const CONTENT_TYPE_LENGTH_MAX = 100

const kept = (bytes: Buffer | null): Buffer | null =>
  bytes === null
    ? null
    : maskCardNumbersInBytes(bytes.subarray(0, KEPT_BYTES_MAX + MASK_MARGIN_BYTES)).subarray(
        0,
        KEPT_BYTES_MAX,
      )

/** A dead letter: bytes with card numbers masked and cut at 16 KiB; length and SHA-256 of the whole. */
export const deadLetter = (record: RawRecord, reason: DeadLetterReason, detail: string): UnreadableInput => {
  const { topic, partition, offset, value } = record
  return {
    type: 'dead',
    topic,
    partition,
    offset,
    trace: traceHeaderOf(record.headers),
    letter: {
      reason,
      detail: maskCardNumbers(storableText(detail)).slice(0, DETAIL_LENGTH_MAX),
      key: kept(record.key),
      value: kept(value),
      valueBytes: value?.length ?? 0,
      valueSha256: hash('sha256', value ?? Buffer.alloc(0), 'buffer'),
      contentType: contentTypeText(record),
    },
  }
}

/**
 * The dead letter of a batch that can't be read. Only its header is kept: what is compressed may hold card numbers that can't be
 * found and masked. Length and hash are of the whole, so that the batch can be proven to be the one in the log or its archive.
 */
export const stretchLetter = (record: RawRecord, stretch: UnreadableStretch): UnreadableInput => {
  const input = deadLetter({ ...record, headers: undefined }, stretch.code, stretch.detail)
  const value = record.value!.subarray(0, BATCH_HEADER_BYTES)
  return { ...input, letter: { ...input.letter, value, firstOffset: stretch.firstOffset } }
}

const contentTypeText = (record: RawRecord): string | null => {
  const header = record.headers?.['content-type']
  if (header === undefined) return null
  return maskCardNumbers(storableText(header.toString('latin1'))).slice(0, CONTENT_TYPE_LENGTH_MAX)
}

/** Text that Postgres can hold: without NUL and halves of surrogate pairs. */
const storableText = (text: string): string => text.replaceAll('\0', '\u{fffd}').toWellFormed()
