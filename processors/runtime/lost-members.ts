/**
 * Has dead processors replaced at once. A process that was killed takes its database session with it, while the consumer group waits
 * for its session timeout, and a lease for its end: so whoever still lives looks for owners without a session, reports to the group
 * that they leave, and ends their leases. Safe whoever is wrong: a living member that is removed joins again, positions are fenced in
 * Postgres and the publisher in Kafka.
 */
import type { LostMember } from '#platform/postgres/lost-members.ts'
import type { Clock } from '#platform/time/clock.ts'

export interface LostMembersOptions {
  readonly everyMs: number
  /** This process, which is not dead. */
  readonly self: string
  /** Members whose database session is gone. */
  readonly read: () => Promise<readonly LostMember[]>
  /** Has the others go on without one. @returns whether that is done; else it is tried again */
  readonly remove: (member: LostMember) => Promise<boolean>
  readonly clock: Pick<Clock, 'after'>
  readonly onFailure: (error: unknown) => void
}

/** Starts looking. @returns what stops it */
export const watchLostMembers = (options: LostMembersOptions): (() => void) => {
  let last: ReadonlySet<string> = new Set()
  const dealtWith = new Set<string>()
  let cancel = (): void => undefined
  let isStopped = false

  const look = async (): Promise<void> => {
    const lost = (await options.read()).filter(({ holder }) => holder !== options.self)
    const ids = new Set(lost.map(({ memberId }) => memberId))
    for (const id of dealtWith) if (!ids.has(id)) dealtWith.delete(id)
    // Twice in a row: one whose session was only cut notices, leaves by itself and joins anew.
    const sure = lost.filter(({ memberId }) => last.has(memberId) && !dealtWith.has(memberId))
    last = ids
    for (const member of sure) {
      if (await options.remove(member)) dealtWith.add(member.memberId)
    }
  }
  const again = (): void => {
    if (isStopped) return
    cancel = options.clock.after(options.everyMs, () => {
      look()
        .catch((error: unknown) => {
          // What was seen before an outage says nothing after it.
          last = new Set()
          options.onFailure(error)
        })
        .finally(again)
    })
  }
  again()
  return () => {
    isStopped = true
    cancel()
  }
}
