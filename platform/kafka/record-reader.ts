/** Reads the records of one batch of Kafka's message format 2, already decompressed; throws where a length points outside of it. */
import type { IngestRecord } from './ingest-record.ts'

/** What a batch's header says of its records, and which of them are wanted. */
export interface RecordReaderOptions {
  topic: string
  partition: number
  baseOffset: bigint
  lastOffset: bigint
  /** Records below are passed over: a broker sends a batch whole. */
  skipBelow: bigint
  /** How many records the batch claims to hold. */
  count: number
  /** The batch's base time, or the broker's time for all of its records where `appendTime`. Ms since 1970. */
  timestampMs: bigint
  appendTime: boolean
  /** Whether keys and values are copied; views on the batch otherwise, which keep it in memory. */
  copies: boolean
}

export class RecordReader {
  readonly #bytes: Buffer
  readonly #options: RecordReaderOptions
  readonly #baseOffset: number
  readonly #skipBelow: number
  readonly #timestampMs: number
  #position = 0
  #left: number
  #nextOffset: number

  constructor(bytes: Buffer, options: RecordReaderOptions) {
    this.#bytes = bytes
    this.#options = options
    this.#baseOffset = Number(options.baseOffset)
    this.#skipBelow = Number(options.skipBelow)
    this.#timestampMs = Number(options.timestampMs)
    this.#left = options.count
    this.#nextOffset = this.#baseOffset
    // The number of decimals above 2^53 isn't reachable: at a million records a second it takes 285 years.
    if (!Number.isSafeInteger(Number(options.lastOffset))) throw new Error('an offset above 2^53')
  }

  /** Whether a record may follow: a batch that claims more than its offsets hold has none behind the last one. */
  get hasNext(): boolean {
    return this.#left > 0 && this.#nextOffset <= this.#options.lastOffset
  }

  /** The least offset that the next record may have. */
  get nextOffset(): bigint {
    return BigInt(this.#nextOffset)
  }

  /** The next record; undefined for one below `skipBelow`. */
  next(): IngestRecord | undefined {
    const start = this.#position
    const end = this.#readEnd()
    this.#position++ // attributes: unused by the format
    const timestampDelta = this.#readVarlong()
    const offset = this.#baseOffset + this.#readVarint()
    if (offset < this.#nextOffset || offset > this.#options.lastOffset) {
      throw new Error('a record is out of order or outside of its batch')
    }
    let record: IngestRecord | undefined
    if (offset < this.#skipBelow) this.#position = end
    else record = this.#readRest(start, end, offset, timestampDelta)
    this.#left--
    this.#nextOffset = offset + 1
    return record
  }

  /** A length and as many bytes, as a view; null for -1. */
  readBytes(): Buffer | null {
    const length = this.#readVarint()
    if (length < 0) return null
    const start = this.#position
    if (start + length > this.#bytes.length) throw new Error('a length points outside of the batch')
    this.#position = start + length
    const view = this.#bytes.subarray(start, start + length)
    return this.#options.copies ? Buffer.from(view) : view
  }

  #readRest(start: number, end: number, offset: number, timestampDelta: number): IngestRecord {
    const { topic, partition, appendTime } = this.#options
    const key = this.readBytes()
    const value = this.readBytes()
    const headers = this.#readHeaders()
    if (this.#position !== end) throw new Error('a record is longer or shorter than it says')
    return {
      topic,
      partition,
      offset: BigInt(offset),
      timestampMs: BigInt(appendTime ? this.#timestampMs : this.#timestampMs + timestampDelta),
      key,
      value,
      headers,
      sizeBytes: end - start,
    }
  }

  #readEnd(): number {
    const length = this.#readVarint()
    const end = this.#position + length
    if (length < 0 || end > this.#bytes.length) throw new Error('a record points outside of the batch')
    return end
  }

  #readHeaders(): Record<string, Buffer> | undefined {
    const count = this.#readVarint()
    if (count === 0) return undefined
    if (count < 0 || count > this.#bytes.length - this.#position)
      throw new Error(`a record claims ${count} headers`)
    // Without a prototype: a header may be called __proto__.
    const headers: Record<string, Buffer> = Object.create(null)
    for (let index = 0; index < count; index++) {
      const name = this.readBytes()
      const value = this.readBytes()
      if (name !== null) headers[name.toString('utf8')] = value ?? Buffer.alloc(0)
    }
    return headers
  }

  /** A zigzag varint of 32 bits. */
  #readVarint(): number {
    const first = this.#bytes[this.#position]
    if (first !== undefined && first < 0x80) {
      this.#position++
      return (first >>> 1) ^ -(first & 1)
    }
    const value = this.#readVarlong()
    if (value > 0x7fffffff || value < -0x80000000) throw new Error('a number is too long')
    return value
  }

  /** A zigzag varint of up to 53 bits: enough for every timestamp and offset that can be. */
  #readVarlong(): number {
    let unsigned = 0
    for (let factor = 1; factor <= 2 ** 49; factor *= 128) {
      const byte = this.#bytes[this.#position++]
      if (byte === undefined) throw new Error('the batch ends within a number')
      unsigned += (byte & 0x7f) * factor
      if (byte < 0x80) {
        if (!Number.isSafeInteger(unsigned)) break
        return unsigned % 2 === 0 ? unsigned / 2 : -(unsigned + 1) / 2
      }
    }
    throw new Error('a number is too long')
  }
}

/** The key of a control batch's first record. */
export function controlKey(bytes: Buffer): Buffer | null {
  const reader = new RecordReader(bytes, {
    topic: '',
    partition: 0,
    baseOffset: 0n,
    lastOffset: 2n ** 31n,
    skipBelow: 0n,
    count: 1,
    timestampMs: 0n,
    appendTime: false,
    copies: false,
  })
  return reader.next()?.key ?? null
}
