/** A small ledger beside the run's own: one process, no proxies, a Postgres that may be stopped and swapped. */
import { randomBytes } from 'node:crypto'
import type { RunningStack } from '#infra/local/stack.ts'
import type { StackEndpoints } from '#infra/local/state.ts'
import { type Configuration, resolveConfiguration } from '#platform/config/configuration.ts'
import { OperatingError } from '#platform/errors.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { type Engine, Engines } from '../engines.ts'
import type { Findings } from '../findings.ts'
import { isDrained, makeLedger, waitFor } from '../ledger.ts'
import { Load } from '../load.ts'
import type { SeededRandom } from '../seeded-random.ts'

/** What a scenario works with. */
export interface SideContext {
  /** The run's services, of which broker, registry and Redis are used. */
  readonly endpoints: StackEndpoints
  /** Holds the side ledgers' Postgres. */
  readonly side: RunningStack
  readonly random: SeededRandom
  readonly findings: Findings
  readonly logFolder?: string | undefined
  readonly onProgress: (message: string) => void
}

const ACCOUNTS = 30
/** The run around it may just have killed the broker: patience, not haste. */
const PATIENCE_MS = 90_000
const INCIDENT_WAIT_MS = 60_000
const ATTEMPTS_MAX = 6

export class SideLedger {
  readonly configuration: Configuration
  readonly pool: ReadPool
  readonly engines: Engines
  readonly load: Load
  readonly admin: KafkaAdmin
  readonly ends = new Map<string, bigint>()
  readonly #name: string
  readonly #findings: Findings

  private constructor(name: string, configuration: Configuration, load: Load, context: SideContext) {
    this.#name = name
    this.#findings = context.findings
    this.configuration = configuration
    this.load = load
    this.pool = makePool({ ...configuration.postgres, applicationName: 'faults side', connectionsMax: 2 })
    // The run's own faults go on meanwhile: a process that finds a service away is started again, as by whoever runs processes.
    this.engines = new Engines({
      configuration,
      logFolder: context.logFolder,
      keptUp: 'could not start',
      restartsMax: ATTEMPTS_MAX,
    })
    this.admin = new KafkaAdmin(makeKafka(configuration.kafka, { clientId: 'faults-side' }), {
      timeoutMs: 30_000,
    })
  }

  /** A ledger with open accounts and a process at work on it. @param name of the scenario, for people */
  static async start(name: string, context: SideContext): Promise<SideLedger> {
    const configuration = resolveConfiguration(
      { LEDGER: `side_${randomBytes(4).toString('hex')}`, LOG_LEVEL: 'warn' },
      { localEndpoints: { ...context.endpoints, databaseUrl: context.side.endpoints.databaseUrl! } },
    )
    await patiently(() => makeLedger(configuration))
    const load = await patiently(() =>
      Load.prepare({ configuration, accounts: ACCOUNTS, random: context.random }),
    )
    const ledger = new SideLedger(name, configuration, load, context)
    try {
      for (const [place, end] of await patiently(() => load.prepareLedger())) ledger.ends.set(place, end)
      ledger.startEngine()
      await ledger.drained()
      return ledger
    } catch (error) {
      await ledger.close()
      throw error
    }
  }

  /** Starts a process, straight at the services. @param roles all unless told */
  startEngine(roles?: string): Engine {
    return this.engines.start(roles === undefined ? {} : { roles })
  }

  /** Sends transactions and waits until the broker has them. */
  async send(count: number): Promise<void> {
    this.load.send(count)
    await this.load.flush()
    for (const [place, end] of this.load.ends()) this.ends.set(place, end)
  }

  /** Waits until everything sent is applied and published. @throws OperatingError `faults_stuck` */
  async drained(): Promise<void> {
    if (await waitFor(() => isDrained(this.pool, this.ends), PATIENCE_MS)) return
    const said = this.engines.all.flatMap(({ name, lines }) => [`${name}:`, ...lines.slice(-5)]).join('\n')
    throw new OperatingError('faults_stuck', `${this.#name}: the side ledger got stuck\n${said}`)
  }

  /** Checks that a process reports an incident of one of these codes. */
  async expectIncident(engine: Engine, codes: readonly string[]): Promise<void> {
    const isReported = await waitFor(
      () => this.engines.inForce(engine).incidents.some((code) => codes.includes(code)),
      INCIDENT_WAIT_MS,
    )
    this.#findings.check('an incident is reported', isReported, () => {
      const { incidents, lines } = this.engines.inForce(engine)
      const found = incidents.join(', ') || 'none'
      return `${this.#name}: expected ${codes.join(' or ')}, found ${found}; ${lines.at(-1)}`
    })
  }

  async stopEngines(): Promise<void> {
    await this.engines.stopAll()
  }

  async close(): Promise<void> {
    await this.engines.close()
    await this.load.close()
    await this.admin.close()
    await this.pool.close()
  }
}

/** Set-up meets the run's faults too: a broker or registry that is just being restarted is waited for. */
const patiently = async <Result>(work: () => Promise<Result>): Promise<Result> => {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      if (attempt === ATTEMPTS_MAX) throw error
      await new Promise((resolve) => setTimeout(resolve, 1_000 * attempt))
    }
  }
}
