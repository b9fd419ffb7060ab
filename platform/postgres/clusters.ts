/**
 * Which Kafka cluster a ledger reads. Positions are per configured name (CLUSTER_ID); a name is bound to what its brokers call
 * themselves when they are first seen, so that other brokers under the same name are noticed and not read.
 */
import type pg from 'pg'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import { asOperatingError } from './postgres-errors.ts'
import { inTransaction } from './transaction.ts'

interface ClusterRow {
  cluster_id: string
  kafka_id: string | null
  turn: bigint
}

interface Cluster {
  /** The configured name. */
  readonly clusterId: string
  /** What its brokers call themselves; null where they don't say. */
  readonly kafkaId: string | null
}

/**
 * Makes sure that the brokers are those of the configured name, and that it is this cluster's turn. A cluster that wasn't read last
 * takes its turn, where `mayTakeTurn`; then every partition's history must be found in it (readOrigins) before it is read.
 * @throws IncidentError `cluster_changed`, `cluster_renamed`, `cluster_superseded`; OperatingError `cluster_in_use` (retriable)
 * while processors hold partitions of another cluster; UnreachableError
 */
export const enterCluster = async (
  pool: Pick<pg.Pool, 'connect'>,
  cluster: Cluster,
  options: { readonly mayTakeTurn: boolean },
): Promise<void> =>
  inTransaction(pool, async (client) => {
    // Two that start at once decide one after the other.
    await client.query('lock table kafka_clusters in share row exclusive mode')
    const { rows } = await client.query<ClusterRow>('select cluster_id, kafka_id, turn from kafka_clusters')
    expectSameBrokers(rows, cluster)
    const last = rows.toSorted((a, b) => Number(a.turn - b.turn)).at(-1)
    if (last === undefined || last.cluster_id !== cluster.clusterId) {
      await takeTurn(client, cluster, last, options)
    }
    if (cluster.kafkaId === null) return
    await client.query('update kafka_clusters set kafka_id = $2 where cluster_id = $1 and kafka_id is null', [
      cluster.clusterId,
      cluster.kafkaId,
    ])
  })

const expectSameBrokers = (rows: readonly ClusterRow[], { clusterId, kafkaId }: Cluster): void => {
  if (kafkaId === null) return
  const mine = rows.find((row) => row.cluster_id === clusterId)
  if (mine !== undefined && mine.kafka_id !== null && mine.kafka_id !== kafkaId) {
    throw new IncidentError(
      'cluster_changed',
      `CLUSTER_ID=${clusterId} stands for the Kafka cluster ${mine.kafka_id}, but the brokers are ${kafkaId}: give another cluster a CLUSTER_ID of its own`,
    )
  }
  const other = rows.find((row) => row.kafka_id === kafkaId && row.cluster_id !== clusterId)
  if (other !== undefined) {
    throw new IncidentError(
      'cluster_renamed',
      `the Kafka cluster ${kafkaId} is known as CLUSTER_ID=${other.cluster_id}, found ${clusterId}: its positions would be lost under another name`,
    )
  }
}

const takeTurn = async (
  client: pg.PoolClient,
  { clusterId }: Cluster,
  last: ClusterRow | undefined,
  { mayTakeTurn }: { readonly mayTakeTurn: boolean },
): Promise<void> => {
  if (!mayTakeTurn) {
    throw new IncidentError(
      'cluster_superseded',
      `the ledger reads the cluster ${last?.cluster_id} now, not ${clusterId}`,
    )
  }
  const { rows } = await client.query<{ owner: string }>(
    `select o.owner from ingest_offsets o
     join pg_stat_activity a on a.pid = o.owner_backend_pid and a.backend_start = o.owner_backend_start
     where o.cluster_id <> $1 limit 1`,
    [clusterId],
  )
  if (rows[0] !== undefined) {
    const message = `${rows[0].owner} still reads another cluster: stop the engine there first`
    throw new OperatingError('cluster_in_use', message, { retriable: true })
  }
  // Whoever was only paused must not go on there.
  await client.query('update ingest_offsets set epoch = epoch + 1 where cluster_id <> $1', [clusterId])
  await client.query(
    `insert into kafka_clusters (cluster_id, turn, known, published_before)
     select $1, coalesce((select max(turn) from kafka_clusters), 0) + 1,
       not exists (select 1 from ingest_offsets where last_timestamp_ms is not null and topic <> 'ticks'), published_sequence
     from publisher_progress
     on conflict (cluster_id) do update set turn = excluded.turn, known = excluded.known,
       published_before = excluded.published_before, entered_at = now()`,
    [clusterId],
  )
  if (last !== undefined) return
  // Positions from before clusters took turns.
  await client.query(
    `update ingest_offsets o set turn = c.turn from kafka_clusters c where c.cluster_id = o.cluster_id and o.turn = 0`,
  )
}

/** A partition whose history is on another cluster, and where it ended there. */
export interface Origin {
  readonly topic: string
  readonly partition: number
  /** The last record that was applied; null where none ever was. */
  readonly last: { readonly hash: Buffer; readonly timestampMs: number } | null
  /** Where this cluster was read up to in an earlier turn; 0 where it never was. */
  readonly readBefore: bigint
  /** Whether the history of any partition was found on this cluster in this turn. */
  readonly isKnown: boolean
}

