/** What a ledger takes in Postgres: bytes a transaction by table with its indexes, and whether updates stay in their page. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { Detail } from './measure.ts'
import { significant } from './statistics.ts'

// Partitions count for their parent.
const SIZES = `select coalesce(p.relname, c.relname) as name, sum(pg_table_size(c.oid))::float8 as data,
    sum(pg_indexes_size(c.oid))::float8 as indexes
  from pg_class c left join pg_inherits i on i.inhrelid = c.oid left join pg_class p on p.oid = i.inhparent
  where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' group by 1 order by 2 desc`

/** Below this a table counts with the others, bytes a transaction. */
const SMALL = 1

/** @param transactions that the ledger holds */
export async function bytesPerTransaction(
  pool: ReadPool,
  transactions: number,
): Promise<Record<string, Detail>> {
  const rows = await pool.query<{ name: string; data: number; indexes: number }>({ text: SIZES })
  const sizes: Record<string, Detail> = {}
  let total = 0
  for (const { name, data, indexes } of rows) {
    total += data + indexes
    if ((data + indexes) / transactions < SMALL) continue
    sizes[name] = {
      table: significant(data / transactions, 3),
      indexes: significant(indexes / transactions, 3),
    }
  }
  return { total: significant(total / transactions, 3), ...sizes }
}

const UPDATES = `select n_tup_upd::float8 as updates, n_tup_hot_upd::float8 as hot, n_dead_tup::float8 as dead,
    pg_total_relation_size(relid)::float8 as bytes from pg_stat_user_tables
  where schemaname = current_schema() and relname = 'accounts'`

/** Of the table that is updated most: accounts. */
export async function bloatOf(
  pool: ReadPool,
): Promise<{ hotShare: number; deadRows: number; mebibytes: number }> {
  const [row] = await pool.query<{ updates: number; hot: number; dead: number; bytes: number }>({
    text: UPDATES,
  })
  const { updates, hot, dead, bytes } = row!
  return {
    hotShare: significant(updates === 0 ? 1 : hot / updates, 3),
    deadRows: dead,
    mebibytes: significant(bytes / (1024 * 1024), 3),
  }
}
