/**
 * Avro longs as bigint. The library's default reads them as floating point, which is wrong above 2^53; its own extension
 * point allocates twice for each value, so reading and writing are done on its buffer directly.
 */
import avsc from 'avsc'

const MIN = -(2n ** 63n)
const MAX = 2n ** 63n - 1n

/** The library's cursor on a buffer. Reading or writing past the end moves on, and it notices afterwards. */
interface Tap {
  buf: Buffer
  pos: number
}

const base = avsc.types.LongType.__with(
  {
    fromBuffer: () => 0n,
    toBuffer: () => Buffer.alloc(0),
    fromJSON: (value: number | string | bigint) => BigInt(value),
    toJSON: (value: bigint) => (Number.isSafeInteger(Number(value)) ? Number(value) : String(value)),
    isValid: (value: unknown) => typeof value === 'bigint' && value >= MIN && value <= MAX,
    compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
  },
  true,
)

/** The type to register as `long`. The library freezes its types, so the two methods are put in front of it. */
export const bigintLongType: avsc.types.LongType = Object.create(base, {
  _read: { value: readLong },
  _write: { value: writeLong },
})

/** Below it twice a number is still exact as floating point: every time in ms, nearly every amount. */
const EXACT = 2 ** 52
const TWO_TO_28 = 2 ** 28

/** A zigzag varint: 28 bits at a time in plain numbers, which covers times and most amounts; bigint only beyond 2^52. */
function readLong(tap: Tap): bigint {
  const low = readGroup(tap)
  if (!more) return BigInt((low >>> 1) ^ -(low & 1))
  const middle = readGroup(tap)
  if (!more && middle < 2 ** 24) {
    const unsigned = middle * TWO_TO_28 + low
    return BigInt(unsigned % 2 === 0 ? unsigned / 2 : -(unsigned + 1) / 2)
  }
  let unsigned = (BigInt(middle) << 28n) | BigInt(low)
  if (more) unsigned |= BigInt(readGroup(tap)) << 56n
  return BigInt.asIntN(64, (unsigned >> 1n) ^ -(unsigned & 1n))
}

/** Whether the number goes on behind the group that was read last. */
let more = false

/** Up to four bytes of a varint, low first. */
function readGroup(tap: Tap): number {
  const { buf } = tap
  let group = 0
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = buf[tap.pos++] ?? 0
    group |= (byte & 0x7f) << shift
    if (byte < 0x80) {
      more = false
      return group
    }
  }
  more = true
  return group
}

function writeLong(tap: Tap, value: unknown): void {
  if (typeof value !== 'bigint') throw new Error(`expected a bigint, found ${typeof value} ${String(value)}`)
  const number = Number(value)
  if (number > -EXACT && number < EXACT) writeExact(tap, number)
  else writeLarge(tap, value)
}

function writeExact(tap: Tap, value: number): void {
  let unsigned = value >= 0 ? value * 2 : -value * 2 - 1
  if (unsigned >= TWO_TO_28) {
    const high = Math.floor(unsigned / TWO_TO_28)
    const low = unsigned - high * TWO_TO_28
    const { buf } = tap
    buf[tap.pos++] = (low & 0x7f) | 0x80
    buf[tap.pos++] = ((low >>> 7) & 0x7f) | 0x80
    buf[tap.pos++] = ((low >>> 14) & 0x7f) | 0x80
    buf[tap.pos++] = (low >>> 21) | 0x80
    unsigned = high
  }
  while (unsigned >= 0x80) {
    tap.buf[tap.pos++] = (unsigned & 0x7f) | 0x80
    unsigned >>>= 7
  }
  tap.buf[tap.pos++] = unsigned
}

function writeLarge(tap: Tap, value: bigint): void {
  if (value < MIN || value > MAX) throw new Error(`expected a bigint of 64 bits, found ${value}`)
  let unsigned = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
  while (unsigned >= 0x80n) {
    tap.buf[tap.pos++] = Number(unsigned & 0x7fn) | 0x80
    unsigned >>= 7n
  }
  tap.buf[tap.pos++] = Number(unsigned)
}
