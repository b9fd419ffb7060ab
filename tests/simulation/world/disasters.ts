/**
 * What no engine may mend by itself: at the end of most runs the world becomes another one than the ledger knows. The engines are all
 * down meanwhile, unless a topic is made anew while they read it; they must stop where it is wrong, say so, and go on everywhere else.
 */
import { Violation } from '../oracle/violation.ts'
import { type OffsetRow, offsetKey } from '../postgres/tables.ts'
import type { Situation } from '../scheduler/situations.ts'
import { TOPIC_PREFIX } from './services.ts'
import type { World } from './world.ts'

export interface Disaster {
  readonly situation: Situation
  /** 'topic:partition' of all that nobody may read on. */
  readonly stopped: readonly string[]
  /** The code of the incident that must be told; null = none may be. */
  readonly incident: RegExp | null
  /** Whether nothing may be decided or published any more. */
  readonly stopsAll: boolean
}

/** So long nothing may happen where everything has to stand still, virtual ms. */
const STANDSTILL_MS = 20_000
/** What was sent before the engines ended has arrived by then, virtual ms. */
const SETTLING_MS = 5_000
/** So long the engines may take until all that was sent is decided, virtual ms. */
const CATCHING_UP_MS = 30_000
const KINDS = ['retention', 'made anew', 'behind', 'unpublished lost', 'none'] as const

const PARTITIONS = 3

/** The position of a partition of transactions; undefined where nobody has taken it so far. */
const offsetOf = ({ services }: World, partition: number) =>
  services.database.tables.offsets.get(offsetKey('local', 'transactions', partition))

/** A partition of transactions that was read, stopped for the oracle too. */
const stopPartition = (
  world: World,
  isFit: (row: OffsetRow) => boolean,
): { partition: number; name: string; position: bigint } | null => {
  const { commits, scheduler } = world
  const partition = scheduler.random.int(0, PARTITIONS - 1)
  const row = offsetOf(world, partition)
  if (row === undefined || !isFit(row)) return null
  const name = `transactions:${partition}`
  commits.stopped.add(name)
  return { partition, name, position: row.nextOffset }
}

const retention = (world: World): Disaster | null => {
  const found = stopPartition(world, ({ lastOffset }) => lastOffset !== null)
  if (found === null) return null
  const log = world.services.broker.log(`${TOPIC_PREFIX}transactions`, found.partition)!
  const start = found.position + BigInt(world.scheduler.random.int(1, 5))
  while (log.end < start) world.workload.writePayments(found.partition, 1)
  log.deleteBelow(start)
  return {
    situation: 'retention passed the position',
    stopped: [found.name],
    incident: /^position_out_of_range$/,
    stopsAll: false,
  }
}

const madeAnew = (world: World): Disaster | null => {
  const found = stopPartition(world, () => true)
  if (found === null) return null
  const { commits } = world
  world.services.broker.recreate(`${TOPIC_PREFIX}transactions`, found.partition)
  commits.ingested.forget(found.name)
  // Of the others those go on of which an applied record is there again; where there is none, nothing shows that the log is the same.
  for (let partition = 0; partition < PARTITIONS; partition += 1) {
    if (offsetOf(world, partition)?.lastOffset !== null) continue
    world.scheduler.happened('topic made anew of which a partition was not read')
    commits.stopped.add(`transactions:${partition}`)
    world.workload.writePayments(partition, 3)
  }
  // Shorter than what was read, or longer: then only the last applied record shows that it is another one.
  const { random } = world.scheduler
  world.workload.writePayments(
    found.partition,
    random.chance(0.5) ? random.int(0, 3) : Number(found.position) + 3,
  )
  return {
    situation: 'topic made anew',
    stopped: [...commits.stopped],
    incident: /^(position_out_of_range|topic_recreated)$/,
    stopsAll: false,
  }
}

