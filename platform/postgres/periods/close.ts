/**
 * Closes complete periods, oldest first: closing = closing before + entries of the period, held against the balances that the
 * entries state. What a complete period holds changes no more, so it is computed in slices, each in a short transaction of its
 * own that takes no lock the engine waits for; the row in `periods` makes all of them count at once.
 */
import type pg from 'pg'
import { type ClosingHead, unbalanced } from '#domain/ledger/closing.ts'
import { monthAfter, monthOf, monthStartMs } from '#domain/time/months.ts'
import { OperatingError } from '#platform/errors.ts'
import { asOperatingError } from '../postgres-errors.ts'
import { inTransactionOn } from '../transaction.ts'
import { closeAccounts, closeCards, type Slice } from './close-slice.ts'
import { digestClosing } from './closing-rows.ts'
import { type ClosedPeriod, firstDayOf, insertPeriod, type Queryable, readPeriods } from './period-rows.ts'

export interface CloseOptions {
  readonly actor: string
  readonly signal?: AbortSignal
  /** At most so many periods in one go. */
  readonly periodsMax?: number
  /** Told after each slice: accounts looked at so far, and how many there are. */
  readonly onSlice?: (progress: { period: string; accounts: bigint; of: bigint }) => Promise<void> | void
}

/** What speaks against closing a period. */
export interface CloseFinding {
  readonly period: string
  /** `balance`: an account's entries don't lead to the balance that they state. `sum`: a currency doesn't balance. */
  readonly kind: 'balance' | 'sum'
  /** Account id or currency. */
  readonly key: string
  readonly detail: string
}

export interface CloseResult {
  /** In order. */
  readonly closed: readonly ClosedPeriod[]
  /** Of the first period that couldn't be closed; nothing of it is kept. */
  readonly findings: readonly CloseFinding[]
}

const FIRST_PREVIOUS_HASH = Buffer.alloc(32)
const PERIODS_MAX = 1_200
/** Accounts in a slice at first; then as many as take about this long. */
const SLICE_START = 2_000n
const SLICE_MAX = 50_000n
const SLICE_WANTED_MS = 300

const LOCK = `hashtext('tallystream.periods.' || current_schema())`

/**
 * Closes what is complete and not closed yet. Another close or drop under way: nothing is done.
 * @throws OperatingError `periods_busy` where another one is at it; UnreachableError; AbortError of `signal`
 */
export const closePeriods = async (pool: pg.Pool, options: CloseOptions): Promise<CloseResult> =>
  withPeriodsLock(pool, async (client) => {
    const closed: ClosedPeriod[] = []
    for (let count = 0; count < (options.periodsMax ?? PERIODS_MAX); count += 1) {
      const known = await readPeriods(client)
      const period = await nextPeriod(client, known.at(-1))
      if (period === null) break
      const findings = await closePeriod(client, period, known.at(-1), options)
      if (findings.length > 0) {
        await discard(client, period)
        return { closed, findings }
      }
      closed.push((await readPeriods(client)).at(-1)!)
    }
    return { closed, findings: [] }
  })

/**
 * Runs with one connection that alone works on the periods of this ledger.
 * @throws OperatingError `periods_busy`
 */
export const withPeriodsLock = async <Result>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> => {
  const client = await pool.connect().catch((error: unknown) => {
    throw asOperatingError(error)
  })
  let broken = true
  try {
    const { rows } = await client.query(`select pg_try_advisory_lock(${LOCK}) as locked`)
    if (rows[0].locked !== true) {
      broken = false
      throw new OperatingError('periods_busy', 'periods are being closed or dropped by another process', {
        retriable: true,
      })
    }
    const result = await work(client)
    await client.query(`select pg_advisory_unlock(${LOCK})`)
    broken = false
    return result
  } catch (error) {
    if (error instanceof OperatingError || (error as Error).name === 'AbortError') throw error
    throw asOperatingError(error)
  } finally {
    // A connection that failed may still hold the lock or a transaction: it is ended, not given back.
    client.release(broken)
  }
}

/** The month after the last closed one (at first: in which the ledger began to record), where time has passed its end. */
const nextPeriod = async (queryable: Queryable, last: ClosedPeriod | undefined): Promise<string | null> => {
  const { rows } = await queryable.query(
    `select tick_ms::text, (select min(recorded_at) from (
       (select recorded_at from transactions order by sequence, index limit 1) union all
       (select recorded_at from batches order by sequence limit 1)) as first) as began from ledger_head`,
  )
  const [head] = rows as { tick_ms: string; began: Date | null }[]
  if (head === undefined || (last === undefined && head.began === null)) return null
  const period = last === undefined ? monthOf(head.began!.getTime()) : monthAfter(last.period)
  return monthStartMs(period, 1) <= Number(head.tick_ms) ? period : null
}

