/** Does to the engines what the plan says: finds the process that plays the role, hits it, and sees to its replacement. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { Engine, Engines } from './engines.ts'
import type { PlannedFault, Role } from './fault-plan.ts'
import type { Findings } from './findings.ts'

/** What was done to whom. */
export interface DoneFault {
  readonly kind: PlannedFault['kind']
  readonly role: Role
  /** As of `performance.now()`. */
  readonly atMs: number
  /** Which process, and what it was doing. */
  readonly target: string
}

export interface FaultContext {
  readonly engines: Engines
  readonly pool: ReadPool
  /** Name of the engines' Postgres sessions. */
  readonly sessionName: string
  readonly findings: Findings
}

/** Longer than the lease, the group's session and Postgres' patience with an idle transaction: everything it had is taken. */
const ZOMBIE_SLEEP_MS = 4_000
/** How long an orderly end may take; the process itself is allowed 5 s. */
const STOP_LIMIT_MS = 6_000
const ROLE_WAIT_MS = 2_000

const SELECT_ROLE = {
  publisher: `select holder, 1::bigint as partitions from leases where name = 'publisher' and expires_at > now()`,
  processor: `select owner as holder, count(*) as partitions from ingest_offsets
    where topic = 'transactions' and owner <> '' group by owner order by count(*) desc`,
} as const

/** A holder is `host:pid:start`. */
const pidOf = (holder: string): number => Number(holder.split(':').at(-2))

export class Faults {
  readonly #context: FaultContext
  readonly done: DoneFault[] = []
  /** How long orderly ends took, ms. */
  readonly stopsMs: number[] = []
  /** Zombies that will wake up, processes that will be replaced, stops under way. */
  readonly #later: Promise<unknown>[] = []

  constructor(context: FaultContext) {
    this.#context = context
  }

  /** Commits one fault; what follows from it later goes on by itself until `settle`. */
  async commit(fault: PlannedFault): Promise<void> {
    if (fault.kind === 'end-sessions') {
      const [row] = await this.#context.pool.query<{ ended: bigint }>(
        {
          text: 'select count(pg_terminate_backend(pid)) as ended from pg_stat_activity where application_name = $1',
        },
        [this.#context.sessionName],
      )
      this.#note(fault, `${row?.ended} sessions`)
      this.#context.findings.check('sessions were there to be ended', (row?.ended ?? 0n) > 0n, () => 'none')
      return
    }
    const { engine, doing } = await this.#whoPlays(fault.role)
    this.#note(fault, `${engine.name}, ${doing}`)
    const { engines } = this.#context
    if (fault.kind === 'zombie') {
      engines.pause(engine)
      this.#later.push(sleep(ZOMBIE_SLEEP_MS).then(() => engines.wake(engine)))
      return
    }
    if (fault.kind === 'kill') await engines.kill(engine)
    else this.#later.push(this.#stop(engine))
    this.#later.push(sleep(fault.replaceAfterMs).then(() => engines.start()))
  }

  /** Asks a process to end, which it must do well and in time. */
  async stop(engine: Engine): Promise<void> {
    await this.#stop(engine)
  }

  /** Waits for what earlier faults left to happen. */
  async settle(): Promise<void> {
    await Promise.all(this.#later)
  }

  async #stop(engine: Engine): Promise<void> {
    const { code, tookMs } = await this.#context.engines.stop(engine)
    const { findings } = this.#context
    this.stopsMs.push(tookMs)
    findings.same('a stop ends with exit code 0', engine.name, 0, code)
    findings.check('a stop is done in time', tookMs <= STOP_LIMIT_MS, () => `${engine.name}: ${tookMs} ms`)
  }

  #note({ kind, role }: PlannedFault, target: string): void {
    this.done.push({ kind, role, atMs: performance.now(), target })
  }

  /** A running process in the role; when nobody is in it for some time (they are just changing), any that runs. */
  async #whoPlays(role: Role): Promise<{ engine: Engine; doing: string }> {
    const deadline = performance.now() + ROLE_WAIT_MS
    for (;;) {
      const rows = await this.#context.pool.query<{ holder: string; partitions: bigint }>({
        text: SELECT_ROLE[role],
      })
      for (const { holder, partitions } of rows) {
        const engine = this.#context.engines.byPid(pidOf(holder))
        if (engine?.state !== 'running') continue
        return { engine, doing: role === 'publisher' ? 'publishing' : `with ${partitions} partitions` }
      }
      const [engine] = this.#context.engines.running
      if (engine !== undefined && performance.now() > deadline) return { engine, doing: 'between roles' }
      await sleep(50)
    }
  }
}
