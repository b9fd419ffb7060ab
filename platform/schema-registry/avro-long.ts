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

/** A zigzag varint: the first four bytes in 32-bit arithmetic, which covers most amounts. */
function readLong(tap: Tap): bigint {
  const { buf } = tap
  let low = 0
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = buf[tap.pos++] ?? 0
    low |= (byte & 0x7f) << shift
    if (byte < 0x80) return BigInt((low >>> 1) ^ -(low & 1))
  }
  let unsigned = BigInt(low)
  for (let shift = 28n; shift < 70n; shift += 7n) {
    const byte = buf[tap.pos++] ?? 0
    unsigned |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) break
  }
  return BigInt.asIntN(64, (unsigned >> 1n) ^ -(unsigned & 1n))
}

function writeLong(tap: Tap, value: unknown): void {
  if (typeof value !== 'bigint' || value < MIN || value > MAX) {
    throw new Error(`expected a bigint of 64 bits, found ${typeof value} ${String(value)}`)
  }
  if (value >= -0x40000000n && value <= 0x3fffffffn) {
    writeVarint(tap, Number(value))
    return
  }
  let unsigned = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
  while (unsigned >= 0x80n) {
    tap.buf[tap.pos++] = Number(unsigned & 0x7fn) | 0x80
    unsigned >>= 7n
  }
  tap.buf[tap.pos++] = Number(unsigned)
}

function writeVarint(tap: Tap, value: number): void {
  let unsigned = ((value << 1) ^ (value >> 31)) >>> 0
  while (unsigned >= 0x80) {
    tap.buf[tap.pos++] = (unsigned & 0x7f) | 0x80
    unsigned >>>= 7
  }
  tap.buf[tap.pos++] = unsigned
}