const closePeriod = async (
  client: pg.PoolClient,
  period: string,
  last: ClosedPeriod | undefined,
  options: CloseOptions,
): Promise<CloseFinding[]> => {
  const bounds = {
    period: firstDayOf(period),
    before: firstDayOf(monthOf(monthStartMs(period, -1))),
    start: new Date(monthStartMs(period)),
    until: new Date(monthStartMs(period, 1)),
  }
  const { rows } = await client.query('select accounts_count::text, cards_count::text from ledger_head')
  const accounts = BigInt(rows[0].accounts_count)
  const differences = await inSlices(client, accounts, options, bounds, async (slice) => {
    const found = await closeAccounts(client, slice)
    if (found.length === 0) await options.onSlice?.({ period, accounts: slice.through, of: accounts })
    return found
  })
  if (differences.length > 0) {
    return differences.map(({ accountId, folded, stated }) => ({
      period,
      kind: 'balance',
      key: accountId,
      detail: `closing before and entries give ${folded}, the last entry states ${stated} (minor units)`,
    }))
  }
  await inSlices(client, BigInt(rows[0].cards_count), options, bounds, async (slice) => {
    await closeCards(client, slice)
    return []
  })
  const head = await headOf(client, period, bounds, last)
  const previousHash = last?.hash ?? FIRST_PREVIOUS_HASH
  const sum = await digestClosing(client, head, previousHash, options.signal)
  const wrong = unbalanced(sum.totals)
  if (wrong.length > 0) {
    return wrong.map((currency) => ({
      period,
      kind: 'sum',
      key: currency,
      detail: 'closing balances do not add up to zero, or debits not to credits',
    }))
  }
  await insertPeriod(client, head, sum, { previousHash, actor: options.actor })
  return []
}

/** What was stored for a period that could not be closed. */
const discard = async (queryable: Queryable, period: string): Promise<void> => {
  for (const table of ['closings', 'card_closings']) {
    await queryable.query(`delete from ${table} where period = $1::date`, [firstDayOf(period)])
  }
}

/** Does the work for numbers 1 to `last`, each slice in a transaction. @returns what the first slice with findings found */
const inSlices = async <Found>(
  client: pg.PoolClient,
  last: bigint,
  options: CloseOptions,
  bounds: Omit<Slice, 'after' | 'through'>,
  work: (slice: Slice) => Promise<readonly Found[]>,
): Promise<readonly Found[]> => {
  let size = SLICE_START
  let after = 0n
  while (after < last) {
    options.signal?.throwIfAborted()
    const through = after + size < last ? after + size : last
    const started = performance.now()
    const found = await inTransactionOn(client, () => work({ ...bounds, after, through }), {
      // Compiling a slice's plan takes longer than running it.
      begin: 'begin; set local jit = off',
      keeps: ({ length }) => length === 0,
    })
    if (found.length > 0) return found
    after = through
    const isSlow = performance.now() - started > SLICE_WANTED_MS
    if (isSlow && size > 100n) size /= 2n
    else if (!isSlow && size < SLICE_MAX) size *= 2n
  }
  return []
}

const headOf = async (
  queryable: Queryable,
  period: string,
  { start, until }: { readonly start: Date; readonly until: Date },
  last: ClosedPeriod | undefined,
): Promise<ClosingHead> => {
  const within = 'where recorded_at >= $1 and recorded_at < $2'
  const edge = (direction: 'asc' | 'desc') => `(select sequence from (
      (select sequence from transactions ${within} order by sequence ${direction} limit 1) union all
      (select sequence from batches ${within} order by sequence ${direction} limit 1)) as edges
    order by sequence ${direction} limit 1)::text`
  const { rows } = await queryable.query(
    `select ${edge('asc')} as first, ${edge('desc')} as last, ledger from ledger_head`,
    [start, until],
  )
  const [row] = rows as { first: string | null; last: string | null; ledger: string }[]
  const chain = await chainAt(queryable, until)
  return {
    ledger: row!.ledger,
    period,
    firstSequence: row!.first === null ? null : BigInt(row!.first),
    lastSequence: row!.last === null ? null : BigInt(row!.last),
    ...(chain ?? {
      chainSequence: last?.chainSequence ?? 0n,
      chainHash: last?.chainHash ?? FIRST_PREVIOUS_HASH,
    }),
  }
}

/** The last batch whose decision time lies before the end; undefined where none of those that are kept does. */
const chainAt = async (
  queryable: Queryable,
  until: Date,
): Promise<Pick<ClosingHead, 'chainSequence' | 'chainHash'> | undefined> => {
  // By the table's name: the bare one is the text that is given out, of which 9 comes after 10.
  const { rows } = await queryable.query(
    'select sequence::text, hash from batches where recorded_at < $1 order by batches.sequence desc limit 1',
    [until],
  )
  const [row] = rows as { sequence: string; hash: Buffer }[]
  return row === undefined ? undefined : { chainSequence: BigInt(row.sequence), chainHash: row.hash }
}
