/** How long a dead or frozen owner's partitions stood still: from its last commit on them to the first of whoever came next. */
import type { OffsetChange } from './commit-log.ts'

export interface Takeover {
  readonly hit: Hit
  /** Of the first of its partitions to go on, ms: the ledger applies again. */
  readonly firstMs: number
  /** Of the last one, ms: nothing waits any more. */
  readonly lastMs: number
  readonly partitions: number
}

/** An owner that was killed, frozen or asked to end. */
export interface Hit {
  readonly pid: number
  /** When it was hit, and when it had surely committed its last, ms since 1970. */
  readonly atMs: number
  readonly outMs: number
}

export interface TakeoverSummary {
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly samples: number
}

/** Of a topic that always has records to read: one without would seem to stand still. */
const BUSY_TOPIC = 'transactions:'

type Commits = ReadonlyMap<string, readonly OffsetChange[]>

const commitsOf = (changes: readonly OffsetChange[]): Commits => {
  const commits = new Map<string, OffsetChange[]>()
  for (const change of changes) {
    if (!change.place.startsWith(BUSY_TOPIC) || change.next === change.oldNext) continue
    const list = commits.get(change.place)
    if (list === undefined) commits.set(change.place, [change])
    else list.push(change)
  }
  return commits
}

/**
 * The takeovers of owners that were hit. One that held no partition, or that nobody followed, leaves nothing to measure.
 * @param changes in order by partition
 */
export const takeoversOf = (changes: readonly OffsetChange[], hits: readonly Hit[]): Takeover[] => {
  const commits = commitsOf(changes)
  return hits.flatMap((hit) => {
    const gaps = [...commits.values()].flatMap((list) => gapOf(list, hit))
    if (gaps.length === 0) return []
    return [{ hit, firstMs: Math.min(...gaps), lastMs: Math.max(...gaps), partitions: gaps.length }]
  })
}

/** From the owner's last commit on a partition to the first of another, where that one came after the hit. */
const gapOf = (commits: readonly OffsetChange[], { pid, atMs, outMs }: Hit): number[] => {
  const last = commits.findLastIndex((commit) => commit.ownerPid === pid && commit.committedAtMs <= outMs)
  const own = commits[last]
  const next = commits[last + 1]
  if (own === undefined || next === undefined) return []
  if (next.ownerPid === pid || next.committedAtMs <= atMs) return []
  return [Math.round(next.committedAtMs - own.committedAtMs)]
}

/** What became of an owner for which there is no takeover to measure. */
export interface Unmeasured {
  readonly hit: Hit
  /**
   * `no partition`: it held none, or had given them away before. `nothing left`: it had read its partitions to their ends. `itself`:
   * it went on by itself, as one does that was frozen for a short time. `nobody`: there were records, and nobody came to read them.
   */
  readonly followedBy: 'no partition' | 'nothing left' | 'itself' | 'nobody'
}

/**
 * The owners that `takeoversOf` leaves out.
 * @param changes in order by partition. @param ends where each partition ends, by `topic:partition`
 */
export const unmeasuredOf = (
  changes: readonly OffsetChange[],
  hits: readonly Hit[],
  ends: ReadonlyMap<string, bigint>,
): Unmeasured[] => {
  const commits = commitsOf(changes)
  const measured = new Set(takeoversOf(changes, hits).map(({ hit }) => hit))
  return hits
    .filter((hit) => !measured.has(hit))
    .map((hit) => {
      const fates = [...commits].map(([place, list]) => fateOf(list, hit, ends.get(place) ?? 0n))
      const worst = (['nobody', 'itself', 'nothing left'] as const).find((fate) => fates.includes(fate))
      return { hit, followedBy: worst ?? 'no partition' }
    })
}

/** What became of one partition behind the owner's last commit on it. */
const fateOf = (
  commits: readonly OffsetChange[],
  { pid, atMs, outMs }: Hit,
  end: bigint,
): Unmeasured['followedBy'] => {
  const last = commits.findLastIndex((commit) => commit.ownerPid === pid && commit.committedAtMs <= outMs)
  const own = commits[last]
  const next = commits[last + 1]
  if (own === undefined) return 'no partition'
  if (next === undefined) return own.next >= end ? 'nothing left' : 'nobody'
  return next.committedAtMs > atMs && next.ownerPid === pid ? 'itself' : 'no partition'
}

/** Percentiles by nearest rank; zeros without samples. */
export const summaryOf = (milliseconds: readonly number[]): TakeoverSummary => {
  const sorted = [...milliseconds].sort((a, b) => a - b)
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0
  return { p50: rank(0.5), p99: rank(0.99), max: sorted.at(-1) ?? 0, samples: sorted.length }
}
