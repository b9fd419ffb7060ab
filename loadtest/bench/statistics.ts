/** Summaries of repeated measurements. A ratio is the median of the ratios within rounds: what disturbs a round disturbs both sides of it. */

export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

/** The middle value; the mean of the two in the middle of an even number. @throws RangeError of none */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('expected at least one value, found none')
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** @throws RangeError of none */
export function spreadOf(values: readonly number[]): Spread {
  return { min: Math.min(...values), median: median(values), max: Math.max(...values) }
}

/**
 * The median of the ratios of two measures, round by round; a round in which one of them is missing doesn't count.
 * @returns null where no round has both
 */
export function pairedRatio(
  numerators: readonly (number | null)[],
  denominators: readonly (number | null)[],
): number | null {
  const ratios: number[] = []
  for (const [round, numerator] of numerators.entries()) {
    const denominator = denominators[round] ?? null
    if (numerator === null || denominator === null || denominator === 0) continue
    ratios.push(numerator / denominator)
  }
  return ratios.length === 0 ? null : median(ratios)
}

/** To so many significant digits: what is behind them is noise, and makes files hard to compare. */
export function significant(value: number, digits = 4): number {
  return Number.isFinite(value) ? Number(value.toPrecision(digits)) : value
}