const READ_ORIGINS = `with mine as (select turn, known from kafka_clusters where cluster_id = $1)
  select u.t as topic, u.p as partition, coalesce(own.next_offset, 0) as read_before, mine.known, latest.cluster_id,
    latest.last_hash, latest.last_timestamp_ms
  from mine cross join unnest($2::text[], $3::int[]) as u (t, p)
  left join ingest_offsets own on own.cluster_id = $1 and own.topic = u.t and own.partition = u.p
  left join lateral (select * from ingest_offsets o where o.topic = u.t and o.partition = u.p order by o.turn desc limit 1) latest on true
  where coalesce(own.turn, 0) < mine.turn and exists (select 1 from kafka_clusters c where c.turn < mine.turn)`

interface OriginRow {
  topic: string
  partition: number
  read_before: bigint
  known: boolean
  cluster_id: string | null
  last_hash: Buffer | null
  last_timestamp_ms: bigint | null
}

/** Those of some partitions whose history must first be found on this cluster; topics without the prefix. @throws UnreachableError */
export const readOrigins = async (
  pool: Pick<pg.Pool, 'query'>,
  clusterId: string,
  partitions: readonly { readonly topic: string; readonly partition: number }[],
): Promise<Origin[]> => {
  try {
    const { rows } = await pool.query<OriginRow>(READ_ORIGINS, [
      clusterId,
      partitions.map(({ topic }) => topic),
      partitions.map(({ partition }) => partition),
    ])
    return rows.map((row) => ({
      topic: row.topic,
      partition: row.partition,
      readBefore: row.read_before,
      isKnown: row.known,
      last:
        row.last_timestamp_ms === null
          ? null
          : { hash: row.last_hash ?? Buffer.alloc(0), timestampMs: Number(row.last_timestamp_ms) },
    }))
  } catch (error) {
    throw asOperatingError(error)
  }
}

/** Where a partition goes on in this cluster. */
export interface Adoption {
  readonly topic: string
  readonly partition: number
  readonly nextOffset: bigint
  /** Whether a record that was applied was found: the cluster is a copy of the one before. */
  readonly isProof: boolean
  /** The last applied record below `nextOffset`, where it stands in this cluster; null where nobody knows. */
  readonly last: { readonly offset: bigint; readonly hash: Buffer } | null
  /** Time of the last applied record, ms since 1970; null where none ever was. */
  readonly timestampMs: number | null
}

/** Takes a partition's position over into this cluster's turn. @throws UnreachableError */
export const adoptPartition = async (
  pool: Pick<pg.Pool, 'query'>,
  clusterId: string,
  { topic, partition, nextOffset, isProof, last, timestampMs }: Adoption,
): Promise<void> => {
  try {
    await pool.query(
      `with known as (update kafka_clusters set known = known or $8 where cluster_id = $1 returning turn)
       insert into ingest_offsets (cluster_id, topic, partition, next_offset, last_offset, last_hash, last_timestamp_ms, turn,
         jumped_to)
       select $1, $2, $3, $4, $5, $6, $7, turn, nullif($4::bigint, 0) from known
       on conflict (cluster_id, topic, partition) do update set next_offset = excluded.next_offset,
         last_offset = excluded.last_offset, last_hash = excluded.last_hash, last_timestamp_ms = excluded.last_timestamp_ms,
         turn = excluded.turn, epoch = ingest_offsets.epoch + 1, topic_id = null,
         jumped_from = ingest_offsets.next_offset, jumped_to = nullif(excluded.next_offset, ingest_offsets.next_offset)
       where ingest_offsets.turn < excluded.turn`,
      [
        clusterId,
        topic,
        partition,
        nextOffset,
        last?.offset ?? null,
        last?.hash ?? null,
        timestampMs,
        isProof,
      ],
    )
  } catch (error) {
    throw asOperatingError(error)
  }
}

/**
 * From now on it counts no longer that more was noted as published than Kafka has: publishing goes on behind what is there.
 * @throws UnreachableError
 */
export const acceptPublished = async (pool: Pick<pg.Pool, 'query'>): Promise<void> => {
  try {
    await pool.query(
      `update kafka_clusters set published_before = (select published_sequence from publisher_progress)
       where turn = (select max(turn) from kafka_clusters)`,
    )
  } catch (error) {
    throw asOperatingError(error)
  }
}

/** Which of some transactions were taken with this content; keys and contents as 32 hex digits. @throws UnreachableError */
export const isAnyTaken = async (
  pool: Pick<pg.Pool, 'query'>,
  transactions: readonly { readonly key: string; readonly content: string }[],
): Promise<boolean> => {
  try {
    const { rowCount } = await pool.query(
      `select 1 from unnest($1::uuid[], $2::uuid[]) as u (k, c) join transaction_ids i on i.key = u.k and i.content = u.c limit 1`,
      [transactions.map(({ key }) => key), transactions.map(({ content }) => content)],
    )
    return rowCount === 1
  } catch (error) {
    throw asOperatingError(error)
  }
}
