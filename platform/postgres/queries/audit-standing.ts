/** How far publisher, archiver and sweep are, and the clusters in the order of their turns: as audits look at them. */
import type { ReadPool } from '../pool.ts'

export interface ArchiveProgressRow {
  readonly sequence: bigint
  readonly manifest: number
  readonly manifestHash: Buffer
  readonly location: string
}

export interface Standing {
  /** Null where the row is missing. */
  readonly published: bigint | null
  /** What was published before the last cluster took its turn; null where none has. */
  readonly publishedBefore: bigint | null
  /** Null where no archiver has run. */
  readonly archived: ArchiveProgressRow | null
  /** Null where the row is missing. */
  readonly sweep: { readonly takenBefore: Date | null; readonly sweptBefore: Date | null } | null
  readonly clusters: readonly string[]
}

/** Reads all of it. @throws UnreachableError */
export const readStanding = async (pool: ReadPool): Promise<Standing> => {
  const [publisher] = await pool.query<{ published: bigint }>({
    text: 'select published_sequence as published from publisher_progress',
  })
  const [archived] = await pool.query<ArchiveProgressRow>({
    text: `select archived_through as sequence, manifest::int as manifest, manifest_hash as "manifestHash", location from archive_progress`,
  })
  const [sweep] = await pool.query<{ takenBefore: Date | null; sweptBefore: Date | null }>({
    text: 'select taken_before as "takenBefore", swept_before as "sweptBefore" from id_sweep',
  })
  const clusters = await pool.query<{ cluster: string; before: bigint }>({
    text: 'select cluster_id as cluster, published_before as before from kafka_clusters order by turn',
  })
  return {
    published: publisher?.published ?? null,
    publishedBefore: clusters.at(-1)?.before ?? null,
    archived: archived ?? null,
    sweep: sweep ?? null,
    clusters: clusters.map(({ cluster }) => cluster),
  }
}
