/** Real engine processes: `tallystream run` as a user starts it, with the signals that end, stop and wake them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, type WriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Configuration } from '#platform/config/configuration.ts'
import { type Environment, processEnvironment } from '#platform/config/environment.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const BIN = join(ROOT, 'cli/bin/tallystream.mjs')
const LINES_KEPT = 40
/** A service couldn't be reached: whoever watches over processes (an orchestrator, systemd) starts it again. */
const EXIT_UNREACHABLE = 3
const RESTART_PAUSE_MS = 200

/** One engine process. */
export interface Engine {
  readonly name: string
  readonly pid: number
  readonly child: ChildProcess
  /** What it said last. */
  readonly lines: string[]
  state: 'running' | 'paused' | 'ending' | 'ended'
  /** Whether it got as far as doing its work. */
  isUp: boolean
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/** The name under which the engines' Postgres sessions show, so that only theirs are ended. */
export const sessionNameOf = (configuration: Configuration): string => `crash ${configuration.ledger.name}`

export class Engines {
  readonly #environment: Environment
  readonly #logFolder: string | undefined
  readonly #all: Engine[] = []
  #isClosed = false
  /** Processes that ended though nobody had asked them to. */
  readonly endedByThemselves: string[] = []
  /** Processes that could not start, because they were frozen or their session was ended meanwhile, and were started again. */
  restarts = 0
  readonly #endAll = () => {
    for (const engine of this.#all) engine.child.kill('SIGKILL')
  }

  /** @param logFolder where every process writes its log; none are kept where absent */
  constructor(configuration: Configuration, logFolder?: string) {
    const databaseUrl = new URL(configuration.postgres.url)
    // The address' own application name wins over the one that the engine sets.
    databaseUrl.searchParams.set('application_name', sessionNameOf(configuration))
    this.#environment = {
      ...processEnvironment(),
      LEDGER: configuration.ledger.name,
      KAFKA_BROKERS: configuration.kafka.brokers.join(','),
      SCHEMA_REGISTRY_URL: configuration.schemaRegistry.url,
      DATABASE_URL: databaseUrl.href,
      REDIS_URL: configuration.redis.url,
      METRICS_PORT: '0',
      LOG_LEVEL: 'info',
    }
    this.#logFolder = logFolder
    // Whatever ends this process, its engines must not outlive it.
    process.on('exit', this.#endAll)
  }

  start(): Engine {
    const child = spawn(process.execPath, [BIN, 'run'], {
      cwd: ROOT,
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const name = `engine ${this.#all.length + 1}`
    const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
      child.on('error', () => resolve({ code: null, signal: null }))
      child.on('exit', (code, signal) => resolve({ code, signal }))
    })
    const engine: Engine = {
      name,
      pid: child.pid ?? -1,
      child,
      lines: [],
      state: 'running',
      isUp: false,
      ended,
    }
    this.#all.push(engine)
    this.#keepLines(engine)
    void ended.then(({ code, signal }) => {
      if (engine.state === 'running' && !engine.isUp && code === EXIT_UNREACHABLE) {
        this.restarts += 1
        setTimeout(() => {
          if (!this.#isClosed) this.start()
        }, RESTART_PAUSE_MS)
      } else if (engine.state === 'running') {
        this.endedByThemselves.push(
          `${name} ended with ${code ?? signal}; it said last:\n${engine.lines.slice(-10).join('\n')}`,
        )
      }
      engine.state = 'ended'
    })
    return engine
  }

  get running(): Engine[] {
    return this.#all.filter((engine) => engine.state === 'running')
  }

  byPid(pid: number): Engine | undefined {
    return this.#all.find((engine) => engine.pid === pid)
  }

  /** SIGKILL. */
  async kill(engine: Engine): Promise<void> {
    if (engine.state === 'ended') return
    engine.state = 'ending'
    engine.child.kill('SIGKILL')
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

  /** SIGSTOP: it stands still in the middle of whatever it does. */
  pause(engine: Engine): void {
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
    await Promise.all(this.#all.map((engine) => this.kill(engine)))
    process.off('exit', this.#endAll)
  }

  #keepLines(engine: Engine): void {
    let file: WriteStream | undefined
    if (this.#logFolder !== undefined) {
      file = createWriteStream(join(this.#logFolder, `${engine.name.replace(' ', '-')}-${engine.pid}.log`))
    }
    for (const stream of [engine.child.stdout!, engine.child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        file?.write(`${line}\n`)
        engine.isUp ||= line.includes('"msg":"started"')
        engine.lines.push(line)
        if (engine.lines.length > LINES_KEPT) engine.lines.shift()
      })
    }
    void engine.ended.then(() => file?.end())
  }
}
