/** One processor's connection to a ledger: owning partitions, locking the head, and ending a batch. */
import pg from 'pg'
import type { BatchNeeds } from '#domain/ledger/needs.ts'
import type { BatchEffects, LedgerState } from '#domain/ledger/state.ts'
import { restoreTicks } from '#domain/time/pending-ticks.ts'
import { IncidentError } from '#platform/errors.ts'
import { asOperatingError } from '../postgres-errors.ts'
import { loadState } from './load.ts'
import type {
  ClaimedPartition,
  EncodedBatch,
  LedgerCache,
  LedgerStore,
  LoadOptions,
  LockedHead,
  PartitionProgress,
  PartitionToClaim,
  PositionJump,
  Statements,
  StatementValue,
} from './store.ts'
import { commitBatch } from './write.ts'

export interface LedgerSessionOptions {
  readonly connectionString: string
  readonly ssl: pg.ClientConfig['ssl']
  readonly schema: string
  readonly clusterId: string
  /** Who this is, for the offset rows and pg_stat_activity. */
  readonly owner: string
  /** How long this session may sit in an open transaction before Postgres ends it and frees the head, ms. */
  readonly idleInTransactionMs: number
  readonly connectTimeoutMs: number
  /** Makes the connection's client; pg's own where absent. */
  readonly makeClient?: (config: pg.ClientConfig) => pg.Client
}

const LOCK_HEAD = `select sequence, hash, tick_ms, pending_ticks, expiring, logic_version, rules_version,
  accounts_count, cards_count, timeline from ledger_head for update`

// Row locks aren't fair: who asks again at once overtakes those who wait. Advisory locks are granted in the order of asking.
const WAIT_FOR_TURN = `select pg_advisory_xact_lock('ledger_head'::regclass::oid::bigint)`

const READ_POSITIONS = `select topic, partition, next_offset, jumped_from, jumped_to from ingest_offsets where cluster_id = $1`

export class LedgerSession implements LedgerStore, Statements {
  private readonly client: pg.Client
  private readonly options: LedgerSessionOptions
  private broken: Error | null = null

  private constructor(client: pg.Client, options: LedgerSessionOptions) {
    this.client = client
    this.options = options
    client.on('error', (error) => {
      this.broken = error
    })
    client.on('end', () => {
      this.broken ??= new Error('the connection has ended')
    })
  }

  /** Connects. @throws UnreachableError */
  static async open(options: LedgerSessionOptions): Promise<LedgerSession> {
    const makeClient = options.makeClient ?? ((config) => new pg.Client(config))
    const client = makeClient({
      connectionString: options.connectionString,
      ssl: options.ssl,
      application_name: `tallystream processor ${options.owner}`,
      connectionTimeoutMillis: options.connectTimeoutMs,
      keepAlive: true,
      pipeline: true,
      // A statement that never answers must not hold the loop for ever.
      query_timeout: options.idleInTransactionMs * 10,
    })
    // It listens from the start: a connection reset before the first answer would end the process as an unhandled error.
    const session = new LedgerSession(client, options)
    try {
      await client.connect()
      await Promise.all([
        client.query(`select set_config('search_path', $1, false)`, [options.schema]),
        client.query(`set idle_in_transaction_session_timeout = ${options.idleInTransactionMs}`),
        client.query(`set transaction_timeout = ${options.idleInTransactionMs * 5}`),
        client.query('set jit = off'),
      ])
    } catch (error) {
      await client.end().catch(() => undefined)
      throw asOperatingError(error)
    }
    return session
  }

  get isBroken(): boolean {
    return this.broken !== null
  }

  get clusterId(): string {
    return this.options.clusterId
  }

  /**
   * Sends a prepared statement; several may be under way at once, and are answered in order.
   * @throws UnreachableError, OperatingError `compare_and_swap_failed`, `postgres_failed`
   */
  async query<Row extends pg.QueryResultRow>(
    name: string,
    text: string,
    values: readonly StatementValue[] = [],
  ): Promise<pg.QueryResult<Row>> {
    if (this.broken !== null) throw asOperatingError(this.broken)
    try {
      return await this.client.query<Row>({ name, text, values: values as unknown[] })
    } catch (error) {
      // Here and not by each caller: whoever was frozen in a transaction learns of its end from any statement.
      throw asOperatingError(error)
    }
  }

  async claim(partitions: readonly PartitionToClaim[], member?: string): Promise<ClaimedPartition[]> {
    const topics = partitions.map((p) => p.topic)
    const numbers = partitions.map((p) => p.partition)
    try {
      // Before anything that would wait for a row which the old owner holds, as even an insert that finds it there does.
      await this.query(
        'claim-end-old',
        `select pg_terminate_backend(a.pid, 1000) from ingest_offsets o
         join pg_stat_activity a on a.pid = o.owner_backend_pid and a.backend_start = o.owner_backend_start
         join unnest($2::text[], $3::int[]) as u (t, p) on o.topic = u.t and o.partition = u.p
         where o.cluster_id = $1 and a.pid <> pg_backend_pid() group by a.pid`,
        [this.clusterId, topics, numbers],
      )
      await this.query(
        'claim-insert',
        `insert into ingest_offsets (cluster_id, topic, partition, next_offset, turn, jumped_to)
         select $1, t, p, o, coalesce((select turn from kafka_clusters where cluster_id = $1), 0), nullif(o, 0)
         from unnest($2::text[], $3::int[], $4::bigint[]) as u (t, p, o) on conflict do nothing`,
        [this.clusterId, topics, numbers, partitions.map((p) => String(p.initialOffset))],
      )
      const { rows } = await this.query<ClaimRow>(
        'claim-take',
        `update ingest_offsets o set epoch = epoch + 1, owner = $4, incident = null, owner_backend_pid = pg_backend_pid(),
           owner_backend_start = (select backend_start from pg_stat_activity where pid = pg_backend_pid()),
           owner_member = $5, topic_id = coalesce(o.topic_id, u.i)
         from unnest($2::text[], $3::int[], $6::text[]) as u (t, p, i)
         where o.cluster_id = $1 and o.topic = u.t and o.partition = u.p
         returning o.topic, o.partition, o.next_offset, o.epoch, o.last_offset, o.last_hash, o.topic_id`,
        [
          ...[this.clusterId, topics, numbers, this.options.owner, member ?? null],
          partitions.map((p) => p.topicId),
        ],
      )
      return rows.map(claimed)
    } catch (error) {
      throw asOperatingError(error)
    }
  }

