/**
 * Seeded pseudo-random numbers: the same seed gives the same run on every machine. Nothing here reads a clock or Math.random.
 * The generator is xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2018), its state
 * filled by splitmix32, so that neighbouring seeds give unrelated runs.
 */

const TWO_TO_32 = 4_294_967_296

const rotateLeft = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits))

export class Random {
  #a: number
  #b: number
  #c: number
  #d: number
  #spareNormal: number | undefined

  /** @param seed any safe integer; its lower and upper 32 bits both count */
  constructor(seed: number) {
    let state = (seed ^ Math.imul(Math.floor(seed / TWO_TO_32), 0x9e3779b9)) | 0
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0
      let mixed = state ^ (state >>> 16)
      mixed = Math.imul(mixed, 0x21f0aaad)
      mixed ^= mixed >>> 15
      mixed = Math.imul(mixed, 0x735a2d97)
      return mixed ^ (mixed >>> 15)
    }
    this.#a = next()
    this.#b = next()
    this.#c = next()
    this.#d = next()
  }

  /** A whole number from 0 to 2^32 - 1. */
  uint32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9)
    const shifted = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= shifted
    this.#d = rotateLeft(this.#d, 11)
    return result >>> 0
  }

  /** From 0 up to but not including 1. */
  unit(): number {
    return this.uint32() / TWO_TO_32
  }

  /** A whole number from `min` to `max`, both included; at most 2^32 values. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.unit() * (max - min + 1))
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.unit() < probability
  }

  pick<T>(items: readonly T[]): T {
    return items[this.integer(0, items.length - 1)]!
  }

  /** Standard normal, by the polar method (Marsaglia and Bray, 1964). */
  normal(): number {
    if (this.#spareNormal !== undefined) {
      const spare = this.#spareNormal
      this.#spareNormal = undefined
      return spare
    }
    for (;;) {
      const x = 2 * this.unit() - 1
      const y = 2 * this.unit() - 1
      const square = x * x + y * y
      if (square === 0 || square >= 1) continue
      const factor = Math.sqrt((-2 * Math.log(square)) / square)
      this.#spareNormal = y * factor
      return x * factor
    }
  }

  /** Shuffles in place (Fisher and Yates). */
  shuffle<T>(items: T[]): T[] {
    for (let last = items.length - 1; last > 0; last -= 1) {
      const other = this.integer(0, last)
      const kept = items[last]!
      items[last] = items[other]!
      items[other] = kept
    }
    return items
  }

  /** Lower-case hexadecimal digits. */
  hex(digits: number): string {
    let text = ''
    while (text.length < digits) text += this.uint32().toString(16).padStart(8, '0')
    return text.slice(0, digits)
  }

  /** A UUID of version 4 (RFC 9562), as ISO 20022 wants UETRs. */
  uuid(): string {
    const hex = this.hex(32)
    const variant = '89ab'[this.integer(0, 3)]
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`
  }
}
