/**
 * One run: a fresh ledger, two engine processes, a steady stream, faults under load, and then the question whether anything was
 * lost or done twice. The checks share no code with the engine: they have queries, an Avro reader and a fold of their own, and
 * Java's consumer reads what left.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { applyTopics } from '#cli/commands/topics.ts'
import { LOGIC_VERSION } from '#domain/ledger/state.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { migrateLedger } from '#platform/postgres/migrate.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { BalanceWatch } from './balance-watch.ts'
import { checkCache } from './checks/check-cache.ts'
import { checkBalances, checkChain, checkDecisions, checkPositions } from './checks/check-ledger.ts'
import { checkOutputs } from './checks/check-outputs.ts'
import { readHead, readPositions, readStoredBatches, readStoredLedger } from './checks/stored-ledger.ts'
import { Engines, sessionNameOf } from './engines.ts'
import { planFaults } from './fault-plan.ts'
import { type DoneFault, Faults } from './faults.ts'
import { type Finding, Findings } from './findings.ts'
import { accountIds, Load } from './load.ts'
import { type Gaps, ProgressWatch } from './progress-watch.ts'
import { seededRandom } from './seeded-random.ts'

export interface KillRunOptions {
  readonly configuration: Configuration
  readonly transactions: number
  /** Transactions a second. */
  readonly rate: number
  /** SIGKILLs; other faults come on top. */
  readonly kills: number
  readonly seed: number
  readonly accounts?: number
  /** Where the engines' logs are kept; nowhere unless told. */
  readonly logFolder?: string
  readonly onProgress?: (message: string) => void
}

export interface KillRunReport {
  readonly seed: number
  readonly transactions: number
  readonly records: number
  readonly batches: bigint
  readonly streamSeconds: number
  /** From the last record sent to the last one applied and published. */
  readonly drainSeconds: number
  readonly faults: readonly (Omit<DoneFault, 'atMs'> & Gaps & { readonly atSeconds: number })[]
  readonly worst: Gaps
  /** How long each process took that was asked to end, ms. */
  readonly stopsMs: readonly number[]
  readonly balanceReads: { readonly cached: number; readonly uncached: number }
  /** Of processes that a fault kept from starting. */
  readonly restarts: number
  readonly endedByThemselves: readonly string[]
  readonly findings: readonly Finding[]
  readonly passed: boolean
}

const ENGINES = 2
const ACCOUNTS = 200
const RECOVERY_MAX_MS = 8_000

/** Runs it and checks. @throws where the run itself could not be done (a service away, nothing drained) */
export const runKills = async (options: KillRunOptions): Promise<KillRunReport> => {
  const { configuration } = options
  const pool = makePool({
    ...configuration.postgres,
    applicationName: 'crash checks',
    connectionsMax: 6,
    statementTimeoutMs: 120_000,
  })
  const engines = new Engines(configuration, options.logFolder)
  const closers: (() => Promise<void>)[] = [() => pool.close(), () => engines.close()]
  try {
    return await new KillRun(options, pool, engines, closers).run()
  } finally {
    for (const close of closers.reverse()) await close()
  }
}

class KillRun {
  readonly #options: KillRunOptions
  readonly #pool: ReadPool
  readonly #engines: Engines
  readonly #closers: (() => Promise<void>)[]
  readonly #findings = new Findings()
  readonly #faults: Faults
  readonly #progress: ProgressWatch

