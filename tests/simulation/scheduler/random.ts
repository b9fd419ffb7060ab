/** A seeded generator of random numbers: every choice of a simulation comes from one of these. */

export interface Random {
  /** 0 ≤ x < 1 */
  next(): number
  /** A whole number, both bounds included. */
  int(min: number, max: number): number
  chance(probability: number): boolean
  pick<T>(list: readonly T[]): T
  /** Mostly near `min`, now and then far above: as delays in networks are. */
  skewed(min: number, max: number): number
}

/** sfc32 (Chris Doty-Humphrey's small fast counting generator), seeded by splitmix32. */
export const makeRandom = (seed: number): Random => {
  let mixed = seed >>> 0
  const mix = (): number => {
    mixed = (mixed + 0x9e3779b9) | 0
    let z = mixed
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return z ^ (z >>> 16)
  }
  let a = mix()
  let b = mix()
  let c = mix()
  let counter = 1
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    c |= 0
    return (sum >>> 0) / 4_294_967_296
  }
  for (let round = 0; round < 12; round += 1) next()
  return {
    next,
    int: (min, max) => min + Math.floor(next() * (max - min + 1)),
    chance: (probability) => next() < probability,
    pick: (list) => list[Math.floor(next() * list.length)]!,
    skewed: (min, max) => {
      const x = next()
      return min + (max - min) * x * x * x * x * x * x
    },
  }
}
