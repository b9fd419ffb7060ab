/**
 * The partitions that an incident stopped, and when each is looked at again: what a person has mended goes on by itself, and
 * nothing else does. Looking again never moves a position.
 */
import type { IncidentError } from '#platform/errors.ts'
import type { Clock } from '#platform/time/clock.ts'

/** Why a partition stopped; topic name without the ledger's prefix. */
export interface PartitionIncident {
  readonly topic: string
  readonly partition: number
  /** As in docs/errors.md, Incidents. */
  readonly code: string
  readonly detail: string
}

/** What stopped a partition, as it is told of it. */
export const incidentAt = (
  { topic, partition }: Pick<PartitionIncident, 'topic' | 'partition'>,
  { code, message }: IncidentError,
): PartitionIncident => ({ topic, partition, code, detail: message })

interface Stop {
  incident: PartitionIncident
  attempts: number
  dueAtMs: number
  /** It was looked at again, and nothing was wrong so far. */
  isOnTrial: boolean
}

const LOOK_AGAIN_MS = { first: 1_000, most: 30_000 }

const nameOf = ({ topic, partition }: { topic: string; partition: number }): string => `${topic}:${partition}`

export class StoppedPartitions {
  private readonly clock: Clock
  private readonly stops = new Map<string, Stop>()

  constructor(clock: Clock) {
    this.clock = clock
  }

  get isEmpty(): boolean {
    return this.stops.size === 0
  }

  get isDue(): boolean {
    const now = this.clock.monotonicMs()
    return [...this.stops.values()].some(({ dueAtMs }) => dueAtMs <= now)
  }

  all(): PartitionIncident[] {
    return [...this.stops.values()].map(({ incident }) => incident)
  }

  clear(): void {
    this.stops.clear()
  }

  /** @returns whether it is news, and not the same found again */
  raise(incident: PartitionIncident): boolean {
    const name = nameOf(incident)
    const before = this.stops.get(name)
    const attempts = before === undefined ? 0 : before.attempts + 1
    const pauseMs = Math.min(LOOK_AGAIN_MS.first * 2 ** Math.min(attempts, 10), LOOK_AGAIN_MS.most)
    this.stops.set(name, {
      incident,
      attempts,
      dueAtMs: this.clock.monotonicMs() + pauseMs,
      isOnTrial: false,
    })
    return before?.incident.code !== incident.code || before.incident.detail !== incident.detail
  }

  has({ topic, partition }: { topic: string; partition: number }): boolean {
    return this.stops.has(nameOf({ topic, partition }))
  }

  /** Nothing is wrong with it so far, but it can't be read before it was looked at: at once. */
  postpone(incident: PartitionIncident): void {
    this.stops.set(nameOf(incident), { incident, attempts: -1, dueAtMs: 0, isOnTrial: false })
  }

  /** Those to look at now. One that went through its pause on trial has recovered, and is forgotten. */
  due(): PartitionIncident[] {
    const now = this.clock.monotonicMs()
    const due: PartitionIncident[] = []
    for (const [name, stop] of this.stops) {
      if (stop.dueAtMs > now) continue
      if (stop.isOnTrial) this.stops.delete(name)
      else due.push(stop.incident)
    }
    return due
  }

  /** It is being read again; unless it stops once more before a pause is over, it has recovered. */
  onTrial(incident: PartitionIncident): void {
    const stop = this.stops.get(nameOf(incident))
    if (stop !== undefined) {
      stop.isOnTrial = true
      stop.dueAtMs = this.clock.monotonicMs() + LOOK_AGAIN_MS.first
    }
  }

  /** Records came of it that follow what was applied: it has recovered. @param name 'topic:partition' */
  recovered(name: string): void {
    this.stops.delete(name)
  }
}
