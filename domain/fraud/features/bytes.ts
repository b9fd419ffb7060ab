/** Bytes of feature states: varints (7 bits a byte, low first) of whole numbers up to 2^53 − 1, and bit sets. */

const NUMBER_BYTES_MAX = 8
const START_BYTES = 512

/** Collects whole numbers into bytes. One writer may be used again and again: `finish` copies what was written. */
export class ByteWriter {
  #bytes = Buffer.allocUnsafeSlow(START_BYTES)
  #length = 0

  /** @param value 0 to 2^53 − 1 */
  number(value: number): void {
    this.#reserve(NUMBER_BYTES_MAX)
    if (value < 128) {
      this.#bytes[this.#length++] = value
      return
    }
    let rest = value
    // Bitwise operators are ten times faster, and right below 2^31.
    for (; rest > 0x7fffffff; rest = Math.floor(rest / 128)) this.#bytes[this.#length++] = (rest % 128) | 0x80
    for (; rest > 127; rest >>>= 7) this.#bytes[this.#length++] = (rest & 127) | 0x80
    this.#bytes[this.#length++] = rest
  }

  /** @param value 0 to 255 */
  byte(value: number): void {
    this.#reserve(1)
    this.#bytes[this.#length++] = value
  }

  finish(): Buffer {
    const written = Buffer.from(this.#bytes.subarray(0, this.#length))
    this.#length = 0
    return written
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(this.#bytes.length * 2)
    this.#bytes.copy(larger)
    this.#bytes = larger
  }
}

/** Reads what a ByteWriter wrote. Every method throws an Error where the bytes end too early. */
export class ByteReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  number(): number {
    const bytes = this.#bytes
    const at = this.#at
    // Most are of one to three bytes; where the bytes end too early the loop says so.
    const first = bytes[at]!
    if (first < 128) {
      this.#at = at + 1
      return first
    }
    const second = bytes[at + 1]!
    if (second < 128) {
      this.#at = at + 2
      return (first & 127) | (second << 7)
    }
    const third = bytes[at + 2]!
    if (third < 128) {
      this.#at = at + 3
      return (first & 127) | ((second & 127) << 7) | (third << 14)
    }
    let value = 0
    let factor = 1
    for (let read = 0; read < NUMBER_BYTES_MAX; read++) {
      const byte = this.byte()
      value += (byte & 127) * factor
      if (byte < 128) return value
      factor *= 128
    }
    throw new Error(`feature state: a number of more than ${NUMBER_BYTES_MAX} bytes at ${this.#at}`)
  }

  byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw new Error('feature state: the bytes end too early')
    this.#at += 1
    return byte
  }

  /** @throws Error where bytes are left */
  end(): void {
    if (this.#at !== this.#bytes.length)
      throw new Error(`feature state: ${this.#bytes.length} bytes, read ${this.#at}`)
  }
}
