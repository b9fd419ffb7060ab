/**
 * One run: private services, several engine processes behind proxies, a stream of transactions, faults under load, and then the
 * question whether anything was lost or done twice. Everything that is chosen follows from the seed.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type RunningStack, resetStack } from '#infra/local/stack.ts'
import { type Configuration, resolveConfiguration } from '#platform/config/configuration.ts'
import { OperatingError } from '#platform/errors.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { closeRedis, openRedis } from '#platform/redis/client.ts'
import { BalanceWatch } from './balance-watch.ts'
import { checkStored, type StoredCheck, type StoredCheckOptions } from './check-run.ts'
import { checkCache } from './checks/check-cache.ts'
import { readHead } from './checks/stored-ledger.ts'
import { installCommitLog } from './commit-log.ts'
import { Engines, sessionNameOf } from './engines.ts'
import { type Fault, planFaults, type Scenario } from './fault-plan.ts'
import { type FaultStack, startFaultStack, startSidePostgres } from './fault-stack.ts'
import { Findings } from './findings.ts'
import { type DoneFault, Injector } from './injector.ts'
import { isDrained, isReadTo, makeLedger, waitFor } from './ledger.ts'
import { Load } from './load.ts'
import { type Stretch, sendAlong } from './pace.ts'
import { ProgressWatch } from './progress-watch.ts'
import type { FaultReport, TimedFault } from './report.ts'
import { seededRandom } from './seeded-random.ts'
import { playScenario } from './side/scenarios.ts'
import { type Hit, summaryOf, type Takeover, takeoversOf, unmeasuredOf } from './takeover.ts'

export interface FaultRunOptions {
  readonly seed: number
  readonly transactions: number
  readonly faults: number
  /** Everything of the run; deleted at the end. */
  readonly dataDir: string
  /** Kinds of faults to choose from; all unless told. */
  readonly only?: readonly Fault['kind'][] | undefined
  readonly processes?: number
  readonly accounts?: number
  /** Where the engines' logs are kept; nowhere unless told. */
  readonly logFolder?: string | undefined
  readonly onProgress?: (message: string) => void
  readonly signal?: AbortSignal
  /** Looks at the ledger after the checks, before everything is deleted. */
  readonly inspect?: (checked: { options: StoredCheckOptions; stored: StoredCheck }) => Promise<void>
}

const PROCESSES = 3
const ACCOUNTS = 200
/** How long the ledger may take to go on after a fault, on a machine that is busy with other things. */
const RECOVERY_MAX_MS = 60_000
/** An overlapping fault comes when the one before has just begun to be felt. */
const OVERLAP_AFTER_MS = 300
const DRAIN_MAX_MS = 180_000
const START_MAX_MS = 60_000

/** Runs it and checks. @throws where the run itself could not be done (a service doesn't start, nothing drains) */
export const runFaults = async (options: FaultRunOptions): Promise<FaultReport> => {
  const closers: (() => Promise<void> | void)[] = []
  try {
    return await new FaultRun(options, closers).run()
  } finally {
    for (const closer of closers.reverse()) await closer()
  }
}

class FaultRun {
  readonly #options: FaultRunOptions
  readonly #closers: (() => Promise<void> | void)[]
  readonly #findings = new Findings()
  /** Hits during which another fault was under way: their takeovers say nothing about one. */
  readonly #unclean = new Set<Hit>()
  #side: RunningStack | undefined

  constructor(options: FaultRunOptions, closers: (() => Promise<void> | void)[]) {
    this.#options = options
    this.#closers = closers
  }

  async run(): Promise<FaultReport> {
    const { seed, transactions } = this.#options
    this.#say(`seed ${seed}: ${transactions} transactions, ${this.#options.faults} faults`)
    const faultStack = await this.#startStack()
    const configuration = resolveConfiguration(
      { LEDGER: `faults_${randomBytes(4).toString('hex')}`, LOG_LEVEL: 'warn' },
      { localEndpoints: faultStack.stack.endpoints },
    )
    await makeLedger(configuration)
    await installCommitLog(configuration)
    const pool = makePool({
      ...configuration.postgres,
      applicationName: 'faults checks',
      connectionsMax: 6,
      statementTimeoutMs: 120_000,
    })
    this.#closers.push(() => pool.close())
    const genesisHash = (await readHead(pool)).hash
    const engines = new Engines({ configuration, logFolder: this.#options.logFolder, keptUp: 'all' })
    this.#closers.push(() => engines.close())
    for (const slot of faultStack.slots) engines.start({ slot })
    return await this.#streamAndCheck({ faultStack, configuration, pool, genesisHash, engines })
  }

  async #startStack(): Promise<FaultStack> {
    const { dataDir, signal } = this.#options
    const faultStack = await startFaultStack({
      dataDir,
      slots: this.#options.processes ?? PROCESSES,
      onProgress: (message) => this.#say(message),
      signal,
    })
    this.#closers.push(
      () => faultStack.close(),
      () => resetStack({ dataDir: `${dataDir}-side` }),
    )
    return faultStack
  }

