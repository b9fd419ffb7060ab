/** Lists of numbers that grow without being copied: blocks of typed arrays, a quarter of what arrays of objects would take. */

const BLOCK = 65_536

export class GrowingUint32 {
  private readonly blocks: Uint32Array[] = []
  length = 0

  /** @returns the place of the number */
  push(value: number): number {
    const at = this.length
    if (at % BLOCK === 0) this.blocks.push(new Uint32Array(BLOCK))
    this.blocks[Math.floor(at / BLOCK)]![at % BLOCK] = value
    this.length = at + 1
    return at
  }

  at(place: number): number {
    return this.blocks[Math.floor(place / BLOCK)]![place % BLOCK]!
  }

  set(place: number, value: number): void {
    this.blocks[Math.floor(place / BLOCK)]![place % BLOCK] = value
  }
}

export class GrowingInt64 {
  private readonly blocks: BigInt64Array[] = []
  length = 0

  /** @returns the place of the number */
  push(value: bigint): number {
    const at = this.length
    if (at % BLOCK === 0) this.blocks.push(new BigInt64Array(BLOCK))
    this.blocks[Math.floor(at / BLOCK)]![at % BLOCK] = value
    this.length = at + 1
    return at
  }

  at(place: number): bigint {
    return this.blocks[Math.floor(place / BLOCK)]![place % BLOCK]!
  }
}
