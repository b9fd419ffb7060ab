/** Databases beside the ledger's own: for measurements. */
import pg from 'pg'
import { asOperatingError } from './postgres-errors.ts'

/** Makes a database where it isn't there. @returns its URL, and whether it was made now. @throws UnreachableError */
export const ensureDatabase = async (
  serverUrl: string,
  name: string,
): Promise<{ url: string; created: boolean }> => {
  const client = new pg.Client({ connectionString: serverUrl, connectionTimeoutMillis: 5_000 })
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  try {
    await client.connect()
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [name])
    if (rowCount === 0) await client.query(`create database "${name.replaceAll('"', '""')}"`)
    return { url: url.href, created: rowCount === 0 }
  } catch (error) {
    throw asOperatingError(error)
  } finally {
    await client.end().catch(() => undefined)
  }
}
