/** What must have happened in a long run: a simulation in which it never does says nothing about it. */

export const SITUATIONS = [
  // Processes
  'crash',
  'stop',
  'pause',
  'cut',
  'reader cut',
  'reader frozen',
  // Postgres
  'database outage',
  'batch decided ahead',
  'batch ahead of one that failed',
  'break while two batches are under way',
  'id taken already',
  'head waited for',
  'session ended by the next owner',
  'idle in a transaction',
  'reply to a commit lost',
  // Kafka
  'broker outage',
  'rebalance',
  'member timed out',
  'older producer refused',
  'transaction of an older producer ended',
  'transaction rolled back',
  'end of a transaction delayed',
  'position jumped',
  'fetch came twice',
  'registry outage',
  // Redis
  'redis outage',
  'redis flush',
  'redis failover',
  'balance planted under a lease',
  'gap in the cache',
  'late word for another generation',
  // The world is another one
  'retention passed the position',
  'topic made anew',
  'topic made anew of which a partition was not read',
  'database restored behind what was published',
  'database restored, unpublished batches lost',
] as const

/** Counted too, but so well prevented that a long run may lack them. */
type Rarity = 'swap of offsets failed' | 'two batches were to break'

export type Situation = (typeof SITUATIONS)[number] | Rarity

/** In a run of so many steps every situation must have come about. */
export const COMPLETE_STEPS = 1_000_000

/** Those that never happened. */
export const missingOf = (counts: Readonly<Record<string, number>>): string[] =>
  SITUATIONS.filter((name) => (counts[name] ?? 0) === 0)
