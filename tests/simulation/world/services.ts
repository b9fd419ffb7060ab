/** The simulated services of one run, and the names that everybody uses for them. */
import { UnreachableError } from '#platform/errors.ts'
import { Broker } from '../kafka/broker.ts'
import type { KafkaPlace } from '../kafka/connection.ts'
import { ConsumerGroup } from '../kafka/groups.ts'
import type { PgPlace } from '../postgres/client.ts'
import { PgServer } from '../postgres/server.ts'
import { statementOf } from '../postgres/statements.ts'
import type { RedisPlace } from '../redis/client.ts'
import { RedisServer } from '../redis/server.ts'
import type { NetworkWeather } from '../scheduler/link.ts'
import { type Scheduler, type SimulatedProcess, START_MS } from '../scheduler/scheduler.ts'

export const LEDGER = 'simulated'
export const TOPIC_PREFIX = 'simulated.'
/** Added to a schema's id: what another program registered, which the engine must ask the registry for. */
export const OTHER_WRITERS = 1_000

/** The ingest topics with their partitions: few, so that they are busy. */
const INGEST = [
  { topic: 'accounts', partitions: 1 },
  { topic: 'transactions', partitions: 3 },
  { topic: 'reviews', partitions: 1 },
  { topic: 'rules', partitions: 1 },
  { topic: 'ticks', partitions: 1 },
] as const

/** Besides, in runs with a rulebook. */
const FRAUD_INGEST = [{ topic: 'fraud.labels', partitions: 1 }] as const
/** Every so many seeds have a rulebook, terminals and labels: the others find what they always found. */
const RULEBOOK_EVERY = 8

const OUTPUTS = [
  'transactions.processed',
  'ledger.batches',
  'ledger.entries',
  'balances',
  'accounts.current',
  'rules.current',
  'fraud.alerts',
  'notifications',
  'transactions.dlq',
]

/** Where platform/redis/cache-keys.ts keeps what generation is valid. */
export const CACHE_STATE_KEY = `${LEDGER}:{${LEDGER}}:state`

export const GENESIS_HASH = Buffer.alloc(32, 7)

export interface Services {
  readonly scheduler: Scheduler
  /** The ingest topics with their partitions. */
  readonly ingest: readonly { readonly topic: string; readonly partitions: number }[]
  /** Whether a rulebook comes into force that looks at terminals and labels. */
  readonly hasRulebook: boolean
  readonly broker: Broker
  readonly database: PgServer
  readonly cache: RedisServer
  readonly kafka: KafkaPlace
  readonly postgres: PgPlace
  readonly redis: RedisPlace
  readonly group: ConsumerGroup
  /** Long queues of records that need nothing but memory: then batches are decided ahead. */
  readonly isDeep: boolean
  /** Bounds of the engine under test, drawn for each run. */
  readonly accountsMax: number
  readonly batchRecordsMax: number
  /** Life of a cached balance: a short one makes for many that are missing. */
  readonly balanceLifeMs: number
  registryAnswers(): boolean
  registryAway(): UnreachableError
  redisTrouble(): void
  /** Told when an engine sends a batch that was decided ahead. */
  readonly ahead: { told: ((process: SimulatedProcess) => void) | null }
  /** Readers come often, and Redis fails often. */
  readonly isAboutCache: boolean
}

/** Odds that change during a run: none are left when it comes to rest. */
export interface Odds {
  isCalm: boolean
  isRegistryUp: boolean
  readonly jump: number
  readonly repeat: number
  readonly slowMarkers: number
  readonly worstDelayMs: number
}

export const makeServices = (scheduler: Scheduler, odds: Odds, onRedisTrouble: () => void): Services => {
  const { random } = scheduler
  const weather: NetworkWeather = {
    delayMs: () => random.skewed(0.05, odds.isCalm ? 5 : odds.worstDelayMs),
    noticeMs: () =>
      odds.isCalm || random.chance(0.6)
        ? random.skewed(0, 50)
        : random.chance(0.5)
          ? random.skewed(500, 5_000)
          : Number.POSITIVE_INFINITY,
  }
  const broker = new Broker(scheduler, {
    markerDelayMs: () => {
      if (odds.isCalm || !random.chance(odds.slowMarkers)) return random.skewed(0.05, 5)
      scheduler.happened('end of a transaction delayed')
      return random.int(20, 3_000)
    },
  })
  const hasRulebook = scheduler.seed % RULEBOOK_EVERY === 0
  const ingest = hasRulebook ? [...INGEST, ...FRAUD_INGEST] : INGEST
  for (const { topic, partitions } of ingest) broker.createTopic(TOPIC_PREFIX + topic, partitions)
  for (const topic of OUTPUTS) broker.createTopic(TOPIC_PREFIX + topic, 1)
  const database = new PgServer(scheduler, statementOf)
  database.tables.head.set('head', {
    sequence: 0n,
    hash: GENESIS_HASH,
    tickMs: BigInt(START_MS),
    pendingTicks: '[]',
    expiring: false,
    logicVersion: 1,
    rulesVersion: 0n,
    accountsCount: 0n,
    cardsCount: 0n,
    timeline: 1n,
  })
  const cache = new RedisServer(scheduler)
  const isDeep = random.chance(0.5)
  const ahead: Services['ahead'] = { told: null }
  const group = new ConsumerGroup(scheduler, broker, 3_000)
  let members = 0
  return {
    scheduler,
    ingest,
    hasRulebook,
    broker,
    database,
    cache,
    group,
    kafka: {
      scheduler,
      broker,
      weather,
      group: () => group,
      newMember: (name) => {
        members += 1
        return `${name}-${members}`
      },
      consumers: {
        jump: () => (!odds.isCalm && random.chance(odds.jump) ? random.int(1, 5) : 0),
        repeats: () => !odds.isCalm && random.chance(odds.repeat),
        recordsPerFetch: () => random.int(1, 30),
      },
    },
    postgres: { scheduler, server: database, weather, onAhead: (process) => ahead.told?.(process) },
    ahead,
    isAboutCache: random.chance(0.3),
    redis: { scheduler, server: cache, weather },
    isDeep,
    accountsMax: isDeep ? 1_000 : random.pick([3, 20, 1_000]),
    batchRecordsMax: random.pick(isDeep ? [2, 3, 5, 20] : [2, 5, 20, 40]),
    balanceLifeMs: random.pick([100, 1_000, 86_400_000]),
    registryAnswers: () => odds.isRegistryUp,
    registryAway: () => new UnreachableError('registry', 'the simulated registry is away'),
    redisTrouble: onRedisTrouble,
  }
}
