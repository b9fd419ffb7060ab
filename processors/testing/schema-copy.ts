/** A copy of a ledger's tables and putting it back: what a backup restored to an earlier moment is, for tests. */
import type { EnginePool } from '#platform/postgres/engine-pool.ts'

const tablesOf = async (pool: EnginePool, schema: string): Promise<string[]> => {
  const { rows } = await pool.query(
    `select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition order by 1`,
    [schema],
  )
  return rows.map(({ name }) => String(name))
}

/** The columns that a row is given: others follow from them. */
const givenColumns = async (pool: EnginePool, schema: string, table: string): Promise<string> => {
  const { rows } = await pool.query(
    `select string_agg('"' || column_name || '"', ', ' order by ordinal_position) as names from information_schema.columns
     where table_schema = $1 and table_name = $2 and is_generated = 'NEVER'`,
    [schema, table],
  )
  return String(rows[0].names)
}

/** Copies all rows of a schema's tables into another schema, which is made anew. */
export const copyTables = async (pool: EnginePool, from: string, to: string): Promise<void> => {
  await pool.query(`drop schema if exists "${to}" cascade; create schema "${to}"`)
  for (const table of await tablesOf(pool, from)) {
    await pool.query(`create table "${to}"."${table}" as table "${from}"."${table}"`)
  }
}

/** Puts a copy back in place of what is there. */
export const restoreTables = async (pool: EnginePool, from: string, to: string): Promise<void> => {
  for (const table of await tablesOf(pool, from)) {
    const [copy, target] = [`"${from}"."${table}"`, `"${to}"."${table}"`]
    const columns = await givenColumns(pool, to, table)
    // A restored backup asks no trigger.
    await pool.query(`alter table ${target} disable trigger user; truncate ${target};
      insert into ${target} (${columns}) select ${columns} from ${copy}; alter table ${target} enable trigger user`)
  }
}
