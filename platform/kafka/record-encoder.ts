/**
 * One record of a record batch in its wire form, as a producer sends it.
 *
 * Format: Kafka protocol, "Record" of message format 2 (KIP-98): zig-zag varints of length, timestamp delta and offset delta,
 * then key, value and headers, each with its length (-1 = null). Takes the place of the client's own encoder, which makes a
 * zeroed buffer of 512 bytes for every record and an array and a buffer for every number in it.
 */

export type RecordPart = Buffer | string | null | undefined

export interface RecordToEncode {
  readonly offsetDelta?: number
  /** ms; a whole number below 2^53. */
  readonly timestampDelta?: number
  readonly key?: RecordPart
  readonly value?: RecordPart
  readonly headers?: Readonly<Record<string, RecordPart | readonly RecordPart[]>>
}

/** What the client's batch encoder takes a record as. */
export interface EncodedRecord {
  readonly buf: Buffer
  readonly buffer: Buffer
  size(): number
}

const NULL_LENGTH = -1
const INT32_MAX = 0x7fffffff

/** The record's bytes. Throws nothing for what the types admit. */
export function encodeRecord({
  offsetDelta = 0,
  timestampDelta = 0,
  key,
  value,
  headers,
}: RecordToEncode): EncodedRecord {
  const fields = headers === undefined ? [] : fieldsOf(headers)
  const keyLength = lengthOf(key)
  const valueLength = lengthOf(value)
  let body = 1 + varintSize(timestampDelta) + varintSize(offsetDelta) + varintSize(fields.length)
  body += varintSize(keyLength) + Math.max(keyLength, 0) + varintSize(valueLength) + Math.max(valueLength, 0)
  for (const [name, content] of fields) body += partSize(lengthOf(name)) + partSize(lengthOf(content))
  const bytes = Buffer.allocUnsafe(varintSize(body) + body)
  let at = writeVarint(bytes, 0, body)
  bytes[at++] = 0 // attributes: none are in use
  at = writeVarint(bytes, at, timestampDelta)
  at = writeVarint(bytes, at, offsetDelta)
  at = writePart(bytes, at, key, keyLength)
  at = writePart(bytes, at, value, valueLength)
  at = writeVarint(bytes, at, fields.length)
  for (const [name, content] of fields) {
    at = writePart(bytes, at, name, lengthOf(name))
    at = writePart(bytes, at, content, lengthOf(content))
  }
  return { buf: bytes, buffer: bytes, size: () => bytes.length }
}

/** Headers in order; one name may have several values. */
const fieldsOf = (headers: NonNullable<RecordToEncode['headers']>): (readonly [string, RecordPart])[] =>
  Object.entries(headers).flatMap(([name, content]) =>
    Array.isArray(content)
      ? content.map((one: RecordPart) => [name, one] as const)
      : [[name, content as RecordPart] as const],
  )

const lengthOf = (part: RecordPart): number =>
  part === null || part === undefined
    ? NULL_LENGTH
    : typeof part === 'string'
      ? Buffer.byteLength(part)
      : part.length

const partSize = (length: number): number => varintSize(length) + Math.max(length, 0)

const isInt32 = (value: number): boolean => value <= INT32_MAX && value >= -INT32_MAX - 1

const zigZag = (value: number): number => ((value << 1) ^ (value >> 31)) >>> 0
const zigZag64 = (value: number): bigint =>
  BigInt.asUintN(64, value < 0 ? -2n * BigInt(value) - 1n : 2n * BigInt(value))

/** Bytes of a zig-zag varint. */
const varintSize = (value: number): number => {
  if (!isInt32(value)) return Math.ceil(zigZag64(value).toString(2).length / 7)
  const bits = 32 - Math.clz32(zigZag(value))
  return bits === 0 ? 1 : Math.ceil(bits / 7)
}

const writeVarint = (bytes: Buffer, start: number, value: number): number => {
  let at = start
  if (!isInt32(value)) {
    let rest = zigZag64(value)
    for (; rest > 0x7fn; rest >>= 7n) bytes[at++] = Number(rest & 0x7fn) | 0x80
    bytes[at++] = Number(rest)
    return at
  }
  let rest = zigZag(value)
  for (; rest > 0x7f; rest >>>= 7) bytes[at++] = (rest & 0x7f) | 0x80
  bytes[at++] = rest
  return at
}

const writePart = (bytes: Buffer, start: number, part: RecordPart, length: number): number => {
  const at = writeVarint(bytes, start, length)
  if (part === null || part === undefined) return at
  if (typeof part === 'string') bytes.write(part, at, length, 'utf8')
  else bytes.set(part, at)
  return at + length
}
