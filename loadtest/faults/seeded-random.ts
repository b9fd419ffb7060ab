/** Randomness that a seed repeats, so that a run with a surprise can be run again with the same moments and the same records. */

export interface SeededRandom {
  /** At least 0, below 1. */
  fraction(): number
  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number
}

/** A generator by xorshift32: short, and good enough to scatter faults and amounts. */
export const seededRandom = (seed: number): SeededRandom => {
  let state = seed >>> 0 || 0x9e3779b9
  const fraction = (): number => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state / 2 ** 32
  }
  // Small seeds begin with small numbers; some rounds scatter them.
  for (let round = 0; round < 16; round += 1) fraction()
  return { fraction, below: (limit) => Math.floor(fraction() * limit) }
}
