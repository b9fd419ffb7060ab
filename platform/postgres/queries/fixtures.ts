/** A ledger whose rows a test writes itself: for what reads the ledger, where the engine isn't the subject. */
import pg from 'pg'
import { currencyByCode } from '#domain/money/currency.ts'
import { contentHash, transactionKey } from '#domain/transactions/canonical.ts'
import { blankCommand, type TransactionCommand } from '#domain/transactions/command.ts'
import {
  CAUSES,
  type Cause,
  KINDS,
  REASONS,
  type ReasonCode,
  STATUSES,
  type TransactionStatus,
} from '#domain/transactions/outcomes.ts'
import type { PostgresConfiguration } from '#platform/config/configuration.ts'
import { migrate } from '#platform/postgres/migrate.ts'

/** Noon of a day in the middle of a month: its partition exists, and so do its neighbours. */
export const FIXTURE_TIME_MS = Date.UTC(2026, 5, 15, 12)

/** A command with defaults; only what a test states means something. */
export const commandOf = (changes: Partial<TransactionCommand> & { id: string }): TransactionCommand =>
  blankCommand({ source: '', postings: [], occurredAt: FIXTURE_TIME_MS, actor: 'tester', ...changes })

export interface FixtureDecision {
  command: TransactionCommand
  status: TransactionStatus
  reason?: ReasonCode
  cause?: Cause
  /** Default: one hour after the previous decision. */
  recordedAtMs?: number
  /** Where the record stood. */
  position?: { topic: string; partition: number; offset: bigint }
  occurredAtGiven?: boolean
}

interface FixtureAccount {
  no: number
  posted: bigint
  reserved: bigint
}

/** Writes the rows that the engine would write; one decision a batch. */
export class LedgerFixture {
  readonly #client: pg.Client
  readonly #schema: string
  readonly #accounts = new Map<string, FixtureAccount>()
  sequence = 0n
  nowMs = FIXTURE_TIME_MS

  private constructor(client: pg.Client, schema: string) {
    this.#client = client
    this.#schema = schema
  }

  static async open(postgres: PostgresConfiguration, ledger: string): Promise<LedgerFixture> {
    const client = new pg.Client({ connectionString: postgres.url })
    await client.connect()
    await migrate(client, { schema: postgres.schema, ledger, nowMs: FIXTURE_TIME_MS, logicVersion: 1 })
    await client.query(`set search_path = ${postgres.schema}`)
    return new LedgerFixture(client, postgres.schema)
  }

  /** Removes the ledger and disconnects. */
  async close(): Promise<void> {
    await this.#client.query(`drop schema ${this.#schema} cascade`)
    await this.#client.end()
  }

  /** Any other statement, with the ledger's schema in the path. */
  async run(text: string, values: unknown[] = []): Promise<void> {
    await this.#client.query(text, values)
  }

