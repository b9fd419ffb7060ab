/** The ledger's positions beside the engine's own use of them: what stopped a partition, for people to see. */
import type pg from 'pg'
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
