/** Forward-only migrations of a ledger's schema, and its first history: the genesis of the head row. */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import pg from 'pg'
import { genesisHash } from '#domain/ledger/genesis.ts'
import { CAUSES, KINDS, REASONS, STATUSES } from '#domain/transactions/outcomes.ts'
import type { PostgresConfiguration } from '#platform/config/configuration.ts'
import { OperatingError } from '#platform/errors.ts'
import { asOperatingError } from './postgres-errors.ts'
import { clientSettings } from '#platform/postgres/client-settings.ts'
import { inTransaction, inTransactionOn } from './transaction.ts'

const SQL_FOLDER = new URL('../../schemas/sql/', import.meta.url)

export interface MigrateOptions {
  /** Postgres schema that holds the ledger. */
  readonly schema: string
  readonly ledger: string
  /** Decision time until the first tick, ms since 1970: part of the history, so given from outside. */
  readonly nowMs: number
  readonly logicVersion: number
}

export interface MigrateResult {
  readonly applied: readonly string[]
  readonly alreadyThere: readonly string[]
}

/** Connects, migrates and disconnects. @throws UnreachableError; OperatingError `migration_changed` */
export const migrateLedger = async (
  postgres: PostgresConfiguration,
  options: Omit<MigrateOptions, 'schema'>,
): Promise<MigrateResult> => {
  const client = new pg.Client(clientSettings(postgres, { applicationName: 'tallystream migrate' }))
  // What breaks between two statements shows at the next one; without a listener it would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await migrate(client, { ...options, schema: postgres.schema })
  } catch (error) {
    throw asOperatingError(error)
  } finally {
    await client.end().catch(() => undefined)
  }
}

interface Migration {
  readonly name: string
  readonly text: string
  readonly hash: string
}

const readMigrations = async (): Promise<Migration[]> => {
  const names = (await readdir(SQL_FOLDER)).filter((name) => /^\d{4}-.*\.sql$/.test(name)).sort()
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(new URL(name, SQL_FOLDER), 'utf8')
      return { name, text, hash: createHash('sha256').update(text).digest('hex') }
    }),
  )
}

const quoted = (identifier: string): string => `"${identifier.replaceAll('"', '""')}"`

/**
 * Brings the schema up to date in one transaction, under an advisory lock, so that two at once do no harm.
 * @throws OperatingError `migration_changed` where an applied migration's text is no longer the same.
 */
export const migrate = async (client: pg.ClientBase, options: MigrateOptions): Promise<MigrateResult> => {
  const migrations = await readMigrations()
  return await inTransactionOn(client, async () => {
    await client.query(`set local statement_timeout = '60s'`)
    await client.query('select pg_advisory_xact_lock(hashtext($1))', [
      `tallystream.migrate.${options.schema}`,
    ])
    await client.query(`create schema if not exists ${quoted(options.schema)}`)
    await client.query(`set local search_path = ${quoted(options.schema)}`)
    await client.query(`create table if not exists migrations (
      name text primary key, hash text not null, applied_at timestamptz not null default now())`)
    const result = await applyMissing(client, migrations)
    await fillCodes(client)
    await createPartitions(client, options.nowMs)
    await makeGenesis(client, options)
    return result
  })
}

const applyMissing = async (
  client: pg.ClientBase,
  migrations: readonly Migration[],
): Promise<MigrateResult> => {
  const { rows } = await client.query<{ name: string; hash: string }>('select name, hash from migrations')
  const known = new Map(rows.map((row) => [row.name, row.hash]))
  const applied: string[] = []
  const alreadyThere: string[] = []
  for (const migration of migrations) {
    const hash = known.get(migration.name)
    if (hash !== undefined && hash !== migration.hash) {
      throw new OperatingError(
        'migration_changed',
        `migration ${migration.name} was applied as ${hash.slice(0, 12)}… but is now ${migration.hash.slice(0, 12)}…; migrations are forward-only: restore the file and add a new one`,
      )
    }
    if (hash !== undefined) {
      alreadyThere.push(migration.name)
      continue
    }
    await client.query(migration.text)
    await client.query('insert into migrations (name, hash) values ($1, $2)', [
      migration.name,
      migration.hash,
    ])
    applied.push(migration.name)
  }
  return { applied, alreadyThere }
}

