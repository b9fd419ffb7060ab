/** Real engine processes: `tallystream run` as a user starts it, with the signals that end, stop and wake them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, type WriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Configuration } from '#platform/config/configuration.ts'
import { type Environment, processEnvironment } from '#platform/config/environment.ts'
import type { Slot } from './slot.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const BIN = 'cli/bin/tallystream.mjs'
const LINES_KEPT = 40
/** A service couldn't be reached: whoever watches over processes (an orchestrator, systemd) starts it again. */
const EXIT_UNREACHABLE = 3
const RESTART_PAUSE_MS = 200

/** One engine process. */
export interface Engine {
  readonly name: string
  readonly slot: Slot | undefined
  /** All unless told. */
  readonly roles: string | undefined
  readonly pid: number
  readonly child: ChildProcess
  /** What it said last. */
  readonly lines: string[]
  /** Codes of the incidents that it reported. */
  readonly incidents: string[]
  state: 'running' | 'paused' | 'ending' | 'ended'
  /** Whether it got as far as doing its work. */
  isUp: boolean
  /** Where it serves its metrics, once it has said so. */
  metricsUrl: string | undefined
  /** The process that was started again in its place. */
  replacedBy: Engine | undefined
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/** The name under which the engines' Postgres sessions show, so that only theirs are ended. */
export const sessionNameOf = (configuration: Configuration): string => `faults ${configuration.ledger.name}`

/** The services' addresses by their environment names. */
export const addressesOf = ({ kafka, schemaRegistry, postgres, redis }: Configuration) => ({
  KAFKA_BROKERS: kafka.brokers.join(','),
  SCHEMA_REGISTRY_URL: schemaRegistry.url,
  DATABASE_URL: postgres.url,
  REDIS_URL: redis.url,
})

export interface EnginesOptions {
  readonly configuration: Configuration
  /** Another version's folder; this project's where absent. */
  readonly root?: string
  /** Where every process writes its log; none are kept where absent. */
  readonly logFolder?: string | undefined
  /** Which processes are started again, in their slots, where they ended though nobody asked them to. */
  readonly keptUp: 'all' | 'could not start' | 'none'
  /** How often at most, all together. */
  readonly restartsMax?: number
  /** Further settings of the processes, by their environment names. */
  readonly environment?: Environment
}

export class Engines {
  readonly #options: EnginesOptions
  readonly #all: Engine[] = []
  /** Of processes that will be started again in a moment. */
  readonly #timers = new Set<NodeJS.Timeout>()
  #isClosed = false
  /** Processes that ended though nobody had asked them to. */
  readonly endedByThemselves: string[] = []
  /** Processes that could not start, because they were frozen or a service was away, and were started again. */
  restarts = 0
  readonly #endAll = () => {
    for (const engine of this.#all) engine.child.kill('SIGKILL')
  }

