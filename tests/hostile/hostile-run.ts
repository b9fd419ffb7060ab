/**
 * A fresh ledger with a real engine process over it, for records and conditions that mean it harm: what was sent is accounted for
 * offset by offset from the tables, and the engine's memory is watched from outside.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { accountValue } from '#connectors/ingest/wire.ts'
import { accountChange } from '#domain/transactions/testing/fixtures.ts'
import { type Engine, Engines } from '#loadtest/faults/engines.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { type Environment, processEnvironment } from '#platform/config/environment.ts'
import { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'
import { INGEST_TOPICS } from '#schemas/topics.ts'

/** How fast a dead engine is noticed isn't the question here; a test machine may keep one from running for seconds. */
const ENVIRONMENT = { SESSION_TIMEOUT_MS: '15000', PUBLISH_BACKLOG_BATCHES_MAX: '100000' }

export interface HostileRunOptions {
  /** How the engine reaches the services, where that differs from how the test does. */
  readonly engineConfiguration?: Configuration
  /** Further settings of the engine, by their environment names. */
  readonly environment?: Environment
  /** How long the engine may take to apply its first records. */
  readonly startTimeoutMs?: number
}

const START_TIMEOUT_MS = 60_000

const SAMPLE_EVERY_MS = 100
const POLL_MS = 50
const MEBIBYTE = 1024 * 1024

/** Resident memory of a process, bytes; null where it is gone. */
const residentBytes = async (pid: number): Promise<number | null> => {
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)])
    return Number(stdout.trim()) * 1024
  } catch {
    return null
  }
}

/** What became of the offsets of the topic `transactions`. */
export interface Accounts {
  readonly offsets: number
  readonly applied: number
  readonly rejected: number
  readonly duplicates: number
  readonly deadLetters: Readonly<Record<string, number>>
  /** 'partition:offset' without any fate. */
  readonly lost: readonly string[]
  /** 'partition:offset' with more than one. A conflict is a rejection and a dead letter by design. */
  readonly twice: readonly string[]
}

interface FateRow {
  partition: number
  first: bigint
  last: bigint
  fate: string
  reason: string | null
}

const FATES = `select partition, "offset" as first, "offset" as last, status as fate, reason from transaction_history
    where topic = 'transactions' and cause = 'transaction'
  union all
  select partition, coalesce(first_offset, "offset"), "offset", 'dead', reason from dead_letters where topic = 'transactions'`

export class HostileRun {
  readonly fixture: PipelineFixture
  readonly engines: Engines
  engine: Engine
  /** Resident memory of the engine: when it had done its first work, and the most that was seen since, MiB. */
  readonly memory = { baseMiB: 0, peakMiB: 0 }
  private sampler: NodeJS.Timeout | undefined

  private constructor(fixture: PipelineFixture, engines: Engines) {
    this.fixture = fixture
    this.engines = engines
    this.engine = engines.start()
  }

  /** Makes the ledger, starts the engine and opens alice (without a limit) and bob. */
  static async start(configuration: Configuration, options: HostileRunOptions = {}): Promise<HostileRun> {
    const run = new HostileRun(
      await PipelineFixture.create(configuration, Date.now()),
      new Engines({
        configuration: options.engineConfiguration ?? configuration,
        keptUp: 'none',
        environment: { ...ENVIRONMENT, ...options.environment },
      }),
    )
    try {
      await run.fixture.publishValues('accounts', [
        accountValue(accountChange({ accountId: 'alice', limited: false })),
        accountValue(accountChange({ accountId: 'bob', limited: false })),
      ])
      await run.untilApplied(options.startTimeoutMs ?? START_TIMEOUT_MS)
      await run.watchMemory()
      return run
    } catch (error) {
      await run.close()
      throw error
    }
  }

  private async watchMemory(): Promise<void> {
    this.memory.baseMiB = Math.round((await residentBytes(this.engine.pid))! / MEBIBYTE)
    const sample = async () => {
      const bytes = await residentBytes(this.engine.pid)
      if (bytes !== null) this.memory.peakMiB = Math.max(this.memory.peakMiB, Math.round(bytes / MEBIBYTE))
    }
    await sample()
    this.sampler = setInterval(() => void sample(), SAMPLE_EVERY_MS)
  }

