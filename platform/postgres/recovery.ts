/**
 * What a recovery does to a ledger besides deciding batches again: keeping everybody else out, giving the offset rows the recorded
 * owners' epochs, and opening the ledger again at the end.
 */
import type pg from 'pg'
import { type Genesis, genesisHash } from '#domain/ledger/genesis.ts'
import { OperatingError } from '#platform/errors.ts'
import { asOperatingError } from './postgres-errors.ts'

export interface RecoverableLedger {
  readonly ledger: string
  readonly sequence: bigint
  readonly hash: Buffer
  readonly timeline: bigint
  readonly tickMs: number
}

export interface LastRecordOf {
  readonly cluster: string
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly hash: Buffer
  readonly timestampMs: number
}

/**
 * A negative logic version is one that no processor knows: none decides while it stands, not even after a recovery that was killed.
 * All of it throws UnreachableError where Postgres doesn't answer, OperatingError `postgres_failed` where it refuses.
 */
export class RecoveryStore {
  private readonly pool: Pick<pg.Pool, 'query'>

  constructor(pool: Pick<pg.Pool, 'query'>) {
    this.pool = pool
  }

  /** The ledger as it is; null where the schema holds none. */
  async read(): Promise<RecoverableLedger | null> {
    try {
      const { rows } = await this.pool.query(
        'select ledger, sequence, hash, timeline, tick_ms from ledger_head',
      )
      const row = rows[0] as Record<string, unknown> | undefined
      if (row === undefined) return null
      return {
        ledger: String(row.ledger),
        sequence: BigInt(String(row.sequence)),
        hash: row.hash as Buffer,
        timeline: BigInt(String(row.timeline)),
        tickMs: Number(row.tick_ms),
      }
    } catch (error) {
      // 3F000: no such schema; 42P01: no such table.
      if (/^(42P01|3F000)$/.test(String((error as { code?: unknown }).code))) return null
      throw asOperatingError(error)
    }
  }

  /** Who works on the ledger now: owners of partitions whose sessions live, and holders of leases but the named one. */
  async atWork(exceptLease: string): Promise<string[]> {
    const rows = await this.query(
      `select 'processor ' || o.owner as who from ingest_offsets o join pg_stat_activity a
         on a.pid = o.owner_backend_pid and a.backend_start = o.owner_backend_start where o.owner <> ''
       union select name || ' ' || holder from leases where expires_at > now() and name <> $1 order by 1`,
      [exceptLease],
    )
    return rows.map(({ who }) => String(who))
  }

  /**
   * Keeps processors out. A ledger without batches begins with the given genesis from now on.
   * @throws OperatingError `recover_other_ledger` where the schema holds another one
   */
  async begin(genesis: Genesis | null, ledger: string): Promise<void> {
    const found = await this.read()
    if (found !== null && found.ledger !== ledger) {
      throw new OperatingError(
        'recover_other_ledger',
        `expected the ledger ${ledger} in this schema, found ${found.ledger}`,
      )
    }
    if (found?.sequence === 0n && genesis !== null) {
      await this.query(
        `update ledger_head set hash = $1, tick_ms = $2, logic_version = $3, genesis_tick_ms = $2,
           genesis_logic_version = $3 where sequence = 0`,
        [genesisHash(genesis), genesis.tickMs, genesis.logicVersion],
      )
    }
    await this.query('update ledger_head set logic_version = -abs(logic_version)')
  }

  /** The next offsets of a cluster's partitions, by 'topic:partition'. */
  async positions(cluster: string): Promise<Map<string, bigint>> {
    const rows = await this.query(
      'select topic, partition, next_offset from ingest_offsets where cluster_id = $1',
      [cluster],
    )
    return new Map(
      rows.map((row) => [`${String(row.topic)}:${String(row.partition)}`, BigInt(String(row.next_offset))]),
    )
  }

  /** The clusters that the ledger has positions of. */
  async clusters(): Promise<string[]> {
    const rows = await this.query('select distinct cluster_id as cluster from ingest_offsets order by 1')
    return rows.map(({ cluster }) => String(cluster))
  }

  /** The history goes on on a cluster: its turn comes, unless it is the one that is read already. @param before the batch before it */
  async enterCluster(cluster: string, before: bigint): Promise<void> {
    await this.query(
      `with last as (select cluster_id, turn from kafka_clusters order by turn desc limit 1),
         entered as (
           insert into kafka_clusters (cluster_id, turn, known, published_before)
           select $1, coalesce((select turn from last), 0) + 1, true,
             case when exists (select 1 from last) then $2::bigint else 0 end
           where not exists (select 1 from last where cluster_id = $1)
           on conflict (cluster_id) do update set turn = excluded.turn, known = true,
             published_before = excluded.published_before, entered_at = now()
           returning turn)
       update ingest_offsets set turn = entered.turn from entered where cluster_id = $1`,
      [cluster, String(before)],
    )
  }

