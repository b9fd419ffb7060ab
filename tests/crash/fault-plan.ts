/** Which faults a run meets, and when: in shares of the stream, so that every one of them comes under load. */
import type { SeededRandom } from './seeded-random.ts'

/** Who is hit: a process that owns partitions, or the one that holds the publisher's lease. */
export type Role = 'processor' | 'publisher'

export type FaultKind =
  /** SIGKILL. */
  | 'kill'
  /** SIGSTOP, and SIGCONT when the others have taken over: it wakes up and believes that nothing has happened. */
  | 'zombie'
  /** SIGTERM: it has to leave by itself, in time. */
  | 'stop'
  /** Every Postgres session of every engine is ended. */
  | 'end-sessions'

export interface PlannedFault {
  readonly kind: FaultKind
  readonly role: Role
  /** When so much of the stream was sent: above 0, below 1. */
  readonly atShare: number
  /** How long until a new process takes the dead one's place, ms. */
  readonly replaceAfterMs: number
}

const REPLACE_WITHIN_MS = 1_000

/**
 * Kills of processor and publisher in turn, and between them two zombies, one stop and one end of all sessions.
 * @param kills SIGKILLs
 */
export const planFaults = (kills: number, random: SeededRandom): PlannedFault[] => {
  const kinds: Pick<PlannedFault, 'kind' | 'role'>[] = Array.from({ length: kills }, (_, place) => ({
    kind: 'kill',
    role: place % 2 === 0 ? 'processor' : 'publisher',
  }))
  const others: Pick<PlannedFault, 'kind' | 'role'>[] = [
    { kind: 'zombie', role: 'publisher' },
    { kind: 'end-sessions', role: 'processor' },
    { kind: 'stop', role: 'processor' },
    { kind: 'zombie', role: 'processor' },
  ]
  for (const other of others) kinds.splice(1 + random.below(kinds.length), 0, other)
  return kinds.map((fault, place) => ({
    ...fault,
    // Within the middle half of its own stretch: scattered, but never two at once.
    atShare: (place + 0.25 + random.fraction() / 2) / kinds.length,
    replaceAfterMs: random.below(REPLACE_WITHIN_MS),
  }))
}
