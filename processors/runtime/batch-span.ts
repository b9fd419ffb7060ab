/** A stretch of the serial history: from one batch to another, both among them. */
export interface BatchSpan {
  readonly first: bigint
  readonly last: bigint
}

/** One batch alone. */
export const batchAlone = (sequence: bigint): BatchSpan => ({ first: sequence, last: sequence })