  /** Makes the offset rows of partitions that were never read here; those that are there stay. */
  async addPartitions(
    cluster: string,
    partitions: readonly { topic: string; partition: number; from: bigint }[],
  ): Promise<void> {
    await this.query(
      `insert into ingest_offsets (cluster_id, topic, partition, next_offset)
       select $1, t, p, f from unnest($2::text[], $3::int[], $4::bigint[]) as u (t, p, f) on conflict do nothing`,
      [
        cluster,
        partitions.map(({ topic }) => topic),
        partitions.map(({ partition }) => partition),
        partitions.map(({ from }) => String(from)),
      ],
    )
  }

  /** Gives partitions the epochs under which they were read: they are part of the recorded header. */
  async setEpochs(
    cluster: string,
    partitions: readonly { topic: string; partition: number; epoch: string }[],
  ): Promise<void> {
    await this.query(
      `update ingest_offsets o set epoch = e, owner = '', owner_backend_pid = null, owner_backend_start = null, owner_member = null
       from unnest($2::text[], $3::int[], $4::bigint[]) as u (t, p, e)
       where o.cluster_id = $1 and o.topic = u.t and o.partition = u.p`,
      [
        cluster,
        partitions.map(({ topic }) => topic),
        partitions.map(({ partition }) => partition),
        partitions.map(({ epoch }) => epoch),
      ],
    )
  }

  /** Sets positions anew, for the next batch to tell; makes their rows where there are none. */
  async setJumps(
    cluster: string,
    jumps: readonly { topic: string; partition: number; from: string | null; to: string }[],
  ): Promise<void> {
    await this.query(
      `insert into ingest_offsets (cluster_id, topic, partition, next_offset, jumped_from, jumped_to)
       select $1, t, p, n, f, n from unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[]) as u (t, p, f, n)
       on conflict (cluster_id, topic, partition) do update set next_offset = excluded.next_offset,
         jumped_from = excluded.jumped_from, jumped_to = excluded.jumped_to, topic_id = null`,
      [
        cluster,
        jumps.map(({ topic }) => topic),
        jumps.map(({ partition }) => partition),
        jumps.map(({ from }) => from),
        jumps.map(({ to }) => to),
      ],
    )
  }

  /** Notes what was applied last of each partition, so that a topic made anew is noticed. */
  async setLastRecords(records: readonly LastRecordOf[]): Promise<void> {
    for (const { cluster, topic, partition, offset, hash, timestampMs } of records) {
      await this.query(
        `update ingest_offsets set last_offset = $4, last_hash = $5, last_timestamp_ms = $6
         where cluster_id = $1 and topic = $2 and partition = $3`,
        [cluster, topic, partition, String(offset), hash, timestampMs],
      )
    }
  }

  /** Opens the ledger: epochs above all recorded ones, a new timeline, processors may decide. */
  async finish(options: { readonly timeline: bigint; readonly published: bigint }): Promise<void> {
    await this.query(
      `with epochs as (update ingest_offsets set epoch = epoch + 1, owner = '', owner_backend_pid = null,
           owner_backend_start = null, owner_member = null),
         published as (update publisher_progress set published_sequence = greatest(published_sequence, $2),
           updated_at = now())
       update ledger_head set timeline = $1, logic_version = abs(logic_version)`,
      [String(options.timeline), String(options.published)],
    )
  }

  /** Gives the clusters that have none their turns, the configured one the last, and their positions these turns (kafka_clusters). */
  async setTurns(clusterId: string): Promise<void> {
    const others = (await this.clusters()).filter((cluster) => cluster !== clusterId)
    for (const cluster of [...others, clusterId]) {
      await this.query(
        `insert into kafka_clusters (cluster_id, turn, known)
         select $1, coalesce((select max(turn) from kafka_clusters), 0) + 1, true on conflict do nothing`,
        [cluster],
      )
    }
    await this.query(
      'update ingest_offsets o set turn = c.turn from kafka_clusters c where c.cluster_id = o.cluster_id and o.turn = 0',
    )
  }

  private async query(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    try {
      const { rows } = await this.pool.query(text, values)
      return rows as Record<string, unknown>[]
    } catch (error) {
      throw asOperatingError(error)
    }
  }
}
