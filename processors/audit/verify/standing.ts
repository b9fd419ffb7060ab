/** Rows that say how far something has come, where a wrong one would lead the engine to drop, forget or leave out what it must not. */
import { idsFromMs } from '#domain/ledger/horizons.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { type ArchiveProgressRow, readStanding } from '#platform/postgres/queries/audit-standing.ts'
import type { HeadRow } from '#platform/postgres/queries/audit-sums.ts'
import type { LedgerMemory } from '../replay/ledger-memory.ts'
import type { Findings } from './findings.ts'

const KEY = 'only_one'

/**
 * How far the publisher is: periods whose batches count as published may be dropped. It can't be ahead of what is in the topic.
 * @param published the highest batch in `ledger.batches`, read after the snapshot began; null = the topic holds none
 */
export const checkPublished = async (
  pool: ReadPool,
  head: HeadRow,
  published: bigint | null,
  findings: Findings,
): Promise<void> => {
  const { published: noted, publishedBefore } = await readStanding(pool)
  if (noted === null) return findings.add('publisher_progress', KEY, 'removed')
  // A topic on another cluster begins with what came after the move.
  const highest = published ?? publishedBefore ?? head.sequence
  const isPossible = noted <= head.sequence && (noted <= highest || noted <= (publishedBefore ?? 0n))
  if (!isPossible) findings.add('publisher_progress', KEY, 'changed')
}

/** What the archive says of itself; null = none is configured. */
export interface ArchiveState {
  readonly location: string
  /** By number of the manifest. */
  manifest(number: number): Promise<{ readonly last: bigint; readonly hash: Buffer } | null>
}

/** How far the archive is: periods whose batches count as archived may be dropped. */
export const checkArchived = async (
  pool: ReadPool,
  head: HeadRow,
  archive: ArchiveState | null,
  findings: Findings,
): Promise<void> => {
  const { archived } = await readStanding(pool)
  if (archived === null) {
    // An archiver that stored its first manifest and hasn't noted it yet does so when it starts.
    if (archive !== null && (await archive.manifest(2)) !== null) {
      findings.add('archive_progress', KEY, 'removed')
    }
    return
  }
  const isPossible = archived.sequence <= head.sequence && (await isInArchive(archived, archive))
  if (!isPossible) findings.add('archive_progress', KEY, 'changed')
}

const isInArchive = async (row: ArchiveProgressRow, archive: ArchiveState | null): Promise<boolean> => {
  if (archive === null || archive.location !== row.location) return true
  const manifest = await archive.manifest(row.manifest)
  return manifest !== null && manifest.last === row.sequence && manifest.hash.equals(row.manifestHash)
}

/** The sweep over ids: it deletes what was taken before a time, which must not be later than the horizon lets it. */
export const checkSweep = async (pool: ReadPool, memory: LedgerMemory, findings: Findings): Promise<void> => {
  const { sweep } = await readStanding(pool)
  if (sweep === null) return findings.add('id_sweep', KEY, 'removed')
  const fromMs = idsFromMs(memory.horizons, memory.time.nowMs) ?? Number.NEGATIVE_INFINITY
  const times = [sweep.takenBefore, sweep.sweptBefore].filter((time) => time !== null)
  if (times.some((time) => time.getTime() > fromMs)) findings.add('id_sweep', KEY, 'changed')
}

/** The clusters that the ledger was read from. @param clusters of the batches, in the order of their latest turns */
export const checkClusters = async (
  pool: ReadPool,
  clusters: readonly string[],
  findings: Findings,
): Promise<void> => compareClusters((await readStanding(pool)).clusters, clusters, findings)

/**
 * A cluster that took its turn and from which no batch was read can't be told from one that was added.
 * @param stored in the order of their turns. @param clusters of the batches, in the order of their latest turns
 */
export const compareClusters = (
  stored: readonly string[],
  clusters: readonly string[],
  findings: Findings,
): void => {
  for (const cluster of clusters) {
    if (!stored.includes(cluster)) findings.add('kafka_clusters', cluster, 'removed')
  }
  const known = clusters.filter((cluster) => stored.includes(cluster))
  const inOrder = stored.filter((cluster) => known.includes(cluster))
  for (const [place, cluster] of inOrder.entries()) {
    if (cluster !== known[place]) findings.add('kafka_clusters', cluster, 'changed')
  }
}
