/**
 * Watches the offset rows during the run, at every commit and not only now and then: a trigger of the checker's own writes each
 * change of a row down, in the transaction that makes it. A row's changes are in its order, since a change locks the row.
 */
import type { Configuration } from '#platform/config/configuration.ts'
import { makeEnginePool } from '#platform/postgres/engine-pool.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'

/** One change of an offset row: a partition taken or let go of, or the commit of a batch that read it on. */
export interface OffsetChange {
  /** `topic:partition`. */
  readonly place: string
  readonly oldNext: bigint
  readonly next: bigint
  readonly oldEpoch: bigint
  readonly epoch: bigint
  /** Who the row says owns the partition: process id; undefined where nobody does. */
  readonly ownerPid: number | undefined
  /** When its transaction was committed, by Postgres' clock, ms since 1970. */
  readonly committedAtMs: number
}

const SCHEMA = 'fault_watch'

const INSTALL = (schema: string): string => `
  create schema ${SCHEMA};
  create table ${SCHEMA}.offset_changes (
    number bigint generated always as identity, topic text, partition integer, old_next bigint, next bigint,
    old_epoch bigint, epoch bigint, owner text);
  create function ${SCHEMA}.note_offset() returns trigger language plpgsql as $$ begin
    insert into ${SCHEMA}.offset_changes (topic, partition, old_next, next, old_epoch, epoch, owner)
    values (new.topic, new.partition, old.next_offset, new.next_offset, old.epoch, new.epoch, new.owner);
    return null;
  end $$;
  create trigger fault_watch after update on ${schema}.ingest_offsets
    for each row execute function ${SCHEMA}.note_offset();`

/** Installs the trigger on a ledger's offset rows. */
export const installCommitLog = async (configuration: Configuration): Promise<void> => {
  const { postgres } = configuration
  const pool = makeEnginePool(postgres, { applicationName: 'fault set-up', connectionsMax: 1 })
  try {
    await pool.query(INSTALL(postgres.schema))
  } finally {
    await pool.end()
  }
}

interface Row {
  number: bigint
  place: string
  oldNext: bigint
  next: bigint
  oldEpoch: bigint
  epoch: bigint
  owner: string
  committedAtMs: number
}

const ROWS_AT_ONCE = 50_000

const READ = `select number, topic || ':' || partition as place, old_next as "oldNext", next, old_epoch as "oldEpoch", epoch, owner,
    (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000)::float8 as "committedAtMs"
  from ${SCHEMA}.offset_changes where number > $1 order by number limit $2`

/** All changes; those of one partition are in their order. */
export const readCommitLog = async (pool: ReadPool): Promise<OffsetChange[]> => {
  const changes: OffsetChange[] = []
  let after = 0n
  for (;;) {
    const rows = await pool.query<Row>({ text: READ }, [after, ROWS_AT_ONCE])
    if (rows.length === 0) return changes
    after = rows.at(-1)!.number
    for (const { number: _number, owner, ...change } of rows) {
      changes.push({ ...change, ownerPid: pidOf(owner) })
    }
  }
}

/** An owner is `host:pid:start`. */
export const pidOf = (owner: string): number | undefined => {
  const pid = Number(owner.split(':').at(-2))
  return Number.isInteger(pid) && pid > 0 ? pid : undefined
}
