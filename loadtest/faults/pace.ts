/**
 * How fast to send: exactly so many transactions, spread over all the faults, however long these take. Each slice asks how long the
 * rest of the run may last, by what it has lasted so far, and sends its share of what is left. A fault that lasts longer than that
 * must not find the stream at its end: without records nothing shows that the ledger goes on.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Load } from './load.ts'

/** What a fault and its recovery take, until one was seen. */
const FAULT_MS = 5_000
const SLICE_MS = 50
/** Kept for faults that take their time, and then sent one a slice: for so long, or a tenth of all. */
const RESERVE_MS = 90_000

export interface Stretch {
  readonly faults: number
  /** Faults that are over. */
  faultsDone: number
}

/** Sends until all are sent and no fault is left; resolves when everything is acknowledged. @throws what sending threw */
export const sendAlong = async (load: Load, transactions: number, stretch: Stretch): Promise<void> => {
  const startedAtMs = performance.now()
  const reserve = Math.min(RESERVE_MS / SLICE_MS, transactions / 10)
  while (load.sent < transactions) {
    const faultsLeft = stretch.faults - stretch.faultsDone
    const elapsedMs = performance.now() - startedAtMs
    const faultMs = (elapsedMs + FAULT_MS) / (stretch.faultsDone + 1)
    const leftMs = Math.max(faultsLeft * Math.min(faultMs, 2 * FAULT_MS), SLICE_MS)
    const share = Math.min(1, SLICE_MS / leftMs)
    const free = transactions - load.sent - (faultsLeft === 0 ? 0 : reserve)
    load.send(Math.max(1, Math.floor(free * share)))
    await sleep(SLICE_MS)
  }
  await load.flush()
}