  async #streamAndCheck(made: {
    faultStack: FaultStack
    configuration: Configuration
    pool: ReadPool
    genesisHash: Buffer
    engines: Engines
  }): Promise<FaultReport> {
    const { configuration, pool, engines, faultStack } = made
    const { seed, transactions, faults } = this.#options
    const accounts = this.#options.accounts ?? ACCOUNTS
    const load = await Load.prepare({ configuration, accounts, random: seededRandom(seed) })
    const progress = new ProgressWatch(pool)
    const watch = new BalanceWatch(configuration, {
      pool,
      accounts: load.accounts.map(({ id }) => id),
      random: seededRandom(seed + 2),
      findings: this.#findings,
    })
    this.#closers.push(
      () => load.close(),
      () => watch.close(),
      () => progress.stop(),
    )
    const ends = await load.prepareLedger()
    await this.#until('the accounts are open and the rules set', START_MAX_MS, engines, () =>
      isReadTo(pool, ends),
    )
    await watch.start()
    progress.start()

    const startedAtMs = performance.now()
    const injector = this.#makeInjector(made, faultStack)
    const stretch: Stretch = { faults, faultsDone: 0 }
    this.#say('streaming')
    await Promise.all([
      sendAlong(load, transactions, stretch),
      this.#commitFaults(injector, { progress, stretch, engines }),
    ])
    const streamedAtMs = performance.now()
    await injector.settle()
    for (const [place, end] of load.ends()) ends.set(place, end)
    await this.#until('everything is applied and published', DRAIN_MAX_MS, engines, () =>
      isDrained(pool, ends),
    )
    const drainedAtMs = performance.now()
    await watch.stop()
    await progress.stop()
    this.#say('checking')
    await checkCache(this.#findings, { configuration, pool, watch })
    for (const engine of engines.running) await injector.stop(engine)
    this.#checkProcesses(engines)

    const checkOptions = { configuration, pool, load, ends, genesisHash: made.genesisHash, isWatched: true }
    const stored = await checkStored(this.#findings, checkOptions)
    const report = this.#report({ stored, injector, progress, engines, load })
    await this.#options.inspect?.({ options: checkOptions, stored })
    return {
      ...report,
      balanceReads: watch.answers,
      streamSeconds: Math.round((streamedAtMs - startedAtMs) / 100) / 10,
      drainSeconds: Math.round((drainedAtMs - streamedAtMs) / 100) / 10,
      faultList: timedFaults(injector.done, progress, { startedAtMs, endedAtMs: drainedAtMs }),
    }
  }

  #makeInjector(
    { configuration, pool, engines }: { configuration: Configuration; pool: ReadPool; engines: Engines },
    faultStack: FaultStack,
  ): Injector {
    const redis = openRedis({ url: configuration.redis.url, connectionName: 'faults' })
    this.#closers.push(() => closeRedis(redis))
    return new Injector({
      engines,
      slots: faultStack.slots,
      stack: faultStack.stack,
      pool,
      redis,
      sessionName: sessionNameOf(configuration),
      findings: this.#findings,
      playScenario: (scenario) => this.#playScenario(scenario, faultStack),
    })
  }

  async #playScenario(scenario: Scenario, faultStack: FaultStack): Promise<void> {
    const { dataDir, seed, logFolder } = this.#options
    this.#side ??= await startSidePostgres({ dataDir, onProgress: () => undefined })
    await playScenario(scenario, {
      endpoints: faultStack.stack.endpoints,
      side: this.#side,
      random: seededRandom(seed + 3),
      findings: this.#findings,
      logFolder,
      onProgress: (message) => this.#say(message),
    })
  }

  async #commitFaults(
    injector: Injector,
    { progress, stretch, engines }: { progress: ProgressWatch; stretch: Stretch; engines: Engines },
  ): Promise<void> {
    const plan = planFaults(this.#options.faults, seededRandom(this.#options.seed + 1), this.#options.only)
    for (const [place, planned] of plan.entries()) {
      this.#options.signal?.throwIfAborted()
      await sleep(planned.overlaps ? OVERLAP_AFTER_MS : planned.pauseMs)
      if (!planned.overlaps) await this.#somebodyToTakeOver(engines)
      const done = await injector.commit(planned)
      this.#say(`fault ${place + 1}: ${done.name}: ${done.target}`)
      const isOverlapped = planned.overlaps || plan[place + 1]?.overlaps === true
      if (done.hit !== undefined && isOverlapped) this.#unclean.add(done.hit)
      if (plan[place + 1]?.overlaps !== true) await this.#recovered(done, progress)
      stretch.faultsDone = place + 1
    }
  }

  /** A takeover needs two: on a busy machine a dead process' replacement may take longer to start than the ledger to go on. */
  async #somebodyToTakeOver(engines: Engines): Promise<void> {
    const wanted = Math.min(2, this.#options.processes ?? PROCESSES)
    await waitFor(() => engines.running.filter(({ isUp }) => isUp).length >= wanted, START_MAX_MS)
  }

  /**
   * Waits until every partition and the publisher have advanced: by others, where an owner was hit, and not by what that one had under
   * way. Else the next fault hits whoever is just taking over.
   */
  async #recovered({ name, atMs, hit }: DoneFault, progress: ProgressWatch): Promise<void> {
    const sinceMs = hit === undefined ? atMs : atMs + (hit.outMs - hit.atMs)
    const isRecovered = await waitFor(() => progress.hasRecovered(sinceMs), RECOVERY_MAX_MS)
    this.#findings.check(
      'the ledger goes on after every fault',
      isRecovered,
      () => `${name}: not within ${RECOVERY_MAX_MS} ms`,
    )
  }

  #checkProcesses(engines: Engines): void {
    const { endedByThemselves } = engines
    for (const engine of engines.all) {
      const found = engine.incidents.join(', ')
      this.#findings.same('no incident without a cause', engine.name, '', found)
    }
    this.#findings.check('no process ends by itself', endedByThemselves.length === 0, () =>
      endedByThemselves.join('\n'),
    )
  }

  #report(of: {
    stored: StoredCheck
    injector: Injector
    progress: ProgressWatch
    engines: Engines
    load: Load
  }): Omit<FaultReport, 'balanceReads' | 'streamSeconds' | 'drainSeconds' | 'faultList'> {
    const { stored, injector, engines, load } = of
    const hits = injector.done.flatMap(({ hit }) => (hit === undefined ? [] : [hit]))
    const clean = hits.filter((hit) => !this.#unclean.has(hit))
    const takeovers = takeoversOf(stored.changes, clean)
    const unmeasured = unmeasuredOf(stored.changes, clean, load.ends())
    for (const { hit, followedBy } of unmeasured) {
      const isFollowed = followedBy !== 'nobody'
      this.#findings.check('a dead owner is followed by another', isFollowed, () =>
        nameOf(hit, injector.done),
      )
    }
    return {
      seed: this.#options.seed,
      transactions: load.sent,
      faults: injector.done.length,
      records: stored.inputs.size,
      decisions: stored.decisions,
      deadLetters: stored.deadLetters,
      batches: stored.batches,
      sumDrift: stored.sumDrift,
      takeover: summaryOf(takeovers.map(({ firstMs }) => firstMs)),
      takeoverOfAll: summaryOf(takeovers.map(({ lastMs }) => lastMs)),
      unmeasured: {
        'amid another fault': hits.length - clean.length,
        ...countOf(unmeasured.map(({ followedBy }) => followedBy)),
      },
      slowestTakeovers: slowest(takeovers, injector.done),
      stopsMs: injector.stopsMs,
      restarts: engines.restarts,
      findings: this.#findings,
    }
  }

  #say(message: string): void {
    this.#options.onProgress?.(message)
  }

  /** @throws OperatingError `faults_stuck` with what the processes said last */
  async #until(
    what: string,
    timeoutMs: number,
    engines: Engines,
    holds: () => Promise<boolean>,
  ): Promise<void> {
    if (await waitFor(holds, timeoutMs)) return
    const said = engines.running.flatMap(({ name, lines }) => [`${name}:`, ...lines.slice(-10)])
    const text = [`waited for: ${what} (${timeoutMs} ms)`, ...engines.endedByThemselves, ...said].join('\n')
    throw new OperatingError('faults_stuck', text)
  }
}

const countOf = (words: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1
  return counts
}

const SLOWEST_SHOWN = 10

const slowest = (takeovers: readonly Takeover[], done: readonly DoneFault[]): string[] =>
  [...takeovers]
    .sort((a, b) => b.lastMs - a.lastMs)
    .slice(0, SLOWEST_SHOWN)
    .map(({ hit, firstMs, lastMs }) => {
      return `first ${firstMs} ms, all ${lastMs} ms: ${nameOf(hit, done)}`
    })

const nameOf = (hit: Hit, done: readonly DoneFault[]): string => {
  const fault = done.find((one) => one.hit === hit)
  return `${fault?.name}: ${fault?.target}`
}

const timedFaults = (
  done: readonly DoneFault[],
  progress: ProgressWatch,
  { startedAtMs, endedAtMs }: { startedAtMs: number; endedAtMs: number },
): TimedFault[] =>
  done.map(({ name, target, atMs }, place) => ({
    name,
    target,
    atSeconds: Math.round((atMs - startedAtMs) / 100) / 10,
    ...progress.gaps(atMs, done[place + 1]?.atMs ?? endedAtMs),
  }))
