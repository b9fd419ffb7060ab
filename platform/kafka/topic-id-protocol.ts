/**
 * Two requests that name a topic by its id, which the client doesn't know: Fetch 13 and Metadata 12 (Kafka 3.1 and later).
 *
 * A name says nothing about which log is read: a topic that was deleted and made anew bears the same one. A fetch by id is refused
 * there, however fast the new topic was filled.
 *
 * Format: Kafka protocol guide, "The Messages: Fetch" and "Metadata", flexible versions (KIP-482, KIP-516): lengths are unsigned
 * varints plus one (0 = null), each structure ends with its tagged fields, which are passed over.
 */
import type { AbortedTransaction } from './record-batches.ts'

export const FETCH_BY_ID = { apiKey: 1, apiVersion: 13, apiName: 'Fetch' } as const
export const METADATA_WITH_IDS = { apiKey: 3, apiVersion: 12, apiName: 'Metadata' } as const

const NO_TAGS = 0
const ID_BYTES = 16

export interface FetchedTopic {
  /** 32 hexadecimal digits. */
  readonly topicId: string
  readonly partitions: readonly PartitionToFetch[]
}

export interface PartitionToFetch {
  readonly partition: number
  /** Decimal. */
  readonly fetchOffset: string
  readonly maxBytes: number
}

export interface FetchRequest {
  readonly replicaId?: number
  /** How long the broker may wait for `minBytes`, ms. */
  readonly maxWaitTime: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly isolationLevel: number
  readonly rackId?: string
  readonly topics: readonly FetchedTopic[]
}

/** A partition's part of the answer; numbers of 64 bits as decimals, as the client has them. */
export interface PartitionAnswer {
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: string
  readonly lastStableOffset: string
  readonly lastStartOffset: string
  readonly abortedTransactions: readonly AbortedTransaction[]
  readonly preferredReadReplica: number
  /** Record batches as they are, a view on the answer. */
  readonly messages: Buffer
}

export interface FetchAnswer {
  readonly throttleTimeMs: number
  readonly errorCode: number
  readonly topics: readonly { readonly topicId: string; readonly partitions: readonly PartitionAnswer[] }[]
}

/** A request for records, outside of a fetch session. Begins with the header's tagged fields, which the client doesn't write. */
export function encodeFetchById(request: FetchRequest): Buffer {
  const writer = new Writer()
  writer.int8(NO_TAGS)
  writer.int32(request.replicaId ?? -1)
  writer.int32(request.maxWaitTime)
  writer.int32(request.minBytes)
  writer.int32(request.maxBytes)
  writer.int8(request.isolationLevel)
  writer.int32(0) // session
  writer.int32(-1) // its epoch: none
  writer.array(request.topics, ({ topicId, partitions }) => {
    writer.bytes(Buffer.from(topicId, 'hex'))
    writer.array(partitions, ({ partition, fetchOffset, maxBytes }) => {
      writer.int32(partition)
      writer.int32(-1) // the leader's epoch: not known
      writer.int64(BigInt(fetchOffset))
      writer.int32(-1) // epoch of what was fetched last: for followers
      writer.int64(-1n) // where the log starts: for followers
      writer.int32(maxBytes)
      writer.int8(NO_TAGS)
    })
    writer.int8(NO_TAGS)
  })
  writer.array([], () => undefined)
  writer.text(request.rackId ?? '')
  writer.int8(NO_TAGS)
  return writer.all()
}

/** @throws RangeError where the answer is shorter than it says */
export function decodeFetchById(bytes: Buffer): FetchAnswer {
  const reader = new Reader(bytes)
  reader.tags()
  const throttleTimeMs = reader.int32()
  const errorCode = reader.int16()
  reader.int32() // session
  const topics = reader.array(() => {
    const topicId = reader.bytes(ID_BYTES).toString('hex')
    const partitions = reader.array(() => {
      const answer = {
        partition: reader.int32(),
        errorCode: reader.int16(),
        highWatermark: String(reader.int64()),
        lastStableOffset: String(reader.int64()),
        lastStartOffset: String(reader.int64()),
        abortedTransactions: reader.array(() => {
          const aborted = { producerId: String(reader.int64()), firstOffset: String(reader.int64()) }
          reader.tags()
          return aborted
        }),
        preferredReadReplica: reader.int32(),
        messages: reader.bytes(Math.max(0, reader.length())),
      }
      reader.tags()
      return answer
    })
    reader.tags()
    return { topicId, partitions }
  })
  reader.tags()
  return { throttleTimeMs, errorCode, topics }
}

