/** What goes wrong in a run, drawn from its seed: one thing after the other, often several at a time. */
import type { Situation } from '../scheduler/situations.ts'
import type { World } from './world.ts'

interface Fault {
  readonly name: Situation
  readonly weight: number
  strike(world: World): void
}

const anyEngine = (world: World): number => world.scheduler.random.int(0, world.engines.length - 1)

const FAULTS: readonly Fault[] = [
  { name: 'crash', weight: 10, strike: (world) => world.crash(anyEngine(world)) },
  { name: 'stop', weight: 3, strike: (world) => world.stopGently(anyEngine(world)) },
  {
    name: 'pause',
    weight: 10,
    strike: (world) => {
      const process = world.engines[anyEngine(world)]?.process
      if (process === undefined || process.paused) return
      process.pause()
      const { scheduler } = world
      scheduler.schedule(scheduler.random.skewed(20, 12_000), 'SIGCONT', null, () => process.resume())
    },
  },
  { name: 'cut', weight: 24, strike: (world) => world.engines[anyEngine(world)]?.cut() },
  { name: 'rebalance', weight: 8, strike: (world) => world.services.group.disturb() },
  {
    name: 'database outage',
    weight: 3,
    strike: (world) => {
      const { database } = world.services
      if (!database.isUp) return
      database.stop()
      later(world, 2_000, 'database is back', () => database.start())
    },
  },
  {
    name: 'broker outage',
    weight: 3,
    strike: (world) => {
      const { broker } = world.services
      broker.isUp = false
      later(world, 2_500, 'broker is back', () => {
        broker.isUp = true
      })
    },
  },
  {
    name: 'registry outage',
    weight: 1,
    strike: (world) => {
      world.odds.isRegistryUp = false
      later(world, 3_000, 'registry is back', () => {
        world.odds.isRegistryUp = true
      })
    },
  },
  {
    name: 'redis outage',
    weight: 4,
    strike: (world) => {
      const { cache } = world.services
      cache.isUp = false
      world.services.redisTrouble()
      if (world.scheduler.random.chance(0.5)) cache.flush()
      later(world, 3_000, 'redis is back', () => {
        world.services.redisTrouble()
        cache.isUp = true
      })
    },
  },
  {
    name: 'redis flush',
    weight: 5,
    strike: (world) => {
      world.services.redisTrouble()
      world.services.cache.flush()
    },
  },
  {
    name: 'redis failover',
    weight: 8,
    strike: (world) => {
      const fallBack = world.services.cache.snapshot()
      later(world, 3_000, 'redis fails over', () => {
        world.services.redisTrouble()
        fallBack()
      })
    },
  },
  { name: 'two batches were to break', weight: 12, strike: (world) => world.breakNextAhead() },
  {
    name: 'reader frozen',
    weight: 4,
    strike: (world) => world.readers.freeze(world.scheduler.random.int(20, 1_000)),
  },
  { name: 'reader cut', weight: 2, strike: (world) => world.readers.cut() },
]

/** In a run about the cache Redis fails so many times as often. */
const CACHE_FACTOR = 5

const later = (world: World, mostMs: number, label: string, run: () => void): void => {
  const { scheduler } = world
  scheduler.schedule(scheduler.random.skewed(50, mostMs), label, null, run)
}

/** Goes on until the run comes to rest. @param everyMs mean time between two */
export const startFaults = (world: World, everyMs: number): void => {
  const { scheduler, services } = world
  const weightOf = ({ name, weight }: Fault): number =>
    services.isAboutCache && /^re(dis|ader)/.test(name) ? weight * CACHE_FACTOR : weight
  const total = FAULTS.reduce((sum, fault) => sum + weightOf(fault), 0)
  const next = (): void => {
    scheduler.schedule(scheduler.random.next() * everyMs * 2, 'fault', null, () => {
      if (world.odds.isCalm) return
      let choice = scheduler.random.next() * total
      const fault = FAULTS.find((each) => {
        choice -= weightOf(each)
        return choice < 0
      })!
      scheduler.note(`fault: ${fault.name}`)
      scheduler.happened(fault.name)
      fault.strike(world)
      next()
    })
  }
  next()
}

/** So long after an outage the publisher has spoken to Redis again, virtual ms. */
const TOUCHED_MS = 2_500

/** Redis is away, or set back, while the last batches are published: what it missed must not be believed. */
export const lastCacheFault = async (world: World): Promise<void> => {
  const { scheduler, services } = world
  const pass = (ms: number): Promise<void> => {
    const until = scheduler.nowMs + ms
    return scheduler.run(() => world.failure !== null || scheduler.nowMs >= until)
  }
  services.redisTrouble()
  const fallBack = services.cache.snapshot()
  const isOutage = scheduler.random.chance(0.5)
  services.cache.isUp = !isOutage
  await pass(scheduler.random.int(50, 1_500))
  world.workload.isStopped = true
  await pass(scheduler.random.int(0, 1_500))
  if (!isOutage) fallBack()
  services.cache.isUp = true
  services.redisTrouble()
  // The publisher vouches for what is there again.
  await pass(TOUCHED_MS)
}

/** Everything is mended: what is left is only to finish the work. */
export const mendAll = (world: World): void => {
  const { services, odds } = world
  odds.isCalm = true
  odds.isRegistryUp = true
  services.database.start()
  services.broker.isUp = true
  services.cache.isUp = true
  for (const engine of world.engines) engine?.process.resume()
}
