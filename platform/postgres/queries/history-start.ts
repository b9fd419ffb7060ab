/** Where the kept history begins, once periods were dropped: what lies before it is in their closings alone. */
import { OperatingError } from '#platform/errors.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'

/** What was asked for was dropped with its period, and the closings don't say it exactly. */
export class PeriodDroppedError extends OperatingError {
  /** From when on the history is kept. */
  readonly availableFrom: Date

  constructor(what: string, availableFrom: Date) {
    super('period_dropped', `${what}: kept is what was recorded from ${availableFrom.toISOString()} on`)
    this.name = 'PeriodDroppedError'
    this.availableFrom = availableFrom
  }
}

/**
 * The last dropped period and when it ended; no row where none was. What is left of it in a table is on its way out and must not
 * count: reads that fold take what was recorded from `until` on, and the closing of `period` for the rest.
 */
export const DROPPED = `select period, (period + interval '1 month') at time zone 'UTC' as until, last_sequence
  from periods where dropped_at is not null order by period desc limit 1`

export interface HistoryStart {
  readonly from: Date
  /** Of the last batch that recorded in a dropped period; null = nothing was recorded in the last one. */
  readonly lastDroppedSequence: bigint | null
}

/** Undefined where everything is kept. */
export async function readHistoryStart(pool: ReadPool): Promise<HistoryStart | undefined> {
  const [row] = await pool.query<{ until: Date; last_sequence: bigint | null }>({
    name: 'read-history-start',
    text: DROPPED,
  })
  return row === undefined ? undefined : { from: row.until, lastDroppedSequence: row.last_sequence }
}

/**
 * Raises where a page is asked for that lies before the kept history, or a stretch of time that reaches into what is gone.
 * @throws PeriodDroppedError
 */
export async function expectKept(
  pool: ReadPool,
  asked: { sequence?: bigint | undefined; from?: Date | undefined; to?: Date | undefined },
): Promise<void> {
  const start = await readHistoryStart(pool)
  if (start === undefined) return
  const isGone =
    (asked.sequence !== undefined && asked.sequence < (start.lastDroppedSequence ?? 0n)) ||
    (asked.from !== undefined && asked.from < start.from) ||
    (asked.to !== undefined && asked.to <= start.from)
  if (isGone) throw new PeriodDroppedError('what was asked for reaches into a dropped period', start.from)
}

export interface DroppedHistory {
  /** What was recorded before it is gone, or on its way out. */
  readonly until: Date
  /** The last batch that is gone, and its hash: the first kept one continues it. */
  readonly sequence: bigint
  readonly hash: Buffer
}

/** What was dropped with its periods; undefined where nothing was. */
export async function readDroppedHistory(pool: ReadPool): Promise<DroppedHistory | undefined> {
  const rows = await pool.query<DroppedHistory>({
    text: `select (period + interval '1 month') at time zone 'UTC' as until, chain_sequence as sequence, chain_hash as hash
      from periods where dropped_at is not null order by period desc limit 1`,
  })
  return rows[0]
}
