/**
 * Decodes what a fetch returned for one partition: Kafka's record batches (message format 2, since Kafka 0.11).
 *
 * Written anew instead of using the client's decoder for four reasons, all about money:
 * 1. aborted transactions are left out by the rules of the Java consumer (the client's own filter lets some through);
 * 2. it says where the fetch ended, also when every record in it was filtered out or compacted away, so that reading
 *    can be proven contiguous;
 * 3. each batch is held against its checksum, and decompression is bounded: a batch that its producer made unreadable becomes one
 *    unreadable record and the partition goes on; bytes that were damaged on their way stop one partition with a code;
 * 4. it is several times faster (no intermediate 64-bit objects, no copies).
 *
 * Messages of the formats 0 and 1 (before Kafka 0.11) have no such batches: fetched-batch.ts. Brokers from Kafka 4 on take none.
 * Format: https://kafka.apache.org/documentation/#recordbatch
 */
import { crc32c } from '@node-rs/crc32'
import { OperatingError } from '#platform/errors.ts'
import { decompress } from './compression.ts'
import type { IngestRecord } from './ingest-record.ts'
import { controlKey, RecordReader } from './record-reader.ts'

/** Length of a batch's header, which says nothing of what its records hold. */
export const BATCH_HEADER_BYTES = 61

/** An entry of the broker's list of aborted transactions, in any order. */
export interface AbortedTransaction {
  producerId: string
  firstOffset: string
}

export interface RecordSetOptions {
  topic: string
  partition: number
  fetchedOffset: bigint
  abortedTransactions: readonly AbortedTransaction[] | null | undefined
  /** Bound on one batch; beyond it, it can't be read. */
  decompressedBytesMax: number
  /** After so many decompressed bytes the rest is left for the next fetch, also within a batch; FETCH_BYTES_MAX where absent. */
  fetchBytesMax?: number
  /** The same by number of records; FETCH_RECORDS_MAX where absent. */
  fetchRecordsMax?: number
}

/**
 * A mebibyte of compressed records can hold a hundred of plain ones, or millions of empty ones: a fetch must not fill the memory.
 * What is left is fetched and decompressed once more, from where this fetch ended.
 */
const FETCH_BYTES_MAX = 8 * 1024 * 1024
const FETCH_RECORDS_MAX = 50_000

export interface RecordSet {
  records: IngestRecord[]
  /** Where the next fetch has to begin: past every complete batch that was seen, delivered or filtered. */
  nextOffset: bigint
  /** Sum of the records' sizes in bytes. */
  bytes: number
  /** Set where the bytes at fetchedOffset aren't what was written, or of a format that isn't known: no progress is possible. */
  failure: OperatingError | undefined
}

const LENGTH_PREFIX_BYTES = 12
const CHECKSUM_POSITION = 17
const CHECKED_FROM = 21
const BASE_TIMESTAMP_POSITION = 27
const MAX_TIMESTAMP_POSITION = 35
const COUNT_POSITION = 57
const CODEC_MAX = 4
const TIMESTAMP_TYPE_FLAG = 0x08
const TRANSACTIONAL_FLAG = 0x10
const CONTROL_FLAG = 0x20
const CONTROL_TYPE_ABORT = 0

interface BatchHeader {
  baseOffset: bigint
  lastOffset: bigint
  attributes: number
  producerId: bigint
  /** Position of the batch in the fetched bytes, and of its end. */
  start: number
  end: number
}

/** Keeps which producers are inside an aborted transaction while batches are walked in offset order. */
export class AbortedTransactions {
  readonly #waiting: { producerId: bigint; firstOffset: bigint }[]
  readonly #entered = new Set<bigint>()

  constructor(list: readonly AbortedTransaction[] | null | undefined) {
    // The broker lists them in order of their END; entering has to go by their beginning.
    this.#waiting = (list ?? [])
      .map((entry) => ({ producerId: BigInt(entry.producerId), firstOffset: BigInt(entry.firstOffset) }))
      .sort((a, b) => (a.firstOffset < b.firstOffset ? 1 : a.firstOffset > b.firstOffset ? -1 : 0))
  }

