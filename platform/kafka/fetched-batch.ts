/**
 * What one fetch brought for one partition, in the shape that kafkajs expects of its own Batch class, which this replaces.
 *
 * Unlike the original it knows where the fetch ended by the batch headers: after compaction or filtering the last record's
 * offset says too little, and an empty rest would be fetched again for ever.
 */

import type { OperatingError } from '#platform/errors.ts'
import { DECOMPRESSED_BYTES_MAX_DEFAULT } from './compression.ts'
import type { IngestRecord } from './ingest-record.ts'
import { type AbortedTransaction, decodeRecordSet, type RecordSet } from './record-batches.ts'

/** A message of the formats before Kafka 0.11, as the client's own decoder gives it. */
interface LegacyMessage {
  offset: string
  timestamp?: string
  key: Buffer | null
  value: Buffer | null
}

/** The part of the client's decoded fetch response that concerns one partition. `messages` is a Buffer for format 2. */
export interface FetchedPartition {
  partition: number
  highWatermark: string
  abortedTransactions?: AbortedTransaction[] | null
  messages: Buffer | LegacyMessage[]
}

/** A message as kafkajs hands it to eachMessage and eachBatch. */
export interface ClientMessage {
  offset: string
  timestamp: string
  key: Buffer | null
  value: Buffer | null
  headers: Record<string, Buffer>
  attributes: number
}

export class FetchedBatch {
  readonly topic: string
  readonly partition: number
  readonly highWatermark: string
  /** Decimal string, as the client passes it. */
  readonly fetchedOffset: string
  readonly #recordSet: RecordSet
  #messages: ClientMessage[] | undefined

  constructor(topic: string, fetchedOffset: string, fetched: FetchedPartition) {
    this.topic = topic
    this.partition = fetched.partition
    this.highWatermark = fetched.highWatermark
    this.fetchedOffset = String(fetchedOffset)
    this.#recordSet = Buffer.isBuffer(fetched.messages)
      ? decodeRecordSet(fetched.messages, {
          topic,
          partition: fetched.partition,
          fetchedOffset: BigInt(fetchedOffset),
          abortedTransactions: fetched.abortedTransactions,
          decompressedBytesMax: DECOMPRESSED_BYTES_MAX_DEFAULT,
        })
      : legacyRecordSet(topic, fetched.partition, BigInt(fetchedOffset), fetched.messages)
  }

  /** The visible records. */
  get records(): IngestRecord[] {
    return this.#recordSet.records
  }

  /** Where the next fetch has to begin. Equal to the fetched offset where nothing came. */
  get nextOffset(): bigint {
    return this.#recordSet.nextOffset
  }

  /** Sum of the records' sizes in bytes. */
  get bytes(): number {
    return this.#recordSet.bytes
  }

  /** Set where the bytes at the fetched offset can't be decoded. */
  get failure(): OperatingError | undefined {
    return this.#recordSet.failure
  }

  /** The records in the client's own shape, made on demand. */
  get messages(): ClientMessage[] {
    this.#messages ??= this.#recordSet.records.map((record) => ({
      offset: String(record.offset),
      timestamp: String(record.timestampMs),
      key: record.key,
      value: record.value,
      headers: record.headers ?? {},
      attributes: 0,
    }))
    return this.#messages
  }

  isEmpty(): boolean {
    return this.#recordSet.records.length === 0
  }

  isEmptyDueToFiltering(): boolean {
    return this.isEmpty() && this.nextOffset > BigInt(this.fetchedOffset)
  }

  firstOffset(): string | null {
    const first = this.#recordSet.records[0]
    return first === undefined ? null : String(first.offset)
  }

  /** The last offset that this fetch covers, delivered or filtered. */
  lastOffset(): string {
    return String(this.nextOffset - 1n)
  }

  offsetLag(): string {
    return String(BigInt(this.highWatermark) - this.nextOffset)
  }

  offsetLagLow(): string {
    const first = this.#recordSet.records[0]
    return first === undefined ? '0' : String(BigInt(this.highWatermark) - 1n - first.offset)
  }
}

/**
 * Messages written before Kafka 0.11 (formats 0 and 1) know neither transactions nor headers. Brokers from Kafka 4 on take none
 * from producers, so they come from old logs only; one that the client can't decode stops its partition with `batch_undecodable`.
 */
function legacyRecordSet(
  topic: string,
  partition: number,
  fetchedOffset: bigint,
  messages: LegacyMessage[],
): RecordSet {
  const result: RecordSet = { records: [], nextOffset: fetchedOffset, bytes: 0, failure: undefined }
  for (const message of messages) {
    const offset = BigInt(message.offset)
    if (offset < fetchedOffset) continue
    const sizeBytes = (message.key?.length ?? 0) + (message.value?.length ?? 0) + 34
    result.records.push({
      topic,
      partition,
      offset,
      timestampMs: BigInt(message.timestamp ?? -1),
      key: message.key,
      value: message.value,
      headers: undefined,
      sizeBytes,
    })
    result.bytes += sizeBytes
    if (offset >= result.nextOffset) result.nextOffset = offset + 1n
  }
  return result
}
