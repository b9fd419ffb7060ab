/** Does what the plan says: finds who plays the role or waits for the exact moment, hits, and sees to what follows. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunningStack } from '#infra/local/stack.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { RedisClient } from '#platform/redis/client.ts'
import { pidOf } from './commit-log.ts'
import type { Engine, Engines } from './engines.ts'
import {
  describeFault,
  type Fault,
  type PlannedFault,
  type Role,
  type Scenario,
  type Service,
} from './fault-plan.ts'
import type { Findings } from './findings.ts'
import { POSTGRES_EVENTS } from './proxy/postgres-protocol.ts'
import { REDIS_EVENTS } from './proxy/redis-protocol.ts'
import type { Slot } from './slot.ts'
import type { Hit } from './takeover.ts'
import { catchOne, placeOfWindow } from './windows.ts'

/** What was done to whom. */
export interface DoneFault {
  readonly name: string
  /** As of `performance.now()`. */
  readonly atMs: number
  /** Which process or service, and what it was doing. */
  readonly target: string
  /** Where an owner was hit so that another had to take over. */
  readonly hit?: Hit
}

export interface InjectorContext {
  readonly engines: Engines
  readonly slots: readonly Slot[]
  readonly stack: RunningStack
  readonly pool: ReadPool
  /** Straight to Redis, for flushes. */
  readonly redis: RedisClient
  /** Name of the engines' Postgres sessions. */
  readonly sessionName: string
  readonly findings: Findings
  /** Plays a scenario on a side ledger, to its end. */
  playScenario(scenario: Scenario): Promise<void>
}

/** Longer than the lease, the group's session and Postgres' patience with an idle transaction: everything it had is taken. */
const ZOMBIE_SLEEP_MS = 4_000
/** How long an orderly end may take on a busy machine; the process itself is allowed 5 s. */
const STOP_LIMIT_MS = 10_000
const ROLE_WAIT_MS = 3_000
const WINDOW_WAIT_MS = 25_000
/** A commit that was on its way when its sender died may still be done. */
const LAST_COMMIT_MS = 1_000
/** Time for another publisher to take over and write newer balances before the held ones are let go. */
const LATE_WRITE_MS = 3_000
const DELAY_MS = { least: 20, most: 120 }

const SELECT_ROLE = {
  publisher: `select holder, 1::bigint as partitions from leases where name = 'publisher' and expires_at > now()`,
  processor: `select owner as holder, count(*) as partitions from ingest_offsets
    where topic = 'transactions' and owner <> '' group by owner order by count(*) desc`,
} as const

const STACK_NAMES = { broker: 'kafka', registry: 'registry', postgres: 'postgres', redis: 'redis' } as const

export class Injector {
  readonly #context: InjectorContext
  readonly done: DoneFault[] = []
  /** How long orderly ends took, ms. */
  readonly stopsMs: number[] = []
  /** Zombies that will wake up, processes that will be replaced, stops under way. */
  readonly #later: Promise<unknown>[] = []
  /** Scenarios on side ledgers, one after the other. */
  #side: Promise<void> = Promise.resolve()

  constructor(context: InjectorContext) {
    this.#context = context
  }

  /** Commits one fault; what follows from it later goes on by itself until `settle`. */
  async commit(planned: PlannedFault): Promise<DoneFault> {
    const done = await this.#commit(planned, planned.fault)
    this.done.push(done)
    return done
  }

  /** Asks a process to end, which it must do well and in time. */
  async stop(engine: Engine): Promise<void> {
    const { code, tookMs } = await this.#context.engines.stop(engine)
    const { findings } = this.#context
    this.stopsMs.push(tookMs)
    findings.same('a stop ends with exit code 0', engine.name, 0, code)
    findings.check('a stop is done in time', tookMs <= STOP_LIMIT_MS, () => `${engine.name}: ${tookMs} ms`)
  }