  constructor(options: KillRunOptions, pool: ReadPool, engines: Engines, closers: (() => Promise<void>)[]) {
    this.#options = options
    this.#pool = pool
    this.#engines = engines
    this.#closers = closers
    this.#faults = new Faults({
      engines,
      pool,
      sessionName: sessionNameOf(options.configuration),
      findings: this.#findings,
    })
    this.#progress = new ProgressWatch(pool)
  }

  async run(): Promise<KillRunReport> {
    const { configuration, seed, transactions, rate } = this.#options
    const accounts = this.#options.accounts ?? ACCOUNTS
    const genesisHash = await this.#makeLedger()
    const load = await Load.prepare({
      configuration,
      accounts,
      transactions,
      rate,
      random: seededRandom(seed),
    })
    const watch = new BalanceWatch(configuration, {
      pool: this.#pool,
      accounts: accountIds(accounts),
      random: seededRandom(seed + 2),
      findings: this.#findings,
    })
    this.#closers.push(
      () => load.close(),
      () => watch.close(),
      () => this.#progress.stop(),
    )
    for (let count = 0; count < ENGINES; count += 1) this.#engines.start()
    const ends = new Map([['accounts:0', await load.openAccounts()]])
    await this.#until('the accounts are open', 60_000, () => this.#isReadTo(ends))
    await watch.start()
    this.#progress.start()

    this.#say(`streaming ${transactions} transactions at ${rate}/s`)
    const startedAtMs = performance.now()
    const faults = this.#commitFaults(load)
    let areFaultsDone = false
    const noted = faults.finally(() => {
      areFaultsDone = true
    })
    await Promise.all([load.stream(() => areFaultsDone), noted])
    const streamedAtMs = performance.now()
    await this.#faults.settle()
    for (const [place, end] of endsOf(load)) ends.set(place, end)
    await this.#until('everything is applied and published', 120_000, () => this.#isDrained(ends))
    const drainedAtMs = performance.now()
    await watch.stop()
    await this.#progress.stop()
    this.#say('checking')
    await checkCache(this.#findings, { configuration, pool: this.#pool, watch })
    for (const engine of this.#engines.running) await this.#faults.stop(engine)
    const stored = await this.#checkStored(load, ends, genesisHash)

    return {
      seed,
      transactions: load.sent.length,
      records: load.sent.reduce((sum, transaction) => sum + transaction.positions.length, 0),
      batches: stored.head.sequence,
      streamSeconds: Math.round((streamedAtMs - startedAtMs) / 100) / 10,
      drainSeconds: Math.round((drainedAtMs - streamedAtMs) / 100) / 10,
      ...this.#faultReport(startedAtMs, drainedAtMs),
      stopsMs: this.#faults.stopsMs,
      balanceReads: watch.answers,
      restarts: this.#engines.restarts,
      endedByThemselves: this.#engines.endedByThemselves,
      findings: this.#findings.all,
      passed: this.#findings.passed && this.#engines.endedByThemselves.length === 0,
    }
  }

  /** A ledger that nothing has happened to. @returns the hash that its history starts from */
  async #makeLedger(): Promise<Buffer> {
    const { configuration } = this.#options
    await migrateLedger(configuration.postgres, {
      ledger: configuration.ledger.name,
      nowMs: Date.now(),
      logicVersion: LOGIC_VERSION,
    })
    await applyTopics(configuration, 1)
    return (await readHead(this.#pool)).hash
  }

  async #commitFaults(load: Load): Promise<void> {
    const { kills, seed, transactions } = this.#options
    for (const fault of planFaults(kills, seededRandom(seed + 1))) {
      const at = Math.floor(fault.atShare * transactions)
      await this.#until(`${at} transactions were sent`, 600_000, async () => load.sent.length >= at)
      await this.#recovered()
      await this.#faults.commit(fault)
      const done = this.#faults.done.at(-1)
      this.#say(`${load.sent.length} sent: ${fault.kind} of ${done?.target}`)
    }
  }

  /** Waits until the last fault is overcome, but not for long: then the next one hits those who are still recovering. */
  async #recovered(): Promise<void> {
    const sinceMs = this.#faults.done.at(-1)?.atMs ?? 0
    const deadline = performance.now() + RECOVERY_MAX_MS
    while (performance.now() < deadline && !this.#progress.hasRecovered(sinceMs)) await sleep(20)
  }

  async #isReadTo(ends: ReadonlyMap<string, bigint>): Promise<boolean> {
    const positions = await readPositions(this.#pool)
    return [...ends].every(([place, end]) => (positions.get(place) ?? 0n) >= end)
  }

  /** Applied to the end of the log, and published at least up to the head of that moment. */
  async #isDrained(ends: ReadonlyMap<string, bigint>): Promise<boolean> {
    if (!(await this.#isReadTo(ends))) return false
    const [row] = await this.#pool.query<{ sequence: bigint }>({
      text: `select max(sequence) as sequence from transactions`,
    })
    const [progress] = await this.#pool.query<{ published: bigint }>({
      text: 'select published_sequence as published from publisher_progress',
    })
    return (progress?.published ?? 0n) >= (row?.sequence ?? 0n)
  }

  async #checkStored(load: Load, ends: ReadonlyMap<string, bigint>, genesisHash: Buffer) {
    const findings = this.#findings
    const stored = await readStoredLedger(this.#pool)
    checkPositions(findings, ends, stored)
    checkDecisions(findings, load.sent, stored)
    checkBalances(findings, load.sent, stored)
    await checkChain(findings, { genesisHash, batches: readStoredBatches(this.#pool), stored })
    await checkOutputs(findings, this.#options.configuration, stored)
    return stored
  }

  #faultReport(startedAtMs: number, endedAtMs: number): Pick<KillRunReport, 'faults' | 'worst'> {
    const { done } = this.#faults
    const faults = done.map(({ atMs, ...fault }, place) => ({
      ...fault,
      atSeconds: Math.round((atMs - startedAtMs) / 100) / 10,
      ...this.#progress.gaps(atMs, done[place + 1]?.atMs ?? endedAtMs),
    }))
    return { faults, worst: this.#progress.gaps(startedAtMs, endedAtMs) }
  }

  #say(message: string): void {
    this.#options.onProgress?.(message)
  }

  async #until(what: string, timeoutMs: number, holds: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!(await holds())) {
      const { running, endedByThemselves } = this.#engines
      const isHopeless = running.length === 0 && endedByThemselves.length > 0
      if (isHopeless || performance.now() > deadline) {
        const said = running.flatMap(({ name, lines }) => [`${name}:`, ...lines.slice(-10)])
        throw new Error([`waited for: ${what} (${timeoutMs} ms)`, ...endedByThemselves, ...said].join('\n'))
      }
      await sleep(20)
    }
  }
}

