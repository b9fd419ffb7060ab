/**
 * Drops the rows of old closed periods: transactions, postings and batch records. First the partitions are detached and the
 * period is marked, in one short transaction; from then on its closings stand for it. Only then is anything deleted, which may be
 * cut short and go on another time.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { historyFromMs } from '#domain/ledger/horizons.ts'
import { monthOf, monthStartMs } from '#domain/time/months.ts'
import { OperatingError } from '#platform/errors.ts'
import { inTransactionOn } from '../transaction.ts'
import { withPeriodsLock } from './close.ts'
import { type ClosedPeriod, firstDayOf, readPeriods } from './period-rows.ts'
import { type Reach, readReach } from './read-reach.ts'

export interface DropOptions {
  /** Whole months before the current one that stay, at least one. */
  readonly keepMonths: number
  /** Whether periods may go that are in no archive. */
  readonly withoutArchive: boolean
  readonly actor: string
  /** Only says what would be dropped. */
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
}

/** Why an old period stays. */
export type KeptReason = 'horizon_unset' | 'within_horizon' | 'unpublished' | 'not_archived'

export interface DropResult {
  readonly dropped: readonly string[]
  /** The oldest period that is older than what is to be kept, but must stay for now; those after it stay too. */
  readonly kept: { readonly period: string; readonly reason: KeptReason; readonly detail: string } | null
}

const TABLES = ['transactions', 'postings', 'batches'] as const
/**
 * Detaching locks the whole table for a moment, and behind a lock that waits everybody waits: it gives up soon, lets the engine
 * go on and tries again.
 */
const LOCK_TIMEOUT_MS = 150
const LOCK_TRIES = 40
const DELETE_ROWS = 5_000

/**
 * Drops what may go, oldest first.
 * @throws OperatingError `periods_busy`, `partition_busy` (readers hold a table all the time; retriable); UnreachableError
 */
export const dropPeriods = async (pool: pg.Pool, options: DropOptions): Promise<DropResult> =>
  withPeriodsLock(pool, async (client) => {
    const periods = await readPeriods(client)
    const reach = await readReach(client)
    const dropped: string[] = []
    for (const period of periods) {
      if (period.droppedAt !== null) {
        if (options.dryRun !== true) await deleteRows(client, period.period, options.signal)
        continue
      }
      if (!isOld(period, reach, options)) break
      const kept = reasonToKeep(period, reach, options)
      if (kept !== null) return { dropped, kept: { period: period.period, ...kept } }
      if (options.dryRun !== true) {
        await detach(client, period.period, options)
        await deleteRows(client, period.period, options.signal)
      }
      dropped.push(period.period)
    }
    return { dropped, kept: null }
  })

const isOld = ({ period }: ClosedPeriod, { tickMs }: Reach, { keepMonths }: DropOptions): boolean =>
  monthStartMs(period, 1) <= monthStartMs(monthOf(tickMs), -Math.max(1, keepMonths))

const reasonToKeep = (
  { period, lastSequence }: ClosedPeriod,
  reach: Reach,
  { withoutArchive }: DropOptions,
): { reason: KeptReason; detail: string } | null => {
  const fromMs = historyFromMs(reach.horizons, reach.tickMs)
  if (fromMs === null) {
    return {
      reason: 'horizon_unset',
      detail: 'without a history horizon any transaction may still be reversed',
    }
  }
  if (monthStartMs(period, 1) > fromMs) {
    return {
      reason: 'within_horizon',
      detail: `transactions from ${new Date(fromMs).toISOString()} on may still be reversed`,
    }
  }
  const last = lastSequence ?? 0n
  if (reach.publishedSequence < last) {
    return { reason: 'unpublished', detail: `published up to batch ${reach.publishedSequence} of ${last}` }
  }
  if (!withoutArchive && (reach.archivedThrough ?? -1n) < last) {
    const through =
      reach.archivedThrough === null ? 'nothing is archived' : `archived up to batch ${reach.archivedThrough}`
    return { reason: 'not_archived', detail: `${through}, the period ends with ${last}` }
  }
  return null
}

const partitionOf = (table: string, period: string): string => `${table}_${period.replace('-', '_')}`

const detach = async (
  client: pg.PoolClient,
  period: string,
  { actor, signal }: DropOptions,
): Promise<void> => {
  for (let tries = 1; ; tries += 1) {
    signal?.throwIfAborted()
    try {
      return await inTransactionOn(client, async () => {
        await client.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`)
        // In the order in which the engine takes them.
        for (const table of TABLES) {
          const partition = partitionOf(table, period)
          if (await isPartition(client, partition))
            await client.query(`alter table ${table} detach partition ${partition}`)
        }
        await client.query('update periods set dropped_at = now(), dropped_by = $2 where period = $1', [
          firstDayOf(period),
          actor,
        ])
      })
    } catch (error) {
      if ((error as { code?: unknown }).code !== LOCK_NOT_AVAILABLE) throw error
      if (tries >= LOCK_TRIES) {
        throw new OperatingError(
          'partition_busy',
          `the partitions of ${period} are being read all the time`,
          {
            retriable: true,
            cause: error,
          },
        )
      }
      await sleep(Math.min(50 * tries, 1_000))
    }
  }
}

const LOCK_NOT_AVAILABLE = '55P03'

const isPartition = async (client: pg.PoolClient, name: string): Promise<boolean> => {
  const { rowCount } = await client.query(
    'select 1 from pg_class where oid = to_regclass($1) and relispartition',
    [name],
  )
  return rowCount === 1
}

/** What was detached, and what had landed in the default partitions when there was none of the month. */
const deleteRows = async (
  client: pg.PoolClient,
  period: string,
  signal: AbortSignal | undefined,
): Promise<void> => {
  const until = new Date(monthStartMs(period, 1))
  for (const table of TABLES) {
    const partition = partitionOf(table, period)
    if (!(await isPartition(client, partition))) await client.query(`drop table if exists ${partition}`)
    for (;;) {
      signal?.throwIfAborted()
      const { rowCount } = await client.query(
        `delete from ${table}_default where ctid = any(array(
           select ctid from ${table}_default where recorded_at < $1 limit ${DELETE_ROWS}))`,
        [until],
      )
      if ((rowCount ?? 0) < DELETE_ROWS) break
    }
  }
}
