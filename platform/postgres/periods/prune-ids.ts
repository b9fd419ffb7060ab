/**
 * Deletes forgotten ids (domain/ledger/horizons.ts) with the holds, reversals and labels that hang on them. No index says how old an id
 * is: the table is swept from its first block to its last, some blocks at a time, which costs nothing where ids are taken.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { idsFromMs } from '#domain/ledger/horizons.ts'
import { inTransactionOn } from '../transaction.ts'
import { withPeriodsLock } from './close.ts'
import { readReach } from './read-reach.ts'

export interface PruneResult {
  /** Ids deleted now. */
  readonly deleted: number
  /** Whether the sweep came to the end of the table. */
  readonly finished: boolean
}

/** About 25,000 ids: a step takes around a tenth of a second. */
const BLOCKS_AT_ONCE = 256n
const DAY_MS = 86_400_000
/** A claim may wait for a row that is being deleted; a deletion never waits long for a claim. */
const LOCK_TIMEOUT_MS = 100
const LOCK_NOT_AVAILABLE = '55P03'
/** So often a sweep lets a claim go first; then it goes on another time. */
const WAITS_MAX = 50

// What still reserves money stays whole, though by the length of the horizon there is none.
const PRUNE = `with gone as (
    delete from transaction_ids i where ctid >= $1::tid and ctid < $2::tid and recorded_at < $3
      and not exists (select from holds h where h.key = i.key and h.status = 'active')
    returning key),
  gone_holds as (delete from holds using gone where holds.key = gone.key),
  gone_reversals as (delete from reversals using gone where reversals.key = gone.key),
  gone_labels as (delete from fraud_labels using gone where fraud_labels.key = gone.key)
  select count(*)::int as deleted from gone`

/**
 * Goes on with the sweep under way, or begins one where a day's ids or more are forgotten since the last.
 * @throws OperatingError `periods_busy`; UnreachableError; AbortError of `signal`
 */
export const pruneIds = async (
  pool: pg.Pool,
  options: { readonly signal?: AbortSignal; readonly blocksAtOnce?: bigint } = {},
): Promise<PruneResult> =>
  withPeriodsLock(pool, async (client) => {
    let deleted = 0
    for (let waited = 0; waited < WAITS_MAX; ) {
      options.signal?.throwIfAborted()
      const step = await sweepStep(client, options.blocksAtOnce ?? BLOCKS_AT_ONCE)
      if (step === 'locked') {
        waited += 1
        await sleep(LOCK_TIMEOUT_MS)
        continue
      }
      deleted += step.deleted
      if (step.finished) return { deleted, finished: true }
    }
    return { deleted, finished: false }
  })

interface SweepRow {
  taken_before: Date | null
  next_block: string
  swept_before: Date | null
  blocks: string
}

const sweepStep = async (client: pg.PoolClient, blocksAtOnce: bigint): Promise<PruneResult | 'locked'> => {
  const { horizons, tickMs } = await readReach(client)
  const fromMs = idsFromMs(horizons, tickMs)
  const { rows } = await client.query(
    `select taken_before, next_block::text, swept_before,
       (pg_relation_size('transaction_ids') / current_setting('block_size')::bigint)::text as blocks from id_sweep`,
  )
  const sweep = rows[0] as SweepRow
  if (sweep.taken_before === null) {
    if (fromMs === null || fromMs < (sweep.swept_before?.getTime() ?? Number.MIN_SAFE_INTEGER) + DAY_MS) {
      return { deleted: 0, finished: true }
    }
    await client.query('update id_sweep set taken_before = $1, next_block = 0', [new Date(fromMs)])
    return { deleted: 0, finished: false }
  }
  const first = BigInt(sweep.next_block)
  const next = first + blocksAtOnce
  if (first >= BigInt(sweep.blocks)) {
    await client.query('update id_sweep set taken_before = null, next_block = 0, swept_before = taken_before')
    return { deleted: 0, finished: true }
  }
  try {
    return await inTransactionOn(client, async () => {
      await client.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`)
      const pruned = await client.query(PRUNE, [`(${first},0)`, `(${next},0)`, sweep.taken_before])
      await client.query('update id_sweep set next_block = $1', [next])
      return { deleted: pruned.rows[0].deleted, finished: false }
    })
  } catch (error) {
    if ((error as { code?: unknown }).code === LOCK_NOT_AVAILABLE) return 'locked'
    throw error
  }
}