  async release(partitions: readonly ClaimedPartition[]): Promise<void> {
    try {
      await this.query(
        'release',
        `update ingest_offsets o set owner = '', owner_backend_pid = null, owner_backend_start = null,
           owner_member = null
         from unnest($2::text[], $3::int[], $4::bigint[]) as u (t, p, e)
         where o.cluster_id = $1 and o.topic = u.t and o.partition = u.p and o.epoch = u.e`,
        [
          this.clusterId,
          partitions.map((p) => p.topic),
          partitions.map((p) => p.partition),
          partitions.map((p) => String(p.epoch)),
        ],
      )
    } catch (error) {
      throw asOperatingError(error)
    }
  }

  async begin(): Promise<LockedHead> {
    try {
      const [, , head, positions] = await Promise.all([
        this.query('begin', 'begin'),
        this.query('wait-for-turn', WAIT_FOR_TURN),
        this.query<HeadRow>('lock-head', LOCK_HEAD),
        this.query<PositionRow>('read-positions', READ_POSITIONS, [this.clusterId]),
      ])
      const row = head.rows[0]
      if (row === undefined) {
        throw new IncidentError('head_missing', 'the ledger has no head row: run `npx tallystream migrate`')
      }
      return lockedHead(row, positions.rows)
    } catch (error) {
      throw asOperatingError(error)
    }
  }

  load(head: LockedHead, needs: BatchNeeds, cache: LedgerCache, options: LoadOptions): Promise<LedgerState> {
    return loadState(this, head, needs, cache, options)
  }

  commit(
    head: LockedHead,
    state: LedgerState,
    effects: BatchEffects,
    progress: readonly PartitionProgress[],
    batch: EncodedBatch,
  ): Promise<void> {
    return commitBatch(this, head, state, effects, progress, batch)
  }

  commitAhead(
    expected: LockedHead,
    state: LedgerState,
    effects: BatchEffects,
    progress: readonly PartitionProgress[],
    batch: EncodedBatch,
  ): Promise<void> {
    return commitBatch(this, expected, state, effects, progress, batch, { ahead: true })
  }

  async rollback(): Promise<void> {
    if (this.broken !== null) return
    await this.client.query('rollback').catch(() => undefined)
  }

  async close(): Promise<void> {
    const ended = this.client.end().catch(() => undefined)
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 2_000).unref())])
  }
}

interface HeadRow {
  sequence: string
  hash: Buffer
  tick_ms: string
  pending_ticks: unknown
  expiring: boolean
  logic_version: number
  rules_version: string
  accounts_count: string
  cards_count: string
  timeline: string
}

interface PositionRow {
  topic: string
  partition: number
  next_offset: string
  jumped_from: string | null
  jumped_to: string | null
}

interface ClaimRow extends Omit<PositionRow, 'jumped_from' | 'jumped_to'> {
  epoch: string
  last_offset: string | null
  last_hash: Buffer | null
  topic_id: string | null
}

const claimed = (row: ClaimRow): ClaimedPartition => ({
  topic: row.topic,
  partition: row.partition,
  nextOffset: BigInt(row.next_offset),
  epoch: BigInt(row.epoch),
  last:
    row.last_offset === null || row.last_hash === null
      ? null
      : { offset: BigInt(row.last_offset), hash: row.last_hash },
  topicId: row.topic_id,
})

const lockedHead = (row: HeadRow, positions: readonly PositionRow[]): LockedHead => ({
  sequence: BigInt(row.sequence),
  hash: row.hash,
  time: restoreTicks(Number(row.tick_ms), row.pending_ticks),
  expiring: row.expiring,
  logicVersion: row.logic_version,
  rulesVersion: BigInt(row.rules_version),
  accountsCount: Number(row.accounts_count),
  cardsCount: Number(row.cards_count),
  timeline: BigInt(row.timeline),
  positions: new Map(positions.map((p) => [`${p.topic}:${p.partition}`, BigInt(p.next_offset)])),
  jumps: positions
    .filter((p) => p.jumped_to !== null)
    .map(jumpOf)
    .sort(byPartition),
})

const jumpOf = ({ topic, partition, jumped_from: from, jumped_to: to }: PositionRow): PositionJump => ({
  topic,
  partition,
  from: from === null ? null : BigInt(from),
  to: BigInt(to!),
})

/** The same order whenever the same are told: they are hashed. */
const byPartition = (a: PositionJump, b: PositionJump): number =>
  a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1