/** Back to a batch. What that means depends on what was published. */
const restored = (world: World, target: bigint): Disaster | null => {
  const { services, commits, outputs, cache } = world
  const before = commits.sequence
  services.database.restore(target)
  const head = services.database.tables.head.get('head')!
  if (head.sequence < before) commits.restored(head.sequence, head.rulesVersion)
  cache.restored(head.timeline)
  if (head.sequence === before) return null
  const isBehind = head.sequence < outputs.position
  return {
    situation: isBehind
      ? 'database restored behind what was published'
      : 'database restored, unpublished batches lost',
    stopped: [],
    incident: isBehind ? /^database_behind_published$/ : null,
    stopsAll: isBehind,
  }
}

const strike = (world: World, kind: (typeof KINDS)[number]): Disaster | null => {
  const { random } = world.scheduler
  const published = Number(world.outputs.position)
  if (kind === 'retention') return retention(world)
  if (kind === 'made anew') return madeAnew(world)
  if (kind === 'behind') {
    return published === 0 ? null : restored(world, BigInt(Math.max(0, published - random.int(1, 10))))
  }
  const last = Number(world.commits.sequence) - 1
  return last < published ? null : restored(world, BigInt(random.int(published, last)))
}

/** Whether nothing of the transactions is under way. */
const isAllDecided = ({ commits }: World): boolean =>
  !commits.ingested.undecided().some((name) => name.startsWith('transactions'))

/** Which one is the seed's: all of them come in turn. */
export const strikeDisaster = async (world: World, seed: number): Promise<Disaster | null> => {
  const kind = KINDS[seed % KINDS.length]!
  if (kind === 'none') return null
  const { scheduler, services } = world
  const until = scheduler.nowMs + CATCHING_UP_MS
  const pass = (ms: number): Promise<void> => {
    const until = scheduler.nowMs + ms
    return scheduler.run(() => world.failure !== null || scheduler.nowMs >= until)
  }
  if (kind === 'unpublished lost') {
    services.broker.isUp = false
    await pass(scheduler.random.int(50, 500))
  }
  // A topic may be made anew before the very eyes of those who read it.
  const isRunning = kind === 'made anew' && Math.floor(seed / KINDS.length) % 2 === 0
  if (isRunning)
    await scheduler.run(() => world.failure !== null || scheduler.nowMs >= until || isAllDecided(world))
  if (!isRunning || !isAllDecided(world)) world.stopAll()
  services.broker.isUp = true
  await pass(SETTLING_MS)
  const disaster = world.failure === null ? strike(world, kind) : null
  if (disaster !== null) {
    scheduler.happened(disaster.situation)
    scheduler.note(`disaster: ${disaster.situation}`)
  }
  if (!world.restartsEngines) world.startAll()
  return disaster
}

/** Everything stands still, for long enough to see it. */
export const expectStandstill = async (world: World): Promise<void> => {
  const { scheduler, commits, outputs } = world
  const [sequence, position, until] = [commits.sequence, outputs.position, scheduler.nowMs + STANDSTILL_MS]
  await scheduler.run(() => world.failure !== null || scheduler.nowMs >= until)
  if (world.failure !== null || (commits.sequence === sequence && outputs.position === position)) return
  throw new Violation(
    'nobody goes on with a database that lacks what was published',
    `batches ${sequence} → ${commits.sequence}, published ${position} → ${outputs.position}`,
  )
}

/** The incidents of a run are those of its disaster, and no others. */
export const checkIncidents = (world: World, disaster: Disaster | null): void => {
  const { incident = null, stopped = [] } = disaster ?? {}
  const isExpected = ({ code, message }: { code: string; message: string }): boolean =>
    incident?.test(code) === true &&
    (stopped.length === 0 || stopped.some((name) => message.startsWith(`${name}:`)))
  const others = world.incidents.filter((each) => !isExpected(each))
  if (others.length > 0) {
    throw new Violation('incidents only where something is wrong for good', JSON.stringify(others))
  }
  if (incident !== null && world.incidents.length === 0) {
    throw new Violation('what is wrong for good is told', disaster!.situation)
  }
}