  /** Records of each ingest partition that aren't applied yet; those that have some. */
  async lags(): Promise<Record<string, number>> {
    const rows = await this.fixture.ledger.rows<{ topic: string; partition: number; next_offset: bigint }>(
      'select topic, partition, next_offset from ingest_offsets',
    )
    const next = new Map(rows.map((row) => [`${row.topic}:${row.partition}`, row.next_offset]))
    const lags: Record<string, number> = {}
    for (const topic of INGEST_TOPICS) {
      // Ticks never end.
      if (topic.name === 'ticks') continue
      for (const { partition, end } of await this.fixture.admin.ranges(this.fixture.topic(topic.name))) {
        const name = `${topic.name}:${partition}`
        const lag = end - (next.get(name) ?? 0n)
        if (lag > 0n) lags[name] = Number(lag)
      }
    }
    return lags
  }

  /** Waits until everything sent so far is applied. @throws Error where that takes too long or the engine ended */
  async untilApplied(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs
    for (;;) {
      const lags = await this.lags()
      if (Object.keys(lags).length === 0) return
      const said = this.engine.lines.slice(-10).join('\n')
      if (this.engine.state === 'ended') throw new Error(`the engine has ended:\n${said}`)
      if (Date.now() > deadline)
        throw new Error(
          `not applied after ${timeoutMs} ms: ${JSON.stringify(lags)}; the engine said:\n${said}`,
        )
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  /** Ends the engine in order, does something, and starts another. */
  async withoutEngine(act: () => Promise<void>): Promise<void> {
    await this.engines.stop(this.engine)
    await act()
    this.engine = this.engines.start()
  }

  /** A page of the engine's own server, /health/ready or /metrics; null while there is none. */
  async get(path: string): Promise<{ status: number; text: string } | null> {
    const urls = this.engine.lines.map((line) => /"url":"([^"]+)","msg":"metrics and health"/.exec(line)?.[1])
    const url = urls.find((found) => found !== undefined)
    if (url === undefined) return null
    const reply = await fetch(`${url}${path}`, { signal: AbortSignal.timeout(10_000) })
    return { status: reply.status, text: await reply.text() }
  }

  /** What a command of the product answers with --json. @throws Error where it ends with another exit code than 0 */
  async command(words: readonly string[]): Promise<unknown> {
    const main = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))
    const { kafka, schemaRegistry, postgres, redis, ledger } = this.fixture.ledger.configuration
    const env = {
      ...processEnvironment(),
      LEDGER: ledger.name,
      KAFKA_BROKERS: kafka.brokers.join(','),
      SCHEMA_REGISTRY_URL: schemaRegistry.url,
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url,
      LOG_LEVEL: 'warn',
    }
    const { stdout } = await promisify(execFile)(process.execPath, [main, ...words, '--json'], { env })
    return JSON.parse(stdout)
  }

  /** What became of every offset of `transactions`. */
  async accountFor(): Promise<Accounts> {
    const rows = await this.fixture.ledger.rows<FateRow>(FATES)
    const fates = new Map<string, string[]>()
    const counts: Record<string, number> = {}
    const deadLetters: Record<string, number> = {}
    for (const { partition, first, last, fate, reason } of rows) {
      if (fate === 'dead') deadLetters[reason!] = (deadLetters[reason!] ?? 0) + Number(last - first) + 1
      else counts[fate] = (counts[fate] ?? 0) + 1
      // A conflict's dead letter keeps the content of what was rejected.
      if (fate === 'dead' && reason === 'id_conflict') continue
      for (let offset = first; offset <= last; offset += 1n) {
        const name = `${partition}:${offset}`
        fates.set(name, [...(fates.get(name) ?? []), fate])
      }
    }
    const lost: string[] = []
    let offsets = 0
    for (const { partition, end } of await this.fixture.admin.ranges(this.fixture.topic('transactions'))) {
      offsets += Number(end)
      for (let offset = 0n; offset < end; offset += 1n)
        if (!fates.has(`${partition}:${offset}`)) lost.push(`${partition}:${offset}`)
    }
    const { rejected = 0, duplicate = 0, ...others } = counts
    return {
      offsets,
      applied: Object.values(others).reduce((sum, count) => sum + count, 0),
      rejected,
      duplicates: duplicate,
      deadLetters,
      lost,
      twice: [...fates].filter(([, found]) => found.length > 1).map(([name]) => name),
    }
  }

  /** Ends the engine and removes the ledger. */
  async close(): Promise<void> {
    clearInterval(this.sampler)
    await this.engines.close()
    await this.fixture.close()
  }
}
