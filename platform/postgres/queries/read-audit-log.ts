/** The audit log as a reader sees it. */
import { AuditLog } from '../audit-log.ts'
import type { ReadPool, SqlValue } from '../pool.ts'

/** Only for reading: what appends has nothing to append with. */
export const auditLogOf = (pool: ReadPool): Pick<AuditLog, 'head' | 'readAfter'> => {
  const query = async (text: string, values: SqlValue[] = []) => ({
    rows: await pool.query({ text }, values),
  })
  return new AuditLog({ query } as unknown as ConstructorParameters<typeof AuditLog>[0])
}
