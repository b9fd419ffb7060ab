/** The settings of Postgres that decide about speed and durability: the same for everybody in a run, or there is no run. */
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import { makeEnginePool } from '#platform/postgres/engine-pool.ts'

const NAMES = [
  'server_version',
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'wal_level',
  'wal_compression',
  'wal_sync_method',
  'shared_buffers',
  'max_wal_size',
  'checkpoint_timeout',
  'jit',
] as const

/** What must be on: a rate without durability is another thing. */
const DURABLE = ['fsync', 'synchronous_commit', 'full_page_writes'] as const

export type PostgresSettings = Readonly<Record<string, string>>

/** Reads them. @throws UnreachableError */
export const readSettings = (databaseUrl: string): Promise<PostgresSettings> =>
  onServer(databaseUrl, async (query) => {
    const rows = await query<{ name: string; value: string }>(
      'select name, current_setting(name) as value from unnest($1::text[]) as name',
      [NAMES],
    )
    return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
  })

/** Begins every measurement with a checkpoint, so that none pays for the pages of another. */
export const checkpoint = (databaseUrl: string): Promise<void> =>
  onServer(databaseUrl, async (query) => {
    await query('checkpoint')
  })

/** @throws ConfigurationError `bench_not_comparable` where what is written isn't durable */
export function requireDurable(settings: PostgresSettings): void {
  const off = DURABLE.filter((name) => settings[name] === 'off' || settings[name] === 'local')
  if (off.length === 0) return
  throw new ConfigurationError(
    `expected ${off.join(', ')} on, found it off: rates without durability say nothing`,
    {
      code: 'bench_not_comparable',
    },
  )
}

/** @throws OperatingError `bench_not_comparable` where somebody changed a setting during the run */
export function requireSame(before: PostgresSettings, after: PostgresSettings): void {
  const changed = Object.keys(before).filter((name) => before[name] !== after[name])
  if (changed.length === 0) return
  const what = changed.map((name) => `${name} from ${before[name]} to ${after[name]}`).join(', ')
  throw new OperatingError('bench_not_comparable', `Postgres was changed during the run: ${what}`)
}

type Query = <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>

async function onServer<Result>(url: string, work: (query: Query) => Promise<Result>): Promise<Result> {
  const pool = makeEnginePool(
    { url, schema: 'public', sslCa: undefined, transactionTimeoutMs: 10_000 },
    { applicationName: 'tallystream bench', connectionsMax: 1, statementTimeoutMs: 120_000 },
  )
  try {
    return await work(async (text, values = []) => (await pool.query(text, values as unknown[])).rows)
  } finally {
    await pool.end()
  }
}