  /** True where the batch belongs to an aborted transaction. To be called once for each data batch, in order. */
  hides(header: { lastOffset: bigint; producerId: bigint; attributes: number }): boolean {
    this.#enterUpTo(header.lastOffset)
    return (header.attributes & TRANSACTIONAL_FLAG) !== 0 && this.#entered.has(header.producerId)
  }

  /** An abort marker ends the producer's aborted transaction. To be called once for each control batch, in order. */
  marker(header: { lastOffset: bigint; producerId: bigint }, isAbort: boolean): void {
    this.#enterUpTo(header.lastOffset)
    if (isAbort) this.#entered.delete(header.producerId)
  }

  #enterUpTo(offset: bigint): void {
    for (let next = this.#waiting.at(-1); next && next.firstOffset <= offset; next = this.#waiting.at(-1)) {
      this.#entered.add(next.producerId)
      this.#waiting.pop()
    }
  }
}

/**
 * Decodes one partition's fetched bytes. An incomplete batch at the end (the fetch's byte limit) is left for the next fetch,
 * and so is everything beyond the bounds on what a fetch may give. Never throws for hostile bytes: see `failure`.
 */
export function decodeRecordSet(data: Buffer, options: RecordSetOptions): RecordSet {
  const result: RecordSet = { records: [], nextOffset: options.fetchedOffset, bytes: 0, failure: undefined }
  const aborted = new AbortedTransactions(options.abortedTransactions)
  const room = {
    bytes: options.fetchBytesMax ?? FETCH_BYTES_MAX,
    records: options.fetchRecordsMax ?? FETCH_RECORDS_MAX,
  }
  for (let position = 0; position + BATCH_HEADER_BYTES <= data.length; ) {
    if (room.bytes <= 0 || room.records <= 0) break
    try {
      const header = readHeader(data, position)
      if (header === undefined) break
      const { nextOffset, records } = decodeBatch(data, header, aborted, options, room)
      for (const record of records) result.records.push(record)
      if (nextOffset > result.nextOffset) result.nextOffset = nextOffset
      if (nextOffset <= header.lastOffset) break
      position = header.end
    } catch (error) {
      if (result.nextOffset === options.fetchedOffset) result.failure = asFailure(error, options)
      break
    }
  }
  for (const record of result.records) result.bytes += record.sizeBytes
  return result
}

