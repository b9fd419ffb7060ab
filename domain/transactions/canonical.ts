/**
 * Hashes by which a transaction is known again: the key of (source, id), and the hash of its content.
 *
 * Canonical encoding, version 1, in this order:
 *   text      = length in bytes as unsigned 32-bit big-endian, then UTF-8; an absent (null) text is length 0xFFFFFFFF alone
 *   number    = signed 64-bit big-endian (amounts in minor units; times in ms since 1970)
 *   maybe     = byte 0 for absent, else byte 1 and the number
 *   key       = text source, text id
 *   content   = byte 1 (this version), text id, source, kind, parentId, parentSource, card, merchant, terminal, device, country,
 *               endToEndId, uetr, actor; maybe valueTime, occurredAt, expiresAt; 32-bit count of postings and for each text debit,
 *               text credit, text currency, number amount; 32-bit count of metadata and for each, by key in UTF-16 code unit order, text key, text value
 * `after` is left out: it says when to decide, not what. The hash is the first 16 bytes of SHA-256 (FIPS 180-4).
 */
import { hash } from 'node:crypto'
import type { TransactionCommand } from './command.ts'

/** Version of the canonical encoding. A new one must keep the old code: stored hashes stay comparable only within a version. */
export const CANONICAL_VERSION = 1

/** Hexadecimal digits of 16 bytes. */
const HASH_DIGITS = 32
const ABSENT = 0xff_ff_ff_ff
const TWO_TO_32 = 4_294_967_296
const SIZE_START = 4_096
const UTF8_BYTES_PER_UNIT_MAX = 3
/** Longer texts are written by the native encoder; below, a loop over ASCII is quicker than the call (0.1 µs). */
const LOOP_LENGTH_MAX = 64

// One buffer for all: encoding is synchronous and the bytes are hashed before anything else can run.
let buffer = Buffer.allocUnsafeSlow(SIZE_START)
let view = new DataView(buffer.buffer)
let position = 0

/** Makes room for `bytes` more. */
const reserve = (bytes: number): void => {
  if (position + bytes <= buffer.length) return
  const larger = Buffer.allocUnsafeSlow(Math.max(buffer.length * 2, position + bytes))
  buffer.copy(larger, 0, 0, position)
  buffer = larger
  view = new DataView(buffer.buffer)
}

const writeText = (text: string): void => {
  const length = text.length
  reserve(4 + length * UTF8_BYTES_PER_UNIT_MAX)
  const start = position + 4
  if (length <= LOOP_LENGTH_MAX) {
    let index = 0
    for (; index < length; index++) {
      const code = text.charCodeAt(index)
      if (code > 127) break
      buffer[start + index] = code
    }
    if (index === length) {
      view.setUint32(position, length)
      position = start + length
      return
    }
  }
  const bytes = buffer.write(text, start, 'utf8')
  view.setUint32(position, bytes)
  position = start + bytes
}

const writeMaybeText = (text: string | null): void => {
  if (text !== null) {
    writeText(text)
    return
  }
  writeCount(ABSENT)
}

const writeCount = (count: number): void => {
  reserve(4)
  view.setUint32(position, count)
  position += 4
}

const writeByte = (byte: number): void => {
  reserve(1)
  buffer[position] = byte
  position += 1
}

/** A whole number below 2^53 either way as a signed 64-bit integer. */
const writeNumber = (value: number): void => {
  if (!Number.isSafeInteger(value)) throw new RangeError(`canonical encoding: ${value} is not a safe integer`)
  reserve(8)
  view.setInt32(position, Math.floor(value / TWO_TO_32))
  view.setUint32(position + 4, value >>> 0)
  position += 8
}

const writeMaybeNumber = (value: number | null): void => {
  if (value === null) {
    writeByte(0)
    return
  }
  writeByte(1)
  writeNumber(value)
}

const writeAmount = (amountMinor: bigint): void => {
  if (BigInt.asIntN(64, amountMinor) !== amountMinor)
    throw new RangeError(`canonical encoding: ${amountMinor} does not fit 64 bits`)
  reserve(8)
  view.setBigInt64(position, amountMinor)
  position += 8
}

const writeMetadata = (metadata: Readonly<Record<string, string>>): void => {
  const keys = Object.keys(metadata)
  writeCount(keys.length)
  if (keys.length > 1) keys.sort()
  for (const key of keys) {
    writeText(key)
    writeText(metadata[key]!)
  }
}

/** Hashes what was written since `position` was set to 0. */
const digest = (): string => {
  const sha256 = hash('sha256', buffer.subarray(0, position), 'hex')
  // Don't keep a giant record's buffer for ever.
  if (buffer.length > SIZE_START * 64) {
    buffer = Buffer.allocUnsafeSlow(SIZE_START)
    view = new DataView(buffer.buffer)
  }
  return sha256.slice(0, HASH_DIGITS)
}

/** The key under which an id is claimed: 32 hex digits over (source, id). */
export const transactionKey = (source: string, id: string): string => {
  position = 0
  writeText(source)
  writeText(id)
  return digest()
}

/**
 * The hash of a transaction's content: 32 hex digits over every field but `after`.
 * @param options.occurredAtGiven false where the record did not state when it occurred and the time of its arrival stands in:
 *   that is left out, so that the same record sent again is a duplicate and not a conflict
 * @throws RangeError where an amount does not fit 64 bits or a time is no safe integer; decoding lets none through
 */
export const contentHash = (
  command: TransactionCommand,
  options: { readonly occurredAtGiven: boolean } = { occurredAtGiven: true },
): string => {
  position = 0
  writeByte(CANONICAL_VERSION)
  writeText(command.id)
  writeText(command.source)
  writeText(command.kind)
  writeMaybeText(command.parentId)
  writeMaybeText(command.parentSource)
  writeMaybeText(command.card)
  writeMaybeText(command.merchant)
  writeMaybeText(command.terminal)
  writeMaybeText(command.device)
  writeMaybeText(command.country)
  writeMaybeText(command.endToEndId)
  writeMaybeText(command.uetr)
  writeText(command.actor)
  writeMaybeNumber(command.valueTime)
  writeMaybeNumber(options.occurredAtGiven ? command.occurredAt : null)
  writeMaybeNumber(command.expiresAt)
  writeCount(command.postings.length)
  for (const posting of command.postings) {
    writeText(posting.debit)
    writeText(posting.credit)
    writeText(posting.currency)
    writeAmount(posting.amount)
  }
  writeMetadata(command.metadata)
  return digest()
}
