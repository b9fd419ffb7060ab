/** How many records the next batch may take: few while they come singly, thousands when behind, within the time allowed. */

export interface BatchSizeBounds {
  readonly recordsMin: number
  readonly recordsMax: number
  /** How long a batch may hold the head, ms. */
  readonly wallMaxMs: number
}

/**
 * Of the first batch. The code of a process that was just started is not compiled yet, and a record costs it ten times what it does
 * later: those who wait for a dead owner's partitions wait for this one.
 */
const FIRST_RECORDS = 250

/** Grows while batches are full and quick, shrinks when they take too long or fail. */
export class BatchSize {
  private readonly bounds: BatchSizeBounds
  private records: number

  constructor(bounds: BatchSizeBounds) {
    this.bounds = bounds
    this.records = Math.min(bounds.recordsMax, Math.max(bounds.recordsMin, FIRST_RECORDS))
  }

  get current(): number {
    return this.records
  }

  /** After a batch. @param wallMs how long it held the head */
  observe(taken: number, wallMs: number): void {
    if (wallMs > this.bounds.wallMaxMs * 0.8) this.shrink()
    else if (taken >= this.records && wallMs < this.bounds.wallMaxMs * 0.5) {
      this.records = Math.min(this.bounds.recordsMax, this.records * 2)
    }
  }

  /** After a batch that timed out or was refused for its size. */
  shrink(): void {
    const { recordsMin, recordsMax } = this.bounds
    // The most is what an operator configures: it may lie below the least.
    this.records = Math.min(recordsMax, Math.max(recordsMin, Math.floor(this.records / 2)))
  }
}