const fillCodes = async (client: pg.ClientBase): Promise<void> => {
  for (const [list, words] of Object.entries({
    kind: KINDS,
    cause: CAUSES,
    status: STATUSES,
    reason: REASONS,
  })) {
    await client.query(
      `insert into codes (list, code, word)
       select $1, place - 1, word from unnest($2::text[]) with ordinality as w (word, place)
       on conflict (list, code) do update set word = excluded.word`,
      [list, words],
    )
  }
  await client.query(
    `insert into codes (list, code, word) values ('kind', -1, 'unknown') on conflict do nothing`,
  )
}

const PARTITIONED = ['transactions', 'postings', 'batches'] as const

const monthStart = (ms: number, monthsLater: number): Date => {
  const date = new Date(ms)
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + monthsLater, 1))
}

/**
 * Makes the monthly partitions around a time: the month before, its own and the two after it.
 * What falls outside goes to the default partition: nothing is refused for want of one. Once it holds rows of a month (time
 * has jumped over the months that were made), Postgres refuses to make that month's partition: those rows stay where they
 * are, and the other months are made all the same.
 */
export const createPartitions = async (client: pg.ClientBase, nowMs: number): Promise<void> => {
  for (let month = -1; month <= 2; month += 1) {
    const from = monthStart(nowMs, month)
    const to = monthStart(nowMs, month + 1)
    const suffix = `${from.getUTCFullYear()}_${String(from.getUTCMonth() + 1).padStart(2, '0')}`
    for (const table of PARTITIONED) {
      const name = `${table}_${suffix}`
      // Looked for first: making and altering take locks that the engine would wait for.
      const { rowCount } = await client.query('select 1 where to_regclass($1) is not null', [name])
      if (rowCount === 1 || (await isInDefault(client, table, from, to))) continue
      await client.query(
        `create table ${name} partition of ${table} for values from ('${from.toISOString()}') to ('${to.toISOString()}')`,
      )
      if (table === 'batches')
        await client.query(`alter table ${name} alter column payload set storage external`)
    }
  }
}

const isInDefault = async (
  client: pg.ClientBase,
  table: (typeof PARTITIONED)[number],
  from: Date,
  to: Date,
): Promise<boolean> => {
  const { rowCount } = await client.query(
    `select 1 from ${table}_default where recorded_at >= $1 and recorded_at < $2 limit 1`,
    [from, to],
  )
  return rowCount === 1
}

/** Makes the partitions around the ledger's own time; several processes at once do no harm. */
export const createPartitionsAhead = (pool: pg.Pool): Promise<void> =>
  inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ tick_ms: string | bigint; locked: boolean }>(
      `select tick_ms, pg_try_advisory_xact_lock(hashtext('tallystream.partitions.' || current_schema())) as locked
       from ledger_head`,
    )
    const head = rows[0]
    if (head?.locked === true) await createPartitions(client, Number(head.tick_ms))
  })

/** The first head: sequence 0, whose hash names the ledger and its creation, so that every chain starts from a known value. */
const makeGenesis = async (client: pg.ClientBase, options: MigrateOptions): Promise<void> => {
  const hash = genesisHash({
    ledger: options.ledger,
    tickMs: options.nowMs,
    logicVersion: options.logicVersion,
  })
  await client.query(
    `insert into ledger_head (ledger, sequence, hash, tick_ms, logic_version, genesis_tick_ms, genesis_logic_version)
     values ($1, 0, $2, $3, $4, $3, $4) on conflict (only_one) do nothing`,
    [options.ledger, hash, options.nowMs, options.logicVersion],
  )
  await client.query('insert into publisher_progress default values on conflict (only_one) do nothing')
}