/** Where the log of each partition ends, as the producer was told. */
const endsOf = (load: Load): Map<string, bigint> => {
  const ends = new Map<string, bigint>()
  for (const { positions } of load.sent) {
    for (const { partition, offset } of positions) {
      const place = `transactions:${partition}`
      if (offset >= (ends.get(place) ?? 0n)) ends.set(place, offset + 1n)
    }
  }
  return ends
}

/** The report as a person reads it. */
export const reportText = (report: KillRunReport): string => {
  const { faults, findings, worst, balanceReads } = report
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1).padStart(5)} s`
  return [
    `${report.transactions} transactions (${report.records} records) in ${report.streamSeconds} s, drained after ${report.drainSeconds} s, ${report.batches} batches, seed ${report.seed}`,
    'longest stand-still of commits, of a partition, of publishing around each fault:',
    ...faults.map(
      (f) =>
        `  ${String(f.atSeconds).padStart(5)} s ${f.kind.padEnd(12)} ${f.role.padEnd(9)} ${seconds(f.commitsMs)} ${seconds(f.partitionMs)} ${seconds(f.publishedMs)}  ${f.target}`,
    ),
    `  whole run                    ${seconds(worst.commitsMs)} ${seconds(worst.partitionMs)} ${seconds(worst.publishedMs)}`,
    `stops took ${report.stopsMs.join(', ')} ms; ${report.restarts} starts were tried again`,
    `balances read meanwhile: ${balanceReads.cached} from Redis, ${balanceReads.uncached} from Postgres`,
    'checks (examined, wrong):',
    ...findings.flatMap(({ rule, examined, wrong, examples }) => [
      `  ${String(examined).padStart(8)} ${String(wrong).padStart(6)}  ${rule}`,
      ...examples.map((example) => `                     ${example}`),
    ]),
    ...report.endedByThemselves,
    report.passed ? 'passed' : 'FAILED',
  ].join('\n')
}
