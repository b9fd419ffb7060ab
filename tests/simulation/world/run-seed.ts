/** Runs one seed: a time of faults, then rest until all is done, then the last checks. */

import { Violation } from '../oracle/violation.ts'
import { replaceGlobals } from '../scheduler/globals.ts'
import { Scheduler } from '../scheduler/scheduler.ts'
import { checkIncidents, type Disaster, expectStandstill, strikeDisaster } from './disasters.ts'
import { lastCacheFault, mendAll, startFaults } from './faults.ts'
import { CACHE_STATE_KEY, LEDGER } from './services.ts'
import { World } from './world.ts'

export interface RunOptions {
  readonly seed: number
  /** Steps with faults; coming to rest takes some more. */
  readonly steps: number
  readonly onTrace?: (line: string) => void
}

export interface RunResult {
  readonly seed: number
  readonly steps: number
  /** Of everything that happened. */
  readonly hash: string
  /** What was found; null = all held. */
  readonly failure: {
    readonly check: string
    readonly message: string
    readonly lately: readonly string[]
  } | null
  readonly counts: Readonly<Record<string, number>>
  /** How often each thing happened that a run is there for. */
  readonly situations: Readonly<Record<string, number>>
}

/** Coming to rest: virtual time and steps that are enough for any backlog. */
const REST_MAX = { ms: 120_000, steps: 150_000 }

export const runSeed = async (options: RunOptions): Promise<RunResult> => {
  const scheduler = new Scheduler(options.seed)
  if (options.onTrace !== undefined) scheduler.onTrace = options.onTrace
  const restore = replaceGlobals(scheduler)
  const world = new World(scheduler)
  const onUnhandled = (error: unknown): void => world.fail(error)
  process.on('unhandledRejection', onUnhandled)
  let lately: string[] = []
  try {
    startFaults(world, scheduler.random.pick([120, 400, 1_000, 2_500, 8_000]))
    await scheduler.run(() => world.failure !== null || scheduler.steps >= options.steps)
    const disaster = world.failure === null ? await endOfFaults(world, options.seed) : null
    if (world.failure === null && disaster?.stopsAll === true) await expectStandstill(world)
    else if (world.failure === null) await comeToRest(world, disaster)
    if (world.failure === null) checkEnd(world, disaster)
  } catch (error) {
    world.fail(error)
  } finally {
    lately = scheduler.lately()
    process.off('unhandledRejection', onUnhandled)
    restore()
  }
  const { failure } = world
  return {
    seed: options.seed,
    steps: scheduler.steps,
    hash: (scheduler.hash >>> 0).toString(16).padStart(8, '0'),
    failure:
      failure === null
        ? null
        : {
            check: failure instanceof Violation ? failure.check : 'no error but those of operation',
            message: failure instanceof Violation ? failure.message : (failure.stack ?? String(failure)),
            lately,
          },
    counts: {
      written: world.workload.written,
      decided: world.commits.decided,
      batches: Number(world.commits.sequence),
      messages: world.outputs.messages,
      crashes: world.crashes,
      incidents: world.incidents.length,
      answers: world.cache.answers,
      cachedAnswers: world.cache.cachedAnswers,
      virtualSeconds: Math.round(scheduler.nowMs / 1_000),
    },
    situations: Object.fromEntries(scheduler.situations),
  }
}

/** What goes wrong by chance is over; then what is wrong for good. */
const endOfFaults = async (world: World, seed: number): Promise<Disaster | null> => {
  mendAll(world)
  if (world.services.isAboutCache) await lastCacheFault(world)
  world.workload.isStopped = true
  return await strikeDisaster(world, seed)
}

const comeToRest = async (world: World, disaster: Disaster | null): Promise<void> => {
  const { scheduler, commits, outputs } = world
  const isIncidentDue = (): boolean => disaster?.incident != null && world.incidents.length === 0
  const until = { ms: scheduler.nowMs + REST_MAX.ms, steps: scheduler.steps + REST_MAX.steps }
  let isDone = false
  let nextLook = 0
  await scheduler.run(() => {
    if (world.failure !== null) return true
    if (scheduler.nowMs > until.ms || scheduler.steps > until.steps) return true
    if (scheduler.nowMs < nextLook) return false
    nextLook = scheduler.nowMs + 100
    const waiting = commits.ingested
      .undecided()
      .filter((name) => !name.startsWith('ticks') && disaster?.stopped.includes(name) !== true)
    isDone = waiting.length === 0 && outputs.position === commits.sequence && !isIncidentDue()
    return isDone
  })
  if (world.failure !== null || isDone) return
  const waiting = commits.ingested.undecided().join(', ')
  throw new Violation(
    'the work is finished in time',
    `undecided: ${waiting}; published ${outputs.position} of ${commits.sequence}`,
  )
}

const checkEnd = (world: World, disaster: Disaster | null): void => {
  const { commits, services } = world
  const { tables } = services.database
  for (const [id, wanted] of commits.model.accounts) {
    const row = tables.accounts.get(id)
    if (row?.posted === wanted.posted && row.reserved === wanted.reserved) continue
    throw new Violation('balances equal the model at the end', id)
  }
  const state = services.cache.get(CACHE_STATE_KEY)
  const generation = state?.split('|')[0]
  for (const [key, value] of services.cache.all()) {
    const start = `${LEDGER}:{${LEDGER}}:b:${generation}:`
    if (key.startsWith(start)) world.cache.checkHeld(key.slice(start.length), value)
  }
  checkIncidents(world, disaster)
}
