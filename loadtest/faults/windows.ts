/** The named moments as traps: which message of which protocol they stand on, and what happens to it. */
import type { CrashWindow } from './fault-plan.ts'
import { KAFKA_EVENTS } from './proxy/kafka-protocol.ts'
import { POSTGRES_EVENTS } from './proxy/postgres-protocol.ts'
import type { ProxiedConnection, Trap } from './proxy/tcp-proxy.ts'
import type { ProxiedService, Slot } from './slot.ts'

/** Where a window is watched for. */
interface WindowPlace {
  readonly service: ProxiedService
  readonly event: string
}

const PLACES: Readonly<Record<CrashWindow, Readonly<Record<'kill' | 'cut', WindowPlace>>>> = {
  // COMMIT is held back for good: everything is written, nothing is committed.
  'before commit': both({ service: 'postgres', event: POSTGRES_EVENTS.commitSent }),
  // The server's word that it was done is held back.
  'commit sent, reply lost': both({ service: 'postgres', event: POSTGRES_EVENTS.commitDone }),
  // The publisher has read what was committed, and its first request about it is held back.
  'committed, not published': both({ service: 'kafka', event: KAFKA_EVENTS.partitionsSent }),
  // Some of the records are written, or all of them; the end of the transaction never arrives.
  'publishing, transaction half done': {
    kill: { service: 'kafka', event: KAFKA_EVENTS.recordsDone },
    cut: { service: 'kafka', event: KAFKA_EVENTS.endSent },
  },
  'published, reply lost': both({ service: 'kafka', event: KAFKA_EVENTS.endDone }),
}

function both(place: WindowPlace): Record<'kill' | 'cut', WindowPlace> {
  return { kill: place, cut: place }
}

/** What a trap caught. */
export interface Catch {
  readonly slot: Slot
  readonly connection: ProxiedConnection
}

export const placeOfWindow = (window: CrashWindow, by: 'kill' | 'cut'): WindowPlace => PLACES[window][by]

/**
 * Arms a trap on every slot; whichever comes to the moment first is caught, and the others are disarmed.
 * @param spring decides about the message in the very moment; may be called once
 * @returns what was caught; undefined where the moment didn't come in time
 */
export const catchOne = (
  slots: readonly Slot[],
  place: WindowPlace,
  options: { timeoutMs: number; spring: (caught: Catch) => 'forward' | 'swallow' },
): Promise<Catch | undefined> =>
  new Promise((resolve) => {
    const traps = new Map<Slot, Trap>()
    const end = (caught: Catch | undefined) => {
      clearTimeout(timer)
      for (const [slot, trap] of traps) slot.proxies[place.service].disarm(trap)
      resolve(caught)
    }
    const timer = setTimeout(() => end(undefined), options.timeoutMs)
    for (const slot of slots) {
      const trap: Trap = {
        event: place.event,
        spring: (connection) => {
          const caught = { slot, connection }
          const answer = options.spring(caught)
          end(caught)
          return answer
        },
      }
      traps.set(slot, trap)
      slot.proxies[place.service].arm(trap)
    }
  })