/** A request for what the broker knows of topics. Begins with the header's tagged fields. */
export function encodeMetadata(topics: readonly string[]): Buffer {
  const writer = new Writer()
  writer.int8(NO_TAGS)
  writer.array(topics, (topic) => {
    writer.bytes(Buffer.alloc(ID_BYTES))
    writer.text(topic)
    writer.int8(NO_TAGS)
  })
  writer.int8(0) // no topic is made by asking
  writer.int8(0) // permissions aren't asked for
  writer.int8(NO_TAGS)
  return writer.all()
}

/** The ids of topics that are there, by name. @throws RangeError where the answer is shorter than it says */
export function decodeTopicIds(bytes: Buffer): Map<string, string> {
  const reader = new Reader(bytes)
  reader.tags()
  reader.int32() // throttled for
  reader.array(() => {
    reader.int32() // node
    reader.text() // host
    reader.int32() // port
    reader.text() // rack
    reader.tags()
  })
  reader.text() // cluster
  reader.int32() // controller
  const ids = new Map<string, string>()
  reader.array(() => {
    const errorCode = reader.int16()
    const name = reader.text()
    const topicId = reader.bytes(ID_BYTES).toString('hex')
    reader.int8() // whether it is internal
    reader.array(() => passPartition(reader))
    reader.int32() // permissions
    reader.tags()
    if (errorCode === 0 && name !== null) ids.set(name, topicId)
  })
  reader.tags()
  return ids
}

const passPartition = (reader: Reader): void => {
  reader.int16() // error
  reader.int32() // partition
  reader.int32() // leader
  reader.int32() // its epoch
  for (let list = 0; list < 3; list += 1) reader.array(() => reader.int32()) // replicas, in sync, offline
  reader.tags()
}

class Writer {
  readonly #parts: Buffer[] = []

  all(): Buffer {
    return Buffer.concat(this.#parts)
  }

  bytes(value: Buffer): void {
    this.#parts.push(value)
  }

  int8(value: number): void {
    this.#parts.push(Buffer.of(value))
  }

  int32(value: number): void {
    const bytes = Buffer.allocUnsafe(4)
    bytes.writeInt32BE(value)
    this.#parts.push(bytes)
  }

  int64(value: bigint): void {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeBigInt64BE(value)
    this.#parts.push(bytes)
  }

  text(value: string): void {
    const bytes = Buffer.from(value, 'utf8')
    this.#length(bytes.length)
    this.#parts.push(bytes)
  }

  array<T>(values: readonly T[], write: (value: T) => void): void {
    this.#length(values.length)
    for (const value of values) write(value)
  }

  #length(length: number): void {
    let left = length + 1
    while (left >= 0x80) {
      this.int8((left & 0x7f) | 0x80)
      left >>>= 7
    }
    this.int8(left)
  }
}

class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  int8(): number {
    this.#at += 1
    return this.#bytes.readInt8(this.#at - 1)
  }

  int16(): number {
    this.#at += 2
    return this.#bytes.readInt16BE(this.#at - 2)
  }

  int32(): number {
    this.#at += 4
    return this.#bytes.readInt32BE(this.#at - 4)
  }

  int64(): bigint {
    this.#at += 8
    return this.#bytes.readBigInt64BE(this.#at - 8)
  }

  /** A view. */
  bytes(length: number): Buffer {
    const from = this.#at
    if (from + length > this.#bytes.length) throw new RangeError('a length points outside of the answer')
    this.#at += length
    return this.#bytes.subarray(from, this.#at)
  }

  /** -1 = null. */
  length(): number {
    return this.#unsigned() - 1
  }

  text(): string | null {
    const length = this.length()
    return length < 0 ? null : this.bytes(length).toString('utf8')
  }

  array<T>(read: () => T): T[] {
    const length = this.length()
    // Each element takes a byte at least.
    if (length > this.#bytes.length - this.#at) throw new RangeError('a list is longer than the answer')
    return Array.from({ length: Math.max(0, length) }, read)
  }

  tags(): void {
    for (let left = this.#unsigned(); left > 0; left -= 1) {
      this.#unsigned()
      this.bytes(this.#unsigned())
    }
  }

  #unsigned(): number {
    let value = 0
    for (let shift = 0; shift <= 28; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#at)
      this.#at += 1
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw new RangeError('a length is too long')
  }
}
