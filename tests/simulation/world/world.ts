/** One simulated run: engine processes, producers, readers, faults, and the checks that watch every step. */
import { OperatingError } from '#platform/errors.ts'
import { CacheChecks } from '../oracle/cache.ts'
import { CommitChecks } from '../oracle/commits.ts'
import { OutputChecks } from '../oracle/outputs.ts'
import { Violation } from '../oracle/violation.ts'
import { type Scheduler, SimulatedProcess, START_MS } from '../scheduler/scheduler.ts'
import { type Engine, startEngine } from './engine.ts'
import { BalanceReaders } from './readers.ts'
import {
  CACHE_STATE_KEY,
  GENESIS_HASH,
  makeServices,
  type Odds,
  type Services,
  TOPIC_PREFIX,
} from './services.ts'
import { Workload } from './workload.ts'

export interface IncidentSeen {
  readonly code: string
  readonly message: string
  readonly atMs: number
}

const ENGINES = [1, 2, 3, 3, 3]
/** Who is alone at the head stays ahead. */
const ENGINES_OF_DEEP = [1, 1, 2, 3]
/** An orchestrator starts a dead process again after so long. */
const RESTART_MS = { min: 20, max: 4_000 }

export class World {
  readonly scheduler: Scheduler
  readonly odds: Odds
  readonly services: Services
  readonly commits: CommitChecks
  readonly outputs: OutputChecks
  readonly cache: CacheChecks
  readonly workload: Workload
  readonly readers: BalanceReaders
  readonly incidents: IncidentSeen[] = []
  readonly engines: (Engine | null)[] = []
  failure: Violation | Error | null = null
  crashes = 0
  restartsEngines = true
  private processes = 0

  constructor(scheduler: Scheduler) {
    this.scheduler = scheduler
    const { random } = scheduler
    this.odds = {
      isCalm: false,
      isRegistryUp: true,
      jump: random.pick([0, 0.01, 0.1]),
      repeat: random.pick([0, 0.01]),
      slowMarkers: random.pick([0, 0.02, 0.2]),
      worstDelayMs: random.pick([3, 10, 40, 200]),
    }
    this.services = makeServices(scheduler, this.odds, () => {
      this.cache.troubleMs = scheduler.nowMs
    })
    this.commits = new CommitChecks({ nowMs: START_MS, hash: GENESIS_HASH, topicPrefix: TOPIC_PREFIX })
    this.outputs = new OutputChecks(this.commits, TOPIC_PREFIX)
    this.cache = new CacheChecks(this.commits, this.outputs)
    this.workload = new Workload(this.services, () => this.commits.ingested.waiting)
    this.watch()
    this.readers = new BalanceReaders(this.services, this.cache, this.newProcess('reader'))
    const engines = random.pick(this.services.isDeep ? ENGINES_OF_DEEP : ENGINES)
    for (let place = 0; place < engines; place += 1) {
      this.engines.push(null)
      this.startEngine(place, random.int(0, 200))
    }
    this.workload.start()
    this.readers.start()
  }

  /** Of the engine process `place`, whatever it is doing. */
  crash(place: number): void {
    const engine = this.engines[place]
    if (engine === null || engine === undefined) return
    this.crashes += 1
    this.scheduler.note(`${engine.process.name} crashes`)
    engine.process.crash()
    this.engines[place] = null
    this.startEngine(place, this.scheduler.random.skewed(RESTART_MS.min, RESTART_MS.max))
  }

  /** The next engine that decides a batch ahead breaks while both are under way. */
  breakNextAhead(): void {
    const { scheduler, services, odds } = this
    services.ahead.told = (process) => {
      services.ahead.told = null
      const place = this.engines.findIndex((engine) => engine?.process === process)
      if (odds.isCalm || place < 0) return
      const breaks = scheduler.random.pick([
        () => this.crash(place),
        () => this.engines[place]?.cutSession(),
        () => this.engines[place]?.cutSession(),
      ])
      scheduler.schedule(scheduler.random.next() * odds.worstDelayMs, 'break', null, () => {
        if ((this.engines[place]?.batchesUnderWay() ?? 0) > 1)
          scheduler.happened('break while two batches are under way')
        breaks()
      })
    }
  }

