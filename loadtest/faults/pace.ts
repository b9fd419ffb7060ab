/**
 * How fast to send: exactly so many transactions, spread over all the faults, however long these take. Each slice asks how long the
 * rest of the run may last, by what it has lasted so far, and sends its share of what is left.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Load } from './load.ts'

/** What a fault and its recovery take, until one was seen. */
const FAULT_MS = 5_000
const SLICE_MS = 50

export interface Stretch {
  readonly faults: number
  /** Faults that are over. */
  faultsDone: number
}

/** Sends until all are sent and no fault is left; resolves when everything is acknowledged. @throws what sending threw */
export const sendAlong = async (load: Load, transactions: number, stretch: Stretch): Promise<void> => {
  const startedAtMs = performance.now()
  while (load.sent < transactions) {
    const faultsLeft = stretch.faults - stretch.faultsDone
    const elapsedMs = performance.now() - startedAtMs
    const faultMs = (elapsedMs + FAULT_MS) / (stretch.faultsDone + 1)
    const leftMs = Math.max(faultsLeft * Math.min(faultMs, 2 * FAULT_MS), SLICE_MS)
    const share = Math.min(1, SLICE_MS / leftMs)
    load.send(Math.max(1, Math.floor((transactions - load.sent) * share)))
    await sleep(SLICE_MS)
  }
  await load.flush()
}