  /** Waits for what earlier faults left to happen. @throws where a side ledger could not be played */
  async settle(): Promise<void> {
    await Promise.all([...this.#later, this.#side])
  }

  #commit(planned: PlannedFault, fault: Fault): Promise<DoneFault> {
    switch (fault.kind) {
      case 'kill':
      case 'stop':
      case 'zombie':
        return this.#hitRole(planned, fault)
      case 'end sessions':
        return this.#endSessions(fault)
      case 'kill service':
        return this.#killService(fault, fault.service, fault.downMs)
      case 'cut':
      case 'stall':
      case 'delay':
        return this.#disturb(fault)
      case 'crash window':
        return this.#crashInWindow(planned, fault)
      case 'zombie with the head':
        return this.#freezeWithHead(fault)
      case 'late Redis write':
        return this.#writeLate(planned, fault)
      case 'side ledger':
        this.#side = this.#side.then(() => this.#context.playScenario(fault.scenario))
        // Awaited by `settle`; failing before that it must not end the process.
        this.#side.catch(() => undefined)
        return Promise.resolve(this.#note(fault, 'a ledger of its own'))
      default:
        throw new Error(`unknown fault ${JSON.stringify(fault satisfies never)}`)
    }
  }

  async #hitRole(
    planned: PlannedFault,
    fault: Fault & { kind: 'kill' | 'stop' | 'zombie' },
  ): Promise<DoneFault> {
    const { engine, doing } = await this.#whoPlays(fault.role)
    const atMs = Date.now()
    const target = `${engine.name}, ${doing}`
    if (fault.kind === 'zombie') {
      this.#freeze(engine)
      return this.#note(fault, target, { pid: engine.pid, atMs, outMs: atMs + LAST_COMMIT_MS })
    }
    if (fault.kind === 'kill') this.#context.engines.killNow(engine)
    else await this.stop(engine)
    const outMs = fault.kind === 'kill' ? atMs + LAST_COMMIT_MS : Date.now()
    this.#replaceLater(planned, engine)
    return this.#note(fault, target, { pid: engine.pid, atMs, outMs })
  }

  #freeze(engine: Engine): void {
    const { engines } = this.#context
    engines.pause(engine)
    this.#later.push(sleep(ZOMBIE_SLEEP_MS).then(() => engines.wake(engine)))
  }