  /** All engines at once, and their database sessions; nobody starts them again. */
  stopAll(): void {
    this.restartsEngines = false
    for (const engine of this.engines) engine?.process.crash()
    this.engines.fill(null)
    this.services.database.stop()
    this.services.database.start()
  }

  startAll(): void {
    this.restartsEngines = true
    for (const place of this.engines.keys()) this.startEngine(place, this.scheduler.random.int(0, 200))
  }

  /** As on SIGTERM: it has five seconds. */
  stopGently(place: number): void {
    const engine = this.engines[place]
    if (engine === null || engine === undefined || engine.process.paused) return
    this.scheduler.note(`${engine.process.name} is asked to stop`)
    const { process } = engine
    const over = (): void => {
      if (!process.alive) return
      process.exit()
      if (this.engines[place] === engine) this.engines[place] = null
      this.startEngine(place, this.scheduler.random.skewed(RESTART_MS.min, RESTART_MS.max))
    }
    process.after(0, 'SIGTERM', () => {
      engine.stop().then(over, over)
    })
    this.scheduler.schedule(8_000, 'SIGKILL', null, over)
  }

  fail(error: unknown): void {
    this.failure ??= error instanceof Error ? error : new Error(String(error))
  }

  private newProcess(name: string): SimulatedProcess {
    this.processes += 1
    return new SimulatedProcess(this.scheduler, this.processes, `${name}.${this.processes}`)
  }

  private startEngine(place: number, delayMs: number): void {
    this.scheduler.schedule(delayMs, 'start', null, () => {
      if (!this.restartsEngines || (this.engines[place] ?? null) !== null) return
      const process = this.newProcess(`engine${place}`)
      // Begun by an event of its own, so that all it does is its own.
      process.after(0, 'started', () => {
        const engine = startEngine(this.services, process, {
          incident: (code, message) => {
            this.scheduler.note(`${process.name} incident ${code}`)
            this.incidents.push({ code, message, atMs: this.scheduler.nowMs })
          },
          ended: (error) => this.engineEnded(place, process, error),
        })
        this.engines[place] = engine
      })
    })
  }

  private engineEnded(place: number, process: SimulatedProcess, error: unknown): void {
    if (!process.alive) return
    if (!(error instanceof OperatingError)) {
      this.fail(error)
      return
    }
    this.scheduler.note(`${process.name} ends: ${error.code}`)
    process.exit()
    this.engines[place] = null
    this.startEngine(place, this.scheduler.random.skewed(RESTART_MS.min * 10, RESTART_MS.max))
  }

  private watch(): void {
    const { broker, database, cache } = this.services
    const checked =
      <Args extends unknown[]>(check: (...args: Args) => void) =>
      (...args: Args): void => {
        try {
          check(...args)
        } catch (error) {
          this.fail(error)
        }
      }
    const ingest = new Set<string>(this.services.ingest.map(({ topic }) => TOPIC_PREFIX + topic))
    broker.onAppend = checked((topic, partition, entry) => {
      if (ingest.has(topic)) this.commits.ingested.appended(topic, partition, entry)
    })
    let decided = 0n
    broker.onDecided = (offsets) => {
      for (const { groupId, offset } of offsets) if (groupId.includes('publisher')) decided = offset
    }
    broker.onCommitted = checked((ended) => {
      if (ended.transactionalId.startsWith('tallystream.')) {
        this.outputs.committed(ended, this.scheduler.nowMs)
      }
    })
    database.onCommit = checked((writes, tables) => {
      this.commits.committed(writes, tables)
      const noted = writes.find((write) => write.table === 'progress')
      if (noted !== undefined && (noted.row as bigint) > decided) {
        throw new Violation('only what was published is noted', `${String(noted.row)} > ${decided}`)
      }
    })
    cache.onBalance = checked((key, before, after) =>
      this.cache.written(key, before, after, cache.get(CACHE_STATE_KEY)),
    )
  }
}
