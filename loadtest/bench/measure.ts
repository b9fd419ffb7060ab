/** What a measure is: one number with a unit, taken once a round on services that all measures of a run share. */
import type { Lab } from './lab.ts'

/** A detail that explains the number: a share, a size, a percentile. */
export type Detail = number | string | null | { readonly [name: string]: Detail }

export interface Measurement {
  readonly value: number
  readonly details?: Readonly<Record<string, Detail>>
}

export interface Measure {
  readonly unit: string
  /** Which way is good. */
  readonly better: 'higher' | 'lower'
  /** Taken in the first round only: it says little about chance, or takes long. */
  readonly once?: boolean
  /** @throws MeasureUnavailable where this machine can't take it */
  run(lab: Lab): Promise<Measurement>
}
