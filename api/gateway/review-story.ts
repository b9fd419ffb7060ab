/** All about one held transaction: the hold, why it is held in words, every decision, who worked on it. For the API and the command line. */
import type { DecisionReader } from '#api/gateway/decision-reader.ts'
import { showHeld } from '#api/routes/reviews/reviews.ts'
import { showDecision } from '#api/routes/transactions/show-transaction.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { readHeld } from '#platform/postgres/queries/read-held.ts'
import { readReviewEvents } from '#platform/postgres/queries/read-review-events.ts'
import { readTransaction } from '#platform/postgres/queries/read-transaction.ts'

/** The story; undefined where the transaction is not and was not held. */
export async function readReviewStory(
  { pool, readDecisions, nowMs }: { pool: ReadPool; readDecisions: DecisionReader; nowMs: () => number },
  { id, source }: { readonly id: string; readonly source: string },
) {
  const key = transactionKey(source, id)
  const hold = await readHeld(pool, key)
  const transaction = hold === undefined ? undefined : await readTransaction(pool, key)
  if (hold === undefined || transaction === undefined) return undefined
  const events = await readReviewEvents(pool, key, hold.sequence)
  const owner = events.findLast(({ kind }) => kind !== 'noted')?.owner ?? null
  const notes = events.filter(({ kind }) => kind === 'noted').length
  const places = transaction.decisions.map(({ sequence, index }) => ({ sequence, index, id }))
  const records = await readDecisions(places)
  return {
    ...showHeld({ id, source, ...hold, owner, notes }, nowMs()),
    status: hold.status === 'active' ? 'held' : hold.status,
    decisions: transaction.decisions.map((decision, place) => showDecision(decision, records[place])),
    events: events.map(({ at, ...event }) => ({ at: at.toISOString(), ...event })),
  }
}
