/**
 * Throughput: preloaded transfers on 8 partitions → applied, published, in Redis; beside TPC-B on the same Postgres. The
 * transfers are the generator's plain mix, so that what came of them can be checked: a wrong result is no rate.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { waitUntilApplied } from '#connectors/ingest/applied.ts'
import type { IngestPublisher } from '#connectors/ingest/publisher.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { OperatingError } from '#platform/errors.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { readAppliedOffsets } from '#platform/postgres/queries/read-applied-offsets.ts'
import { requireProgress } from '#platform/postgres/queries/read-progress.ts'
import { checkExpectation } from '../generator/expectation.ts'
import { publishReference, publishTransactions } from '../generator/publish-run.ts'
import { planRun } from '../generator/run-plan.ts'
import { measureTpcb } from './tpcb.ts'

export interface ThroughputOptions {
  readonly configuration: Configuration
  readonly pool: ReadPool
  readonly publisher: IngestPublisher
  readonly transfers: number
  readonly accounts: number
  /** Seconds of TPC-B before and after. */
  readonly tpcbSeconds: number
  readonly progress: (message: string) => void
  readonly signal: AbortSignal
}

export interface ThroughputResult {
  readonly transfers: number
  readonly accounts: number
  readonly appliedPerSecond: number
  readonly publishedPerSecond: number
  readonly tpcbPerSecond: number
  /** Applied and published, to TPC-B: the result. */
  readonly ratio: number
  /** 1-minute load average at the start. */
  readonly load: number
}

const CLI = fileURLToPath(new URL('../../cli/bin/tallystream.mjs', import.meta.url))
const TIMEOUT_MS = 600_000
const IDLE_TIMEOUT_MS = 60_000

/**
 * Measures in a ledger that is migrated and has its topics; no engine may run on it.
 *
 * @throws OperatingError `bench_wrong_result` where a balance or an outcome isn't as it must be
 */
export async function measureThroughput(options: ThroughputOptions): Promise<ThroughputResult> {
  const load = loadavg()[0]!
  const { configuration, pool, publisher, transfers, accounts, signal, progress } = options
  const startedMs = Date.now()
  const plan = planRun({
    run: `b${startedMs.toString(36)}`,
    seed: startedMs % 1_000_000_000,
    transactions: transfers,
    accounts,
    endTimeMs: (await requireProgress(pool, configuration.ledger.name)).tickMs,
    mix: 'plain',
  })
  const { clusterId, topicPrefix } = configuration.ledger
  const awaitApplied = (positions: Parameters<typeof waitUntilApplied>[0]) =>
    waitUntilApplied(positions, { pool, clusterId, topicPrefix, idleTimeoutMs: IDLE_TIMEOUT_MS, signal })
  const publishing = { publisher, awaitApplied, signal, onProgress: progress }
  await withEngine(async () => {
    await publishReference(plan, publishing)
    await untilPublished(options)
  })
  const before = await measureTpcb(configuration.postgres.url, { clients: 8, seconds: options.tpcbSeconds })
  progress(`TPC-B: ${Math.round(before.transactionsPerSecond)}/s; preloading ${transfers} transfers`)
  const { expectation } = await publishTransactions(plan, publishing)
  progress('applying')
  const measured = await withEngine(() => measure(options))
  const after = await measureTpcb(configuration.postgres.url, { clients: 8, seconds: options.tpcbSeconds })
  progress('checking every balance')
  const [difference, ...others] = (await checkExpectation(expectation, { pool })).differences
  if (difference !== undefined) {
    const { name, expected, actual } = difference
    const message = `${name}: expected ${expected}, found ${actual}; and ${others.length} more differences`
    throw new OperatingError('bench_wrong_result', message)
  }
  const tpcbPerSecond = (before.transactionsPerSecond + after.transactionsPerSecond) / 2
  const ratio = measured.publishedPerSecond / tpcbPerSecond
  return { transfers, accounts, ...measured, tpcbPerSecond, ratio, load }
}

interface Progress {
  /** Batches committed, and published at least. */
  readonly sequence: bigint
  readonly publishedSequence: bigint
  /** Transactions applied: the sum of the next offsets of all partitions. */
  readonly applied: bigint
}

/** The head is read last: it has at least the batches that brought the offsets to where they were. */
async function look({ pool, configuration }: ThroughputOptions): Promise<Progress> {
  const { name, clusterId } = configuration.ledger
  let applied = 0n
  for (const [place, next] of await readAppliedOffsets(pool, clusterId)) {
    if (place.startsWith('transactions:')) applied += next
  }
  const { sequence, publishedSequence } = await requireProgress(pool, name)
  return { sequence, publishedSequence, applied }
}

/** The clock starts at the first batch, so that start-up isn't measured. */
async function measure(
  options: ThroughputOptions,
): Promise<{ appliedPerSecond: number; publishedPerSecond: number }> {
  const first = await look(options)
  const target = first.applied + BigInt(options.transfers)
  let begun: { atMs: number; applied: bigint } | null = null
  let reached: { atMs: number; sequence: bigint } | null = null
  const deadline = performance.now() + TIMEOUT_MS
  for (;;) {
    const progress = await look(options)
    const atMs = performance.now()
    if (progress.applied > first.applied) begun ??= { atMs, applied: progress.applied }
    if (progress.applied >= target) reached ??= { atMs, sequence: progress.sequence }
    if (begun !== null && reached !== null && progress.publishedSequence >= reached.sequence) {
      const counted = Number(target - begun.applied)
      return {
        appliedPerSecond: (counted / (reached.atMs - begun.atMs)) * 1_000,
        publishedPerSecond: (counted / (atMs - begun.atMs)) * 1_000,
      }
    }
    if (atMs > deadline || options.signal.aborted) {
      throw new OperatingError('bench_timeout', `stopped at ${progress.applied} of ${target}`)
    }
    await sleep(50)
  }
}

async function untilPublished(options: ThroughputOptions): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS
  for (;;) {
    const { sequence, publishedSequence } = await look(options)
    if (publishedSequence >= sequence) return
    if (performance.now() > deadline || options.signal.aborted)
      throw new OperatingError('bench_timeout', 'not published in time')
    await sleep(50)
  }
}

/** Runs the engine as in production, deciding and publishing in processes of their own, for as long as the work takes. */
async function withEngine<T>(work: () => Promise<T>): Promise<T> {
  const engines = ['processor', 'publisher,ticker'].map((roles) =>
    spawn(process.execPath, [CLI, 'run', '--roles', roles], { stdio: ['ignore', 'ignore', 'ignore'] }),
  )
  const ended = Promise.all(engines.map((engine) => once(engine, 'exit')))
  try {
    return await work()
  } finally {
    for (const engine of engines) engine.kill('SIGTERM')
    await Promise.race([ended, sleep(10_000)])
    for (const engine of engines) if (engine.exitCode === null) engine.kill('SIGKILL')
  }
}
