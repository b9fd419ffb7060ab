/**
 * The port between the engine and its ledger: what a processor asks of Postgres, and the values that cross. The session
 * (session.ts) answers it; a simulation may.
 */
import type pg from 'pg'
import type { PartyState } from '#domain/fraud/parties.ts'
import type { Rule } from '#domain/fraud/rules.ts'
import type { Horizons } from '#domain/ledger/horizons.ts'
import type { BatchNeeds } from '#domain/ledger/needs.ts'
import type { AccountState, BatchEffects, LedgerState } from '#domain/ledger/state.ts'
import type { TickState } from '#domain/time/pending-ticks.ts'

/** A position that was set otherwise than by reading on. */
export interface PositionJump {
  readonly topic: string
  readonly partition: number
  /** null: it was never read before. */
  readonly from: bigint | null
  readonly to: bigint
}

/** The head row and the offset rows of this cluster, as locked. */
export interface LockedHead {
  readonly sequence: bigint
  readonly hash: Buffer
  readonly time: TickState
  readonly expiring: boolean
  readonly logicVersion: number
  readonly rulesVersion: bigint
  readonly accountsCount: number
  readonly cardsCount: number
  readonly timeline: bigint
  /** 'topic:partition' → next offset, for every partition of this cluster. */
  readonly positions: Map<string, bigint>
  /** Those of them that no batch has told yet. */
  readonly jumps?: readonly PositionJump[]
}

export interface ClaimedPartition {
  readonly topic: string
  readonly partition: number
  readonly nextOffset: bigint
  readonly epoch: bigint
  /** The last applied record, to be compared with what the log holds there; null = none yet. */
  readonly last: { readonly offset: bigint; readonly hash: Buffer } | null
  /** Of the topic when the partition was first read, or first after its position was moved; null = not known. */
  readonly topicId: string | null
}

export interface PartitionToClaim {
  readonly topic: string
  readonly partition: number
  /** Where reading starts when the ledger has never read the partition. */
  readonly initialOffset: bigint
  /** Of the topic as it is now, kept where none is yet; null = not known. */
  readonly topicId: string | null
}

/** How far a batch read one partition. */
export interface PartitionProgress {
  readonly claim: ClaimedPartition
  readonly from: bigint
  readonly next: bigint
  /** The last record: to notice later that the log under it is another one. */
  readonly last: { readonly offset: bigint; readonly hash: Buffer; readonly timestampMs: number } | null
}

/** The encoded account of the batch; see domain/ledger/batch-record.ts. */
export interface EncodedBatch {
  readonly hash: Buffer
  readonly format: number
  readonly records: number
  readonly header: Buffer
  readonly payload: Buffer
}

/** What may be kept between batches of one process. Believed only while the head is the one this process wrote. */
export interface LedgerCache {
  readonly accounts: Map<string, AccountState>
  /** By domain/fraud/parties.ts keys; what was looked for and isn't there is a party that was never seen. */
  readonly parties: Map<string, PartyState>
  rules: readonly Rule[] | null
  horizons: Horizons
  rulesVersion: bigint
}

export interface LoadOptions {
  /** Whether to look for ids that are already taken; if not, taking them raises where one is. */
  readonly checkIds: boolean
}

/** One processor's hold on a ledger. After an error nothing is known but what a new session reads. */
export interface LedgerStore {
  /** Whether the connection is gone: only a new one can go on. */
  readonly isBroken: boolean
  readonly clusterId: string
  /**
   * Takes partitions: ends the database session of whoever had them, then raises their epoch. Only after that is the
   * position read, so that nothing the old owner commits can come later. @throws UnreachableError
   * @param member as which the consumer group knows the owner
   */
  claim(partitions: readonly PartitionToClaim[], member?: string): Promise<ClaimedPartition[]>
  /** Lets go of partitions whose work is done, so that the next owner need not end this session. */
  release(partitions: readonly ClaimedPartition[]): Promise<void>
  /**
   * Begins a transaction and locks the head by a statement of its own; only later statements read what a batch needs:
   * under READ COMMITTED a statement that locks and joins would see the joined rows as they were before the lock.
   * @throws IncidentError `head_missing`, UnreachableError
   */
  begin(): Promise<LockedHead>
  /** Reads what a batch needs, under the head's lock. What the cache holds isn't read; what is read isn't put into it. */
  load(head: LockedHead, needs: BatchNeeds, cache: LedgerCache, options: LoadOptions): Promise<LedgerState>
  /**
   * Writes and commits. @throws OperatingError `compare_and_swap_failed` (another processor was first, or an id is
   * taken), `commit_rolled_back`, or UnreachableError; after a lost connection the offset rows decide what happened.
   */
  commit(
    head: LockedHead,
    state: LedgerState,
    effects: BatchEffects,
    progress: readonly PartitionProgress[],
    batch: EncodedBatch,
  ): Promise<void>
  /**
   * As commit, for a batch that was decided while the one before it was being committed: begins a transaction, and locks the
   * head only where it is the expected one, all in one go behind what is under way. @throws also OperatingError
   * `compare_and_swap_failed` of the ledger head, where another batch came between: then nothing of it was written
   */
  commitAhead(
    expected: LockedHead,
    state: LedgerState,
    effects: BatchEffects,
    progress: readonly PartitionProgress[],
    batch: EncodedBatch,
  ): Promise<void>
  /** Never throws. */
  rollback(): Promise<void>
  /** Ends the session; bounded. */
  close(): Promise<void>
}

/** What reading and writing need of a session: prepared statements in a pipeline, answered in order. */
export interface Statements {
  readonly clusterId: string
  query<Row extends pg.QueryResultRow>(
    name: string,
    text: string,
    values?: readonly StatementValue[],
  ): Promise<pg.QueryResult<Row>>
}

export type StatementValue =
  | string
  | number
  | bigint
  | boolean
  | Buffer
  | null
  | readonly (string | null)[]
  | readonly number[]
