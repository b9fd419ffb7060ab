/** Reads how far the ledger has applied the ingest topics: what was published is applied when its offset is passed. */
import type { ReadPool } from '#platform/postgres/pool.ts'

export interface LogPosition {
  /** Without the ledger's prefix. */
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

interface Row {
  topic: string
  partition: number
  next_offset: bigint
}

const TEXT = 'select topic, partition, next_offset from ingest_offsets where cluster_id = $1'

/** 'topic:partition' → the offset that is applied next, for every partition that was ever read. */
export async function readAppliedOffsets(pool: ReadPool, clusterId: string): Promise<Map<string, bigint>> {
  const rows = await pool.query<Row>({ name: 'read-applied-offsets', text: TEXT }, [clusterId])
  return new Map(rows.map((row) => [`${row.topic}:${row.partition}`, row.next_offset]))
}

/** True when the record at this position is applied, by what `readAppliedOffsets` returned. */
export const isPassed = (applied: ReadonlyMap<string, bigint>, position: LogPosition): boolean =>
  (applied.get(`${position.topic}:${position.partition}`) ?? 0n) > position.offset

/** True when the record at this position is applied. */
export async function isApplied(pool: ReadPool, clusterId: string, position: LogPosition): Promise<boolean> {
  return isPassed(await readAppliedOffsets(pool, clusterId), position)
}
