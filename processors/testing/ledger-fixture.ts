/**
 * A ledger of its own on the real Postgres for one test file, and what stands in for a processor's loop: inputs get their
 * places in a log, are cut into batches as the test says, and go through the real applier.
 */
import { createHash } from 'node:crypto'
import { FRAME_TOPICS, type OutputFrame, readFrames } from '#domain/ledger/batch-record.ts'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { LOGIC_VERSION } from '#domain/ledger/state.ts'
import { START_MS } from '#domain/ledger/testing/memory-ledger.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { BatchStore, type StoredBatch } from '#platform/postgres/batch-store.ts'
import { type EnginePool, makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { LedgerSession } from '#platform/postgres/ledger-store/session.ts'
import type { ClaimedPartition } from '#platform/postgres/ledger-store/store.ts'
import { migrateLedger } from '#platform/postgres/migrate.ts'
import { type Contracts, encodeAtOf, frameSchemaIds, schemaOf } from '#platform/schema-registry/contracts.ts'
import type { AvroSchemaObject } from '#platform/schema-registry/registry.ts'
import { AvroDecoder } from '#platform/schema-registry/serde.ts'
import { systemClock } from '#platform/time/clock.ts'
import { TOPICS } from '#schemas/topics.ts'
import { BatchApplier, type BatchContext, type BatchResult } from '../apply/batch.ts'
import type { PartitionInputs } from '../runtime/batch-header.ts'
import type { OutputEncoders } from '../runtime/outputs.ts'

/** Contracts with ids of our own, for tests that need no registry. */
export const localContracts = Object.fromEntries(
  Object.entries(TOPICS).map(([key, topic], place) => [
    key,
    { topic, schema: schemaOf(topic), id: place + 1 },
  ]),
) as Contracts

/** Knows the schemas of `localContracts`. */
export const localSchemas = {
  schema: async (id: number): Promise<AvroSchemaObject> =>
    Object.values(localContracts).find((contract) => contract.id === id)!.schema,
}

/** Encoders of the outputs, by the given contracts. */
export const encodersOf = (contracts: Contracts): OutputEncoders => {
  const byName = new Map(Object.values(contracts).map((contract) => [contract.topic.name, contract]))
  return Object.fromEntries(
    FRAME_TOPICS.map((topic) => [topic, encodeAtOf(byName.get(topic)!)]),
  ) as OutputEncoders
}

/** A decision as the `transaction_history` view shows it. */
export interface HistoryRow {
  readonly id: string
  readonly kind: string
  readonly cause: string
  readonly status: string
  readonly reason: string | null
}

export interface BalanceRow {
  readonly account_id: string
  readonly posted: bigint
  readonly reserved: bigint
  readonly version: bigint
}

/** The partitions that tests use. */
const PARTITIONS = [
  ...['accounts', 'cards', 'reviews', 'fraud.labels', 'rules', 'commands', 'ticks'].map((topic) => ({
    topic,
    partition: 0,
  })),
  ...[0, 1, 2].map((partition) => ({ topic: 'transactions', partition })),
]

/** One processor without its loop: a session with claimed partitions, and an applier. */
export class LedgerDriver {
  readonly session: LedgerSession
  readonly applier: BatchApplier
  readonly claims: ReadonlyMap<string, ClaimedPartition>

  constructor(session: LedgerSession, applier: BatchApplier, claims: ReadonlyMap<string, ClaimedPartition>) {
    this.session = session
    this.applier = applier
    this.claims = claims
  }

  /** The selection that a processor's backlog would give: runs of one partition, in the order of the inputs. */
  selectionOf(inputs: readonly LedgerInput[]): PartitionInputs[] {
    const runs: LedgerInput[][] = []
    for (const input of inputs) {
      const run = runs.at(-1)
      const last = run?.[0]
      if (run && last?.topic === input.topic && last.partition === input.partition) run.push(input)
      else runs.push([input])
    }
    return runs.map((run) => {
      const first = run[0]!
      return {
        claim: this.claims.get(`${first.topic}:${first.partition}`)!,
        from: first.offset,
        inputs: run,
        lastRecord: (count) => {
          const { offset, topic } = run[count - 1]!
          return {
            offset,
            hash: createHash('sha256').update(`${topic}:${offset}`).digest(),
            timestampMs: START_MS,
          }
        },
      }
    })
  }

  /** Applies inputs in batches of at most `size`; what a batch leaves over goes into the next. */
  async apply(inputs: readonly LedgerInput[], size = inputs.length): Promise<BatchResult[]> {
    const results: BatchResult[] = []
    let left = inputs
    while (left.length > 0) {
      const result = await this.applier.apply(this.selectionOf(left.slice(0, size)))
      results.push(result)
      left = left.slice(result.consumed)
    }
    return results
  }
}

export class LedgerFixture {
  readonly configuration: Configuration
  readonly pool: EnginePool
  readonly store: BatchStore
  private readonly next = new Map<string, bigint>()
  private readonly sessions: LedgerSession[] = []

  private constructor(configuration: Configuration) {
    this.configuration = configuration
    this.pool = makeEnginePool(configuration.postgres, { applicationName: 'tests', connectionsMax: 4 })
    this.store = new BatchStore(this.pool)
  }

  /** Migrates a fresh ledger whose time starts at START_MS. */
  static async create(configuration: Configuration, nowMs = START_MS): Promise<LedgerFixture> {
    const { postgres, ledger } = configuration
    await migrateLedger(postgres, { ledger: ledger.name, nowMs, logicVersion: LOGIC_VERSION })
    return new LedgerFixture(configuration)
  }

  async openSession(options: { owner?: string; idleInTransactionMs?: number } = {}): Promise<LedgerSession> {
    const { postgres, ledger } = this.configuration
    const session = await LedgerSession.open({
      connectionString: postgres.url,
      ssl: undefined,
      schema: postgres.schema,
      clusterId: ledger.clusterId,
      owner: options.owner ?? 'tests',
      idleInTransactionMs: options.idleInTransactionMs ?? 10_000,
      connectTimeoutMs: 5_000,
    })
    this.sessions.push(session)
    return session
  }

  /** A processor's context without its session. */
  context(
    changes: Partial<Omit<BatchContext, 'session' | 'clock'>> = {},
  ): Omit<BatchContext, 'session' | 'clock'> {
    return {
      ledger: this.configuration.ledger.name,
      encoders: encodersOf(localContracts),
      schemas: frameSchemaIds(localContracts),
      accountsMax: 1_000,
      publishBacklogMax: 1_000_000,
      publishedSequence: () => 0n,
      ...changes,
    }
  }

  /** Takes the partitions as another processor would, with nothing in memory. */
  async openDriver(
    options: {
      owner?: string
      context?: Partial<Omit<BatchContext, 'session' | 'clock'>>
      partitions?: readonly { topic: string; partition: number }[]
    } = {},
  ): Promise<LedgerDriver> {
    const session = await this.openSession(options.owner === undefined ? {} : { owner: options.owner })
    const partitions = options.partitions ?? PARTITIONS
    const claims = await session.claim(
      partitions.map((partition) => ({ ...partition, initialOffset: 0n, topicId: null })),
    )
    const applier = new BatchApplier({ ...this.context(options.context), clock: systemClock, session })
    return new LedgerDriver(
      session,
      applier,
      new Map(claims.map((claim) => [`${claim.topic}:${claim.partition}`, claim])),
    )
  }

  /** Puts inputs at the end of their partitions' logs. */
  log<T extends LedgerInput>(inputs: readonly T[]): T[] {
    return inputs.map((input) => {
      const name = `${input.topic}:${input.partition}`
      const offset = this.next.get(name) ?? 0n
      this.next.set(name, offset + 1n)
      return { ...input, offset }
    })
  }

  /** Any query on the ledger's tables; int8 as bigint. */
  async rows<Row>(text: string, values: unknown[] = []): Promise<Row[]> {
    const { rows } = await this.pool.query(text, values)
    return rows as Row[]
  }

  async history(): Promise<HistoryRow[]> {
    return this.rows(
      'select id, kind, cause, status, reason from transaction_history order by sequence, index',
    )
  }

  async balances(): Promise<Map<string, BalanceRow>> {
    const rows = await this.rows<BalanceRow>('select account_id, posted, reserved, version from accounts')
    return new Map(rows.map((row) => [row.account_id, row]))
  }

  /** Accounts whose balance isn't the sum of their entries, or whose reserved money isn't what active holds say; empty = all is well. */
  async differences(): Promise<unknown[]> {
    return this.rows(`with entries as (
        select account_no, sum(signed_amount) as sum from ledger_entries group by account_no),
      held as (
        select a.account_no, sum((p->>'remaining')::bigint) as sum
        from holds h, jsonb_array_elements(h.postings) p, accounts a
        where h.status = 'active'
          and ((a.account_id = p->>'debit' and a.normal_side = 'credit') or (a.account_id = p->>'credit' and a.normal_side = 'debit'))
        group by a.account_no)
      select account_id, posted, coalesce(e.sum, 0) as entries, reserved, coalesce(h.sum, 0) as held
      from accounts a left join entries e using (account_no) left join held h using (account_no)
      where posted <> coalesce(e.sum, 0) or reserved <> coalesce(h.sum, 0)`)
  }

  /** All batches, oldest first. */
  async batches(): Promise<StoredBatch[]> {
    return this.store.readAfter(0n, { batchesMax: 100_000, bytesMax: 1_000_000_000 })
  }

  /** Ends sessions and removes the ledger. */
  async close(): Promise<void> {
    await Promise.all(this.sessions.map((session) => session.close()))
    await this.pool.query(`drop schema if exists "${this.configuration.postgres.schema}" cascade`)
    await this.pool.end()
  }
}

/** The frames of a batch's outputs on one topic, decoded by `localContracts`. */
export const outputsOf = async <T>(
  batch: StoredBatch,
  topic: OutputFrame['topic'],
): Promise<{ key: string; value: T }[]> => {
  const contract = Object.values(localContracts).find((each) => each.topic.name === topic)!
  const decoder = new AvroDecoder<T>(localSchemas, contract.schema)
  await decoder.prepare([contract.id])
  return readFrames(batch.payload)
    .filter((frame) => frame.topic === topic)
    .map((frame) => ({ key: frame.key.toString('utf8'), value: decoder.decode(frame.value) }))
}
