/**
 * Keeps the work on held transactions: events in `review_events`, each noted in the audit log in the same transaction. Under the lock
 * of the log's head row, so that of two who take the same one only one gets it. The ledger's own rows are only read, without a lock.
 */
import type pg from 'pg'
import { type WorkCommand, type WorkEvent, type WorkRefusal, workOn } from '#domain/reviews/review-work.ts'
import type { AuditEntry, AuditLog } from './audit-log.ts'

export interface Work {
  /** Key of the held transaction: 32 hexadecimal digits. */
  readonly key: string
  /** Its source and id, for the audit log. */
  readonly subject: string
  readonly command: WorkCommand
  readonly actor: string
  /** Ms since 1970. */
  readonly atMs: number
}

/** What became of it: who has it now, or why nothing happened. */
export type WorkOutcome = { readonly owner: string | null } | { readonly refusal: WorkRefusal }

const STATE = `select h.sequence, w.owner, (select count(*) from review_events e where e.key = h.key and e.sequence = h.sequence)::int as events
  from holds h left join lateral (select e.owner from review_events e
    where e.key = h.key and e.sequence = h.sequence and e.kind <> 'noted' order by e.event desc limit 1) w on true
  where h.key = $1::uuid and h.kind = 'review' and h.status = 'active'`

const INSERT = `insert into review_events (key, sequence, event, at, actor, kind, owner, note)
  values ($1::uuid, $2, $3, to_timestamp($4::double precision / 1000), $5, $6, $7, $8)`

/** Does it. @throws as AuditLog.append */
export const doReviewWork = (log: Pick<AuditLog, 'appendWith'>, work: Work): Promise<WorkOutcome> =>
  log.appendWith<WorkOutcome>(async (client) => {
    const { rows } = await client.query<{ sequence: string; owner: string | null; events: number }>(STATE, [
      work.key,
    ])
    const [row] = rows
    const state = { isHeld: row !== undefined, owner: row?.owner ?? null, events: row?.events ?? 0 }
    const done = workOn(state, work.command, work.actor)
    if ('refusal' in done) return { entries: [], result: done }
    const { event } = done
    await insert(client, work, { sequence: row!.sequence, number: state.events + 1 }, event)
    const owner = event.kind === 'noted' ? state.owner : event.owner
    return { entries: [entryOf(work, row!.sequence, event)], result: { owner } }
  })

const insert = (
  client: Pick<pg.ClientBase, 'query'>,
  { key, atMs, actor }: Work,
  { sequence, number }: { readonly sequence: string; readonly number: number },
  { kind, owner, note }: WorkEvent,
): Promise<unknown> => client.query(INSERT, [key, sequence, number, atMs, actor, kind, owner, note])

const entryOf = (
  { subject, actor, atMs }: Work,
  sequence: string,
  { kind, owner, note }: WorkEvent,
): AuditEntry => ({
  atMs,
  actor,
  action: `review ${kind}`,
  subject,
  details: {
    sequence: String(sequence),
    ...(owner === null ? {} : { owner }),
    ...(note === null ? {} : { note }),
  },
})