  #replaceLater({ replaceAfterMs }: PlannedFault, engine: Engine): void {
    const replace = async () => {
      await engine.ended
      await sleep(replaceAfterMs)
      const { slot } = engine
      if (slot?.engine === engine) this.#context.engines.start({ slot })
    }
    this.#later.push(replace())
  }

  async #endSessions(fault: Fault): Promise<DoneFault> {
    const [row] = await this.#context.pool.query<{ ended: bigint }>(
      {
        text: 'select count(pg_terminate_backend(pid)) as ended from pg_stat_activity where application_name = $1',
      },
      [this.#context.sessionName],
    )
    const ended = row?.ended ?? 0n
    this.#context.findings.check('every fault met its moment', ended > 0n, () => 'no session to be ended')
    return this.#note(fault, `${ended} sessions`)
  }

  async #killService(fault: Fault, service: Service, downMs: number): Promise<DoneFault> {
    const running = this.#context.stack.service(STACK_NAMES[service])
    const wasThere = running.kill('SIGKILL')
    this.#context.findings.check('every fault met its moment', wasThere, () => `${service} wasn't running`)
    await sleep(downMs)
    await running.restart()
    return this.#note(fault, service)
  }

  async #disturb(fault: Fault & { kind: 'cut' | 'stall' | 'delay' }): Promise<DoneFault> {
    const { slots } = this.#context
    const role: Role = fault.link === 'postgres' ? 'processor' : 'publisher'
    const hit = fault.everywhere ? [...slots] : [(await this.#whoPlays(role)).engine.slot ?? slots[0]!]
    const proxies = hit.map((slot) => slot.proxies[fault.link])
    const connections = proxies.reduce((sum, proxy) => sum + proxy.connections, 0)
    const target = `${connections} connections of ${hit.map((slot) => slot.engine?.name).join(', ')}`
    if (fault.kind === 'cut') {
      for (const proxy of proxies) proxy.cutAll()
      return this.#note(fault, target)
    }
    for (const proxy of proxies) {
      if (fault.kind === 'stall') proxy.stall()
      else proxy.delayMs = DELAY_MS.least + (fault.forMs % (DELAY_MS.most - DELAY_MS.least))
    }
    const end = async () => {
      await sleep(fault.forMs)
      for (const proxy of proxies) {
        if (fault.kind === 'stall') proxy.resume()
        else proxy.delayMs = 0
      }
    }
    this.#later.push(end())
    return this.#note(fault, target)
  }

  async #crashInWindow(planned: PlannedFault, fault: Fault & { kind: 'crash window' }): Promise<DoneFault> {
    const { engines, slots } = this.#context
    let victim: Engine | undefined
    let atMs = 0
    const caught = await catchOne(slots, placeOfWindow(fault.window, fault.by), {
      timeoutMs: WINDOW_WAIT_MS,
      spring: ({ slot, connection }) => {
        atMs = Date.now()
        victim = slot.engine
        if (fault.by === 'kill' && victim !== undefined) engines.killNow(victim)
        connection.cut()
        return 'swallow'
      },
    })
    this.#expectCaught(fault, caught !== undefined)
    if (victim === undefined) return this.#note(fault, 'nobody')
    if (fault.by === 'cut') return this.#note(fault, victim.name)
    this.#replaceLater(planned, victim)
    return this.#note(fault, victim.name, { pid: victim.pid, atMs, outMs: atMs + LAST_COMMIT_MS })
  }

  async #freezeWithHead(fault: Fault): Promise<DoneFault> {
    let victim: Engine | undefined
    let atMs = 0
    const caught = await catchOne(
      this.#context.slots,
      { service: 'postgres', event: POSTGRES_EVENTS.headLocked },
      {
        timeoutMs: WINDOW_WAIT_MS,
        spring: ({ slot }) => {
          atMs = Date.now()
          victim = slot.engine
          if (victim !== undefined) this.#freeze(victim)
          return 'forward'
        },
      },
    )
    this.#expectCaught(fault, caught !== undefined)
    if (victim === undefined) return this.#note(fault, 'nobody')
    return this.#note(fault, victim.name, { pid: victim.pid, atMs, outMs: atMs + LAST_COMMIT_MS })
  }

  async #writeLate(planned: PlannedFault, fault: Fault & { kind: 'late Redis write' }): Promise<DoneFault> {
    const { engines, slots, redis } = this.#context
    let victim: Engine | undefined
    let atMs = 0
    const caught = await catchOne(
      slots,
      { service: 'redis', event: REDIS_EVENTS.balancesSent },
      {
        timeoutMs: WINDOW_WAIT_MS,
        spring: ({ slot, connection }) => {
          atMs = Date.now()
          victim = slot.engine
          connection.holdToServer()
          if (fault.by === 'kill' && victim !== undefined) engines.killNow(victim)
          else setTimeout(() => connection.abandonClient(), 5)
          return 'forward'
        },
      },
    )
    this.#expectCaught(fault, caught !== undefined)
    if (victim === undefined || caught === undefined) return this.#note(fault, 'nobody')
    const deliver = async () => {
      await sleep(LATE_WRITE_MS)
      if (fault.flush) await redis.flushall().catch(() => undefined)
      caught.connection.deliverHeld()
    }
    this.#later.push(deliver())
    if (fault.by === 'cut') return this.#note(fault, victim.name)
    this.#replaceLater(planned, victim)
    return this.#note(fault, victim.name, { pid: victim.pid, atMs, outMs: atMs + LAST_COMMIT_MS })
  }

  #expectCaught(fault: Fault, isCaught: boolean): void {
    this.#context.findings.check(
      'every fault met its moment',
      isCaught,
      () => `${describeFault(fault)}: not within ${WINDOW_WAIT_MS} ms`,
    )
  }

  #note(fault: Fault, target: string, hit?: Hit): DoneFault {
    const done = { name: describeFault(fault), atMs: performance.now(), target }
    return hit === undefined ? done : { ...done, hit }
  }

  /** A running process in the role; when nobody is in it for some time (they are just changing), any that runs. */
  async #whoPlays(role: Role): Promise<{ engine: Engine; doing: string }> {
    const deadline = performance.now() + ROLE_WAIT_MS
    for (;;) {
      const rows = await this.#context.pool
        .query<{ holder: string; partitions: bigint }>({ text: SELECT_ROLE[role] })
        .catch(() => [])
      for (const { holder, partitions } of rows) {
        const engine = this.#context.engines.byPid(pidOf(holder) ?? -1)
        if (engine?.state !== 'running') continue
        return { engine, doing: role === 'publisher' ? 'publishing' : `with ${partitions} partitions` }
      }
      const [engine] = this.#context.engines.running
      if (engine !== undefined && performance.now() > deadline) return { engine, doing: 'between roles' }
      await sleep(50)
    }
  }
}
