/** Batches under way to Postgres, oldest first. Each was decided on the one before, so one that fails takes the later ones with it. */
import type { BatchResult, SentBatch } from '../apply/batch.ts'
import type { DecodedChunk } from './selection.ts'

export interface Flight {
  readonly sent: SentBatch
  /** What it took from the backlog. */
  readonly taken: readonly DecodedChunk[]
  /** Of the partitions that were held when it was sent. */
  readonly generation: number
}

export type Landing =
  | { readonly flight: Flight; readonly result: BatchResult }
  | { readonly lost: readonly Flight[]; readonly error: unknown }

export class Flights {
  private flights: Flight[] = []

  get count(): number {
    return this.flights.length
  }

  add(flight: Flight): void {
    this.flights.push(flight)
  }

  /** Waits for the oldest one and takes it out; where it failed, all. Never throws. @returns null where none is under way */
  async land(): Promise<Landing | null> {
    const flight = this.flights[0]
    if (flight === undefined) return null
    try {
      const result = await flight.sent.committed
      this.flights.shift()
      return { flight, result }
    } catch (error) {
      await this.settled()
      return { lost: this.flights.splice(0), error }
    }
  }

  /** Settles when none of them is open any more, however they ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.flights.map(({ sent }) => sent.committed))
  }
}
