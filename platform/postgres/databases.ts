/** Databases beside the ledger's own: for measurements. */
import pg from 'pg'
import { asOperatingError } from './postgres-errors.ts'

/** Makes a database where it isn't there. @returns its URL, and whether it was made now. @throws UnreachableError */
export const ensureDatabase = (serverUrl: string, name: string): Promise<{ url: string; created: boolean }> =>
  onServer(serverUrl, async (client) => {
    const url = new URL(serverUrl)
    url.pathname = `/${name}`
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [name])
    if (rowCount === 0) await client.query(`create database ${quoted(name)}`)
    return { url: url.href, created: rowCount === 0 }
  })

/** Drops a database where it is there. @throws UnreachableError; OperatingError where somebody uses it */
export const dropDatabase = (serverUrl: string, name: string): Promise<void> =>
  onServer(serverUrl, async (client) => {
    await client.query(`drop database if exists ${quoted(name)}`)
  })

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

const onServer = async <Result>(
  serverUrl: string,
  work: (client: pg.Client) => Promise<Result>,
): Promise<Result> => {
  const client = new pg.Client({ connectionString: serverUrl, connectionTimeoutMillis: 5_000 })
  try {
    await client.connect()
    return await work(client)
  } catch (error) {
    throw asOperatingError(error)
  } finally {
    await client.end().catch(() => undefined)
  }
}
