/** The ledger's positions beside the engine's own use of them: what stopped a partition, for people to see. */
import type pg from 'pg'
import type { ReadPool } from './pool.ts'
import { asOperatingError } from './postgres-errors.ts'

/** Keeps why a partition stopped beside its position, until it is taken the next time. @throws UnreachableError */
export const noteIncident = async (
  pool: Pick<pg.Pool, 'query'>,
  clusterId: string,
  incident: { topic: string; partition: number; code: string; detail: string },
): Promise<void> => {
  const { topic, partition, code, detail } = incident
  try {
    await pool.query(
      `update ingest_offsets set incident = jsonb_build_object('code', $4::text, 'detail', $5::text, 'at', now())
       where cluster_id = $1 and topic = $2 and partition = $3`,
      [clusterId, topic, partition, code, detail],
    )
  } catch (error) {
    throw asOperatingError(error)
  }
}

export interface StoredPosition {
  /** Without the ledger's prefix. */
  readonly topic: string
  readonly partition: number
  readonly nextOffset: bigint
  /** Empty: nobody reads it now. */
  readonly owner: string
  /** The last applied record; its time stays known where the position was moved since. */
  readonly last: { readonly offset: bigint; readonly hash: Buffer } | null
  readonly lastTimestampMs: bigint | null
  /** Of the topic when the partition was first read, or first after its position was moved; null where nobody knew it. */
  readonly topicId: string | null
  readonly incident: { readonly code: string; readonly detail: string; readonly at: string } | null
}

interface Row {
  topic: string
  partition: number
  next_offset: bigint
  owner: string
  last_offset: bigint | null
  last_hash: Buffer | null
  last_timestamp_ms: bigint | null
  topic_id: string | null
  incident: StoredPosition['incident']
}

/** Where each partition of a cluster stands, by topic and partition. */
export const readStoredPositions = async (pool: ReadPool, clusterId: string): Promise<StoredPosition[]> => {
  const rows = await pool.query<Row>(
    {
      text: `select topic, partition, next_offset, owner, last_offset, last_hash, last_timestamp_ms, topic_id, incident
        from ingest_offsets where cluster_id = $1 order by topic, partition`,
    },
    [clusterId],
  )
  return rows.map((row) => ({
    topic: row.topic,
    partition: row.partition,
    nextOffset: row.next_offset,
    owner: row.owner,
    last:
      row.last_offset === null || row.last_hash === null
        ? null
        : { offset: row.last_offset, hash: row.last_hash },
    lastTimestampMs: row.last_timestamp_ms,
    topicId: row.topic_id,
    incident: row.incident,
  }))
}