  constructor(options: EnginesOptions) {
    this.#options = options
    // Whatever ends this process, its engines must not outlive it.
    process.on('exit', this.#endAll)
  }

  /** @param options.slot whose proxies it uses; straight to the services without one */
  start(options: { slot?: Slot | undefined; roles?: string } = {}): Engine {
    const { slot, roles } = options
    const { root = ROOT } = this.#options
    const command = [join(root, BIN), 'run', ...(roles === undefined ? [] : ['--roles', roles])]
    const child = spawn(process.execPath, command, {
      cwd: root,
      env: this.#environmentOf(slot),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const name = `engine ${this.#all.length + 1}`
    const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
      child.on('error', () => resolve({ code: null, signal: null }))
      child.on('exit', (code, signal) => resolve({ code, signal }))
    })
    const engine: Engine = {
      name,
      slot,
      roles,
      pid: child.pid ?? -1,
      child,
      lines: [],
      incidents: [],
      state: 'running',
      isUp: false,
      metricsUrl: undefined,
      replacedBy: undefined,
      ended,
    }
    if (slot !== undefined) slot.engine = engine
    this.#all.push(engine)
    this.#keepLines(engine)
    void ended.then(({ code, signal }) => this.#noteEnd(engine, code, signal))
    return engine
  }

  get all(): readonly Engine[] {
    return this.#all
  }

  get running(): Engine[] {
    return this.#all.filter((engine) => engine.state === 'running')
  }

  /** Who does the work of a process now: itself, or the last that was started again in its place. */
  inForce(engine: Engine): Engine {
    let current = engine
    while (current.replacedBy !== undefined) current = current.replacedBy
    return current
  }

  byPid(pid: number): Engine | undefined {
    return this.#all.find((engine) => engine.pid === pid)
  }

  /** Sends SIGKILL and doesn't wait. */
  killNow(engine: Engine): void {
    if (engine.state === 'ended') return
    engine.state = 'ending'
    engine.child.kill('SIGKILL')
  }

  /** SIGKILL. */
  async kill(engine: Engine): Promise<void> {
    this.killNow(engine)
    await engine.ended
  }

  /** SIGTERM. @returns its exit code, and how long it took, ms */
  async stop(engine: Engine): Promise<{ code: number | null; tookMs: number }> {
    engine.state = 'ending'
    const startedAtMs = performance.now()
    engine.child.kill('SIGTERM')
    const timer = setTimeout(() => engine.child.kill('SIGKILL'), 30_000)
    const { code } = await engine.ended
    clearTimeout(timer)
    return { code, tookMs: Math.round(performance.now() - startedAtMs) }
  }

  /** Ends all that run, in order, and starts none again. */
  async stopAll(): Promise<void> {
    this.#forgetRestarts()
    await Promise.all(this.running.map((engine) => this.stop(engine)))
  }

  /** SIGSTOP: it stands still in the middle of whatever it does. */
  pause(engine: Engine): void {
    if (engine.state !== 'running') return
    engine.state = 'paused'
    engine.child.kill('SIGSTOP')
  }

  /** SIGCONT. */
  wake(engine: Engine): void {
    if (engine.state !== 'paused') return
    engine.state = 'running'
    engine.child.kill('SIGCONT')
  }

  /** Ends what is left, whatever state it is in. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#forgetRestarts()
    await Promise.all(this.#all.map((engine) => this.kill(engine)))
    process.off('exit', this.#endAll)
  }

  #environmentOf(slot: Slot | undefined): Environment {
    const { configuration } = this.#options
    const endpoints = slot?.endpoints(configuration) ?? addressesOf(configuration)
    const databaseUrl = new URL(endpoints.DATABASE_URL!)
    // The address' own application name wins over the one that the engine sets.
    databaseUrl.searchParams.set('application_name', sessionNameOf(configuration))
    return {
      ...processEnvironment(),
      LEDGER: configuration.ledger.name,
      ...endpoints,
      DATABASE_URL: databaseUrl.href,
      METRICS_PORT: '0',
      LOG_LEVEL: 'info',
      ...this.#options.environment,
    }
  }

  #noteEnd(engine: Engine, code: number | null, signal: NodeJS.Signals | null): void {
    const wasRunning = engine.state === 'running'
    engine.state = 'ended'
    if (!wasRunning || this.#isClosed) return
    const couldNotStart = !engine.isUp && code === EXIT_UNREACHABLE
    if (couldNotStart) this.restarts += 1
    else {
      const said = engine.lines.slice(-10).join('\n')
      this.endedByThemselves.push(`${engine.name} ended with ${code ?? signal}; it said last:\n${said}`)
    }
    const { keptUp, restartsMax = Number.POSITIVE_INFINITY } = this.#options
    const isKeptUp = keptUp === 'all' || (keptUp === 'could not start' && couldNotStart)
    if (isKeptUp && this.restarts <= restartsMax) this.#startAgain(engine)
  }

  #startAgain(engine: Engine): void {
    const { slot, roles } = engine
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      // Another one may have taken the slot.
      if (slot !== undefined && slot.engine !== engine) return
      engine.replacedBy = this.start({ slot, ...(roles === undefined ? {} : { roles }) })
    }, RESTART_PAUSE_MS)
    this.#timers.add(timer)
  }

  #forgetRestarts(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  #keepLines(engine: Engine): void {
    const { logFolder } = this.#options
    let file: WriteStream | undefined
    if (logFolder !== undefined) {
      file = createWriteStream(join(logFolder, `${engine.name.replace(' ', '-')}-${engine.pid}.log`))
    }
    for (const stream of [engine.child.stdout!, engine.child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        file?.write(`${line}\n`)
        engine.isUp ||= line.includes('"msg":"started"')
        if (line.includes('"msg":"metrics and health"')) {
          engine.metricsUrl ??= /"url":"([^"]+)"/.exec(line)?.[1]
        }
        const incident = incidentOf(line)
        if (incident !== undefined) engine.incidents.push(incident)
        engine.lines.push(line)
        if (engine.lines.length > LINES_KEPT) engine.lines.shift()
      })
    }
    void engine.ended.then(() => file?.end())
  }
}

/** The code of the incident that a log line reports. */
const incidentOf = (line: string): string | undefined => {
  if (!line.includes('"incident: ') && !line.includes('"msg":"incident')) return undefined
  return /"code":"(\w+)"/.exec(line)?.[1] ?? 'unknown'
}