function asFailure(error: unknown, { topic, partition, fetchedOffset }: RecordSetOptions): OperatingError {
  const code = error instanceof OperatingError ? error.code : 'batch_undecodable'
  return new OperatingError(code, `${topic}:${partition} at offset ${fetchedOffset}: ${reasonOf(error)}`, {
    cause: error,
  })
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** The header of the batch at a position; undefined where it is cut off by the fetch's byte limit or of an older format. */
function readHeader(data: Buffer, start: number): BatchHeader | undefined {
  const length = data.readInt32BE(start + 8)
  if (length < BATCH_HEADER_BYTES - LENGTH_PREFIX_BYTES)
    throw new Error(`a batch claims a length of ${length}`)
  const end = start + LENGTH_PREFIX_BYTES + length
  const format = data[start + 16]!
  if (format > 2) throw new Error(`a batch is of format ${format}, which is newer than this reader`)
  if (format < 2 && start === 0)
    throw new Error(`a message of format ${format} (before Kafka 0.11) can't be decoded`)
  if (end > data.length || format < 2) return undefined
  if (crc32c(data.subarray(start + CHECKED_FROM, end)) !== data.readUInt32BE(start + CHECKSUM_POSITION)) {
    throw new OperatingError('checksum_mismatch', 'a batch does not match its checksum')
  }
  const baseOffset = data.readBigInt64BE(start)
  const lastOffsetDelta = data.readInt32BE(start + 23)
  if (lastOffsetDelta < 0 || baseOffset < 0n) throw new Error('a batch claims negative offsets')
  const attributes = data.readInt16BE(start + CHECKED_FROM)
  const codec = attributes & 0x07
  // Newer than this reader, as above: its records may be good ones.
  if (codec > CODEC_MAX) throw new Error(`a batch is compressed by codec ${codec}, which is not known here`)
  return {
    baseOffset,
    lastOffset: baseOffset + BigInt(lastOffsetDelta),
    attributes,
    producerId: data.readBigInt64BE(start + 43),
    start,
    end,
  }
}

/** What a batch gave: its visible records, and where to go on; within the batch where the room was used up. */
interface DecodedBatch {
  records: IngestRecord[]
  nextOffset: bigint
}

/** Decodes a batch's visible records, as many as there is room for, and takes the room that they need. */
function decodeBatch(
  data: Buffer,
  header: BatchHeader,
  aborted: AbortedTransactions,
  options: RecordSetOptions,
  room: { bytes: number; records: number },
): DecodedBatch {
  const raw = data.subarray(header.start + BATCH_HEADER_BYTES, header.end)
  const behind = header.lastOffset + 1n
  if ((header.attributes & CONTROL_FLAG) !== 0) {
    aborted.marker(header, isAbortMarker(raw))
    return { records: [], nextOffset: behind }
  }
  if (aborted.hides(header) || header.lastOffset < options.fetchedOffset)
    return { records: [], nextOffset: behind }
  const records: IngestRecord[] = []
  let reader: RecordReader | undefined
  try {
    const bytes = decompress(codecOf(header), raw, options.decompressedBytesMax)
    reader = recordReader(data, bytes, header, options)
    // One record at least, or reading would never get on.
    while (reader.hasNext && (records.length === 0 || (room.bytes > 0 && room.records > 0))) {
      const record = reader.next()
      if (record === undefined) continue
      records.push(record)
      room.bytes -= record.sizeBytes
      room.records -= 1
    }
    return { records, nextOffset: reader.hasNext ? records.at(-1)!.offset + 1n : behind }
  } catch (error) {
    // Its checksum is right, so this is what its producer wrote: reading it again would give the same.
    const firstOffset = reader?.nextOffset ?? header.baseOffset
    records.push(unreadableRecord(data, header, options, firstOffset, error))
    room.bytes = 0
    return { records, nextOffset: behind }
  }
}

function recordReader(
  data: Buffer,
  bytes: Buffer,
  header: BatchHeader,
  options: RecordSetOptions,
): RecordReader {
  const { start } = header
  const appendTime = (header.attributes & TIMESTAMP_TYPE_FLAG) !== 0
  const timestampMs = data.readBigInt64BE(
    start + (appendTime ? MAX_TIMESTAMP_POSITION : BASE_TIMESTAMP_POSITION),
  )
  return new RecordReader(bytes, {
    topic: options.topic,
    partition: options.partition,
    baseOffset: header.baseOffset,
    lastOffset: header.lastOffset,
    skipBelow: options.fetchedOffset,
    count: data.readInt32BE(start + COUNT_POSITION),
    timestampMs,
    appendTime,
    // A few records must not keep all of a huge batch in memory.
    copies: bytes.length > (options.fetchBytesMax ?? FETCH_BYTES_MAX),
  })
}

/** Stands for what can't be read from `firstOffset` to the batch's end. */
function unreadableRecord(
  data: Buffer,
  header: BatchHeader,
  { topic, partition }: RecordSetOptions,
  firstOffset: bigint,
  error: unknown,
): IngestRecord {
  const code =
    error instanceof OperatingError && error.code === 'batch_too_large' ? error.code : 'batch_undecodable'
  const claimed = data.readInt32BE(header.start + COUNT_POSITION)
  const value = data.subarray(header.start, header.end)
  return {
    topic,
    partition,
    offset: header.lastOffset,
    timestampMs: data.readBigInt64BE(header.start + MAX_TIMESTAMP_POSITION),
    key: null,
    value,
    headers: undefined,
    sizeBytes: value.length,
    unreadable: {
      code,
      firstOffset,
      detail: `offsets ${firstOffset} to ${header.lastOffset} of a batch that claims ${claimed} records (codec ${codecOf(header)}): ${reasonOf(error)}`,
    },
  }
}

const codecOf = (header: BatchHeader): number => header.attributes & 0x07

/** A control record's key is its version and type, both int16; a batch without records (compacted) counts as no abort. */
function isAbortMarker(raw: Buffer): boolean {
  if (raw.length === 0) return false
  const key = controlKey(raw)
  return key !== null && key.length >= 4 && key.readInt16BE(2) === CONTROL_TYPE_ABORT
}