  async openAccount(
    id: string,
    options: {
      currency?: string
      normalSide?: 'debit' | 'credit'
      limited?: boolean
      overdraftLimit?: bigint
    } = {},
  ): Promise<void> {
    const no = this.#accounts.size + 1
    await this.#next()
    await this.#client.query(
      `insert into accounts (account_no, account_id, currency, account_class, normal_side, status, limited, overdraft_limit,
         reversal_may_overdraw, version, opened_sequence)
       values ($1, $2, $3, 'customer', $4, 'open', $5, $6, false, $7, $7)`,
      [
        no,
        id,
        currencyByCode(options.currency ?? 'EUR')!.numeric,
        options.normalSide ?? 'credit',
        options.limited ?? true,
        options.overdraftLimit ?? 0n,
        this.sequence,
      ],
    )
    this.#accounts.set(id, { no, posted: 0n, reserved: 0n })
  }

  /** Decides a transaction as stated, without judging it. @returns its sequence. */
  async decide(decision: FixtureDecision): Promise<bigint> {
    const { command, status } = decision
    await this.#next(decision.recordedAtMs)
    const key = transactionKey(command.source, command.id)
    const recordedAt = new Date(this.nowMs)
    const valueAt = new Date(command.valueTime ?? command.occurredAt)
    const cause = decision.cause ?? 'transaction'
    const claims = cause === 'transaction' && status !== 'duplicate' && decision.reason !== 'id_conflict'
    if (claims) {
      const content = contentHash(command, { occurredAtGiven: decision.occurredAtGiven ?? true })
      await this.#client.query('insert into transaction_ids values ($1, $2, $3, 0, $4)', [
        key,
        content,
        this.sequence,
        recordedAt,
      ])
    }
    const position = decision.position ?? { topic: 'transactions', partition: 0, offset: this.sequence }
    await this.#client.query(
      `insert into transactions (recorded_at, sequence, index, key, id, source, kind, cause, status, reason, parent_key,
         occurred_at, value_at, topic, partition, "offset", actor, end_to_end_id)
       values ($1, $2, 0, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
      [
        recordedAt,
        this.sequence,
        key,
        command.id,
        command.source,
        KINDS.indexOf(command.kind as (typeof KINDS)[number]),
        CAUSES.indexOf(cause),
        STATUSES.indexOf(status),
        decision.reason === undefined ? null : REASONS.indexOf(decision.reason),
        command.parentId === null ? null : transactionKey(command.source, command.parentId),
        new Date(command.occurredAt),
        valueAt,
        position.topic,
        position.partition,
        position.offset,
        command.actor,
        command.endToEndId,
      ],
    )
    if (status === 'applied') await this.#post(command, recordedAt, valueAt)
    if (status === 'held' || status === 'authorized') await this.#hold(key, command, status)
    return this.sequence
  }

  /** The state of a hold after a later decision; its last change is that decision. */
  async endHold(source: string, id: string, status: string): Promise<void> {
    await this.#client.query('update holds set status = $1, version = $2, version_index = 0 where key = $3', [
      status,
      this.sequence,
      transactionKey(source, id),
    ])
  }

  /** Says that records up to here are applied. */
  async advance(
    position: { topic: string; partition: number; offset: bigint },
    clusterId: string,
  ): Promise<void> {
    await this.#client.query(
      `insert into ingest_offsets (cluster_id, topic, partition, next_offset) values ($1, $2, $3, $4)
       on conflict (cluster_id, topic, partition) do update set next_offset = excluded.next_offset`,
      [clusterId, position.topic, position.partition, position.offset + 1n],
    )
  }

  async #next(recordedAtMs = this.nowMs + 3_600_000): Promise<void> {
    this.sequence += 1n
    this.nowMs = recordedAtMs
    await this.#client.query('update ledger_head set sequence = $1, tick_ms = $2', [
      this.sequence,
      this.nowMs,
    ])
  }

  async #post(command: TransactionCommand, recordedAt: Date, valueAt: Date): Promise<void> {
    for (const [place, posting] of command.postings.entries()) {
      const debit = this.#accounts.get(posting.debit)!
      const credit = this.#accounts.get(posting.credit)!
      debit.posted -= posting.amount
      credit.posted += posting.amount
      await this.#client.query('insert into postings values ($1, $2, 0, $3, $4, $5, $6, $7, $8, $9, $10)', [
        recordedAt,
        this.sequence,
        place,
        debit.no,
        credit.no,
        posting.amount,
        currencyByCode(posting.currency)!.numeric,
        debit.posted,
        credit.posted,
        valueAt,
      ])
      for (const account of [debit, credit]) await this.#writeAccount(account)
    }
  }

  async #hold(key: string, command: TransactionCommand, status: 'held' | 'authorized'): Promise<void> {
    const postings = command.postings.map((posting) => ({
      ...posting,
      amount: String(posting.amount),
      remaining: String(posting.amount),
    }))
    await this.#client.query(
      `insert into holds (key, kind, status, id, source, sequence, index, expires_at_ms, postings, command, version, version_index)
       values ($1, $2, 'active', $3, $4, $5, 0, $6, $7, '{}', $5, 0)`,
      [
        key,
        status === 'held' ? 'review' : 'authorization',
        command.id,
        command.source,
        this.sequence,
        this.nowMs + 7 * 86_400_000,
        JSON.stringify(postings),
      ],
    )
    for (const posting of command.postings) {
      const debit = this.#accounts.get(posting.debit)!
      debit.reserved += posting.amount
      await this.#writeAccount(debit)
    }
  }

  async #writeAccount(account: FixtureAccount): Promise<void> {
    await this.#client.query(
      'update accounts set posted = $1, reserved = $2, version = $3 where account_no = $4',
      [account.posted, account.reserved, this.sequence, account.no],
    )
  }
}
