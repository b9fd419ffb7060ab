/** Members of the processors' group that are surely dead: their database session ended, and nobody has released or taken what they own. */
import type pg from 'pg'
import { asOperatingError } from './postgres-errors.ts'

export interface LostMember {
  /** In the consumer group. */
  readonly memberId: string
  /** The process, as it names itself in leases. */
  readonly holder: string
}

const LOST_MEMBERS = `select distinct owner_member, owner from ingest_offsets o
  where cluster_id = $1 and owner_member is not null and owner_backend_pid is not null and not exists (
    select from pg_stat_activity a where a.pid = o.owner_backend_pid and a.backend_start = o.owner_backend_start)`

/** Reads them. @throws UnreachableError, OperatingError */
export const readLostMembers = async (
  pool: Pick<pg.Pool, 'query'>,
  clusterId: string,
): Promise<LostMember[]> => {
  try {
    const { rows } = await pool.query<{ owner_member: string; owner: string }>(LOST_MEMBERS, [clusterId])
    return rows.map((row) => ({ memberId: row.owner_member, holder: row.owner }))
  } catch (error) {
    throw asOperatingError(error)
  }
}

/** Ends the leases of a dead process before their time, so that the next one need not wait. @throws UnreachableError, OperatingError */
export const endLeases = async (pool: Pick<pg.Pool, 'query'>, holder: string): Promise<void> => {
  try {
    await pool.query('delete from leases where holder = $1', [holder])
  } catch (error) {
    throw asOperatingError(error)
  }
}
