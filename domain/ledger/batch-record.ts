/**
 * The batch record: the canonical account of what a batch did, and its place in the chain of hashes.
 *
 * Format 1. `header`: UTF-8 JSON (see BatchHeader). `payload`: frames, one an output message, in ledger order:
 *   1 byte topic code, 2 bytes key length, key (UTF-8), 4 bytes value length, value (registry wire format), all big-endian.
 * hash = SHA-256( previous hash (32 bytes) ‖ header length (4 bytes) ‖ header ‖ payload, uncompressed ).
 */
import { createHash } from 'node:crypto'

export const BATCH_FORMAT = 1

/** Codes of the output topics in frames; format 1. Names are without the ledger's prefix. */
export const FRAME_TOPICS = [
  'transactions.processed',
  'balances',
  'accounts.current',
  'rules.current',
  'fraud.alerts',
  'notifications',
  'transactions.dlq',
] as const
export type FrameTopic = (typeof FRAME_TOPICS)[number]

export interface BatchSource {
  readonly topic: string
  readonly partition: number
  /** First offset read, and the one after the last. */
  readonly from: string
  readonly next: string
  readonly epoch: string
}

export interface BatchHeader {
  readonly format: number
  readonly ledger: string
  readonly cluster: string
  readonly sequence: string
  /** Decision time at the end of the batch, ms since 1970. */
  readonly tick: number
  readonly logic: number
  /** Sequence of the batch that last changed a rule, as in force at the end. */
  readonly rules: string
  readonly canonical: number
  /** Registry ids under which the outputs are encoded, by place in FRAME_TOPICS. */
  readonly schemas: readonly number[]
  readonly sources: readonly BatchSource[]
  /** The serial order: runs of [source, inputs], in the order decided. An input is a record or a skipped stretch. */
  readonly order: readonly (readonly [number, number])[]
  /** Offsets at which a run skips ahead without a record: [source, offset]. */
  readonly skips: readonly (readonly [number, string])[]
  readonly outcomes: Readonly<Record<string, number>>
  /**
   * Positions that were set otherwise than by reading on, since the batch before: a partition first seen (from = null), a command, or
   * a search on another cluster. Absent where there are none.
   */
  readonly jumps?: readonly {
    readonly topic: string
    readonly partition: number
    readonly from: string | null
    readonly to: string
  }[]
}

export interface OutputFrame {
  readonly topic: FrameTopic
  readonly key: Buffer
  readonly value: Buffer
}

/** The hash of a batch. @param previous 32 bytes; @param payload frames, uncompressed. */
export const batchHash = (previous: Buffer, header: Buffer, payload: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(header.length)
  return createHash('sha256').update(previous).update(length).update(header).update(payload).digest()
}

/** Encodes a value at a place of a buffer: the place after it, or a negative number where it doesn't fit. */
export type EncodeAt<T> = (value: T, buffer: Buffer, at: number) => number

const MAX_FRAME_BYTES = 4 * 1024 * 1024

/** Collects a batch's frames in one buffer that grows and is used again for the next batch. */
export class FrameWriter {
  private buffer = Buffer.allocUnsafe(1024 * 1024)
  private at = 0

  /** Empties it; what `frames` returned before is overwritten from now on. */
  clear(): void {
    this.at = 0
  }

  /** Adds one message. @param code its place in FRAME_TOPICS */
  add<T>(code: number, key: string, value: T, encodeAt: EncodeAt<T>): void {
    this.need(7 + key.length * 3 + 256)
    const start = this.at
    this.buffer[start] = code
    const keyBytes = this.buffer.write(key, start + 3, 'utf8')
    this.buffer.writeUInt16BE(keyBytes, start + 1)
    const valueStart = start + 7 + keyBytes
    let end = encodeAt(value, this.buffer, valueStart)
    while (end < 0 || end > this.buffer.length) {
      if (this.buffer.length - valueStart > MAX_FRAME_BYTES * 2) throw new Error('an output is too large')
      this.grow(this.buffer.length * 2)
      end = encodeAt(value, this.buffer, valueStart)
    }
    this.buffer.writeUInt32BE(end - valueStart, start + 3 + keyBytes)
    this.at = end
  }

  /** The frames so far: a view, valid until `clear`. */
  frames(): Buffer {
    return this.buffer.subarray(0, this.at)
  }

  private need(bytes: number): void {
    if (this.at + bytes > this.buffer.length) this.grow((this.at + bytes) * 2)
  }

  private grow(bytes: number): void {
    const larger = Buffer.allocUnsafe(bytes)
    this.buffer.copy(larger, 0, 0, this.at)
    // The frame being written is in front of `at` too: its head stays, its value is written again.
    this.buffer.copy(larger, this.at, this.at, Math.min(this.buffer.length, this.at + 7 + 65_536))
    this.buffer = larger
  }
}

/** Reads frames back; views on the given bytes. @throws Error where they don't follow format 1. */
export const readFrames = (payload: Buffer): OutputFrame[] => {
  const frames: OutputFrame[] = []
  let at = 0
  while (at < payload.length) {
    const topic = FRAME_TOPICS[payload[at]!]
    if (topic === undefined) throw new Error(`frame at ${at} has unknown topic code ${payload[at]}`)
    const keyEnd = at + 3 + payload.readUInt16BE(at + 1)
    const valueEnd = keyEnd + 4 + payload.readUInt32BE(keyEnd)
    if (valueEnd > payload.length) throw new Error(`frame at ${at} ends behind the payload`)
    frames.push({
      topic,
      key: payload.subarray(at + 3, keyEnd),
      value: payload.subarray(keyEnd + 4, valueEnd),
    })
    at = valueEnd
  }
  return frames
}
