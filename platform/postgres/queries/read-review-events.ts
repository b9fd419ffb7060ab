/** Reads the work on a held transaction: who had it, and the notes, oldest first. */
import type { ReadPool } from '#platform/postgres/pool.ts'

export interface ReviewEvent {
  readonly at: Date
  readonly actor: string
  readonly kind: 'assigned' | 'given_back' | 'noted'
  readonly owner: string | null
  readonly note: string | null
}

/** @param key 32 hexadecimal digits @param sequence of the batch that held it */
export const readReviewEvents = (pool: ReadPool, key: string, sequence: bigint): Promise<ReviewEvent[]> =>
  pool.query<ReviewEvent>(
    {
      name: 'read-review-events',
      text: `select at, actor, kind, owner, note from review_events where key = $1::uuid and sequence = $2 order by event`,
    },
    [key, sequence],
  )
