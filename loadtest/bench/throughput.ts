/** Throughput: preloaded transfers on 8 partitions → applied, published, in Redis; beside TPC-B on the same Postgres. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Configuration } from '#platform/config/configuration.ts'
import { OperatingError } from '#platform/errors.ts'
import { ProgressWatcher } from '#platform/postgres/progress.ts'
import { measureTpcb } from './tpcb.ts'
import { loadTransfers, uniformPairs } from './transfers.ts'

export interface ThroughputOptions {
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

/** Measures in a ledger that is migrated and has its topics; no engine may run on it. */
export const measureThroughput = async (
  configuration: Configuration,
  options: ThroughputOptions,
): Promise<ThroughputResult> => {
  const load = loadavg()[0]!
  const label = `b${Date.now().toString(36)}`
  const { transfers, accounts } = options
  const plan = { transfers, accounts, label, nowMs: Date.now(), pair: uniformPairs(accounts) }
  options.progress('opening accounts')
  await loadTransfers(configuration, plan, { accounts: true, transfers: false })
  await withEngine(configuration, async (watcher) => {
    await until(watcher, 'accounts', BigInt(accounts), options.signal)
  })
  const before = await measureTpcb(configuration.postgres.url, { clients: 8, seconds: options.tpcbSeconds })
  options.progress(`TPC-B: ${Math.round(before.transactionsPerSecond)}/s; preloading ${transfers} transfers`)
  const start = await loadedSoFar(configuration)
  await loadTransfers(configuration, plan, { accounts: false, transfers: true })
  options.progress('applying')
  const measured = await withEngine(configuration, (watcher) =>
    measure(watcher, start + BigInt(transfers), options),
  )
  const after = await measureTpcb(configuration.postgres.url, { clients: 8, seconds: options.tpcbSeconds })
  const tpcbPerSecond = (before.transactionsPerSecond + after.transactionsPerSecond) / 2
  return {
    transfers,
    accounts,
    ...measured,
    tpcbPerSecond,
    ratio: measured.publishedPerSecond / tpcbPerSecond,
    load,
  }
}

const loadedSoFar = async (configuration: Configuration): Promise<bigint> => {
  const watcher = await ProgressWatcher.open(configuration.postgres)
  try {
    return (await watcher.read('transactions')).offset
  } finally {
    await watcher.close()
  }
}

/** The clock starts at the first batch, so that start-up isn't measured. */
const measure = async (
  watcher: ProgressWatcher,
  target: bigint,
  options: ThroughputOptions,
): Promise<{ appliedPerSecond: number; publishedPerSecond: number }> => {
  const first = await watcher.read('transactions')
  let begun: { atMs: number; offset: bigint } | null = null
  let appliedMs = 0
  let lastSequence = 0n
  const deadline = performance.now() + TIMEOUT_MS
  for (;;) {
    const now = performance.now()
    const progress = await watcher.read('transactions')
    if (begun === null && progress.offset > first.offset) begun = { atMs: now, offset: progress.offset }
    if (begun !== null && appliedMs === 0 && progress.offset >= target) {
      appliedMs = now
      lastSequence = progress.sequence
    }
    if (begun !== null && appliedMs > 0 && progress.publishedSequence >= lastSequence) {
      const counted = Number(target - begun.offset)
      return {
        appliedPerSecond: (counted / (appliedMs - begun.atMs)) * 1_000,
        publishedPerSecond: (counted / (now - begun.atMs)) * 1_000,
      }
    }
    if (now > deadline || options.signal.aborted) {
      throw new OperatingError('bench_timeout', `stopped at ${progress.offset} of ${target}`)
    }
    await sleep(20)
  }
}

const until = async (
  watcher: ProgressWatcher,
  topic: string,
  target: bigint,
  signal: AbortSignal,
): Promise<void> => {
  const deadline = performance.now() + TIMEOUT_MS
  for (;;) {
    const progress = await watcher.read(topic)
    if (progress.offset >= target && progress.publishedSequence >= progress.sequence) return
    if (performance.now() > deadline || signal.aborted)
      throw new OperatingError('bench_timeout', 'not applied')
    await sleep(50)
  }
}

/** Runs the engine as in production, deciding and publishing in processes of their own, for as long as the work takes. */
const withEngine = async <T>(
  configuration: Configuration,
  work: (watcher: ProgressWatcher) => Promise<T>,
): Promise<T> => {
  const watcher = await ProgressWatcher.open(configuration.postgres)
  const engines = ['processor', 'publisher,ticker'].map((roles) =>
    spawn(process.execPath, [CLI, 'run', '--roles', roles], { stdio: ['ignore', 'ignore', 'ignore'] }),
  )
  const ended = Promise.all(engines.map((engine) => once(engine, 'exit')))
  try {
    return await work(watcher)
  } finally {
    for (const engine of engines) engine.kill('SIGTERM')
    await Promise.race([ended, sleep(10_000)])
    for (const engine of engines) if (engine.exitCode === null) engine.kill('SIGKILL')
    await watcher.close()
  }
}
