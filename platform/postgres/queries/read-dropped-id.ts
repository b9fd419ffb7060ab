/** Reads whether an id was taken in a period that was dropped since: then it stays taken, though nobody can say any more by what. */
import { idsFromMs } from '#domain/ledger/horizons.ts'
import { readReach } from '#platform/postgres/periods/read-reach.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { DROPPED } from '#platform/postgres/queries/history-start.ts'

export interface DroppedId {
  /** Hash of the content that took the id: 32 hex digits. */
  readonly content: string
  /** From when on the history is kept. */
  readonly availableFrom: Date
}

const TEXT = `with dropped as (${DROPPED})
  select replace(i.content::text, '-', '') as content, i.recorded_at, dropped.until
  from transaction_ids i join dropped on i.recorded_at < dropped.until where i.key = $1::uuid`

/**
 * @param key As in domain/transactions/canonical.ts. Undefined where the id wasn't taken, what took it is kept, or it is free
 *   again because it lies beyond the horizon of ids (domain/ledger/horizons.ts).
 */
export async function readDroppedId(pool: ReadPool, key: string): Promise<DroppedId | undefined> {
  const [row] = await pool.query<{ content: string; recorded_at: Date; until: Date }>(
    { name: 'read-dropped-id', text: TEXT },
    [key],
  )
  if (row === undefined) return undefined
  const { horizons, tickMs } = await readReach({
    query: async (text) => {
      const rows = await pool.query({ text })
      return { rows, rowCount: rows.length }
    },
  })
  const fromMs = idsFromMs(horizons, tickMs)
  if (fromMs !== null && row.recorded_at.getTime() < fromMs) return undefined
  return { content: row.content, availableFrom: row.until }
}
