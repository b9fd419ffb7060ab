/** A ledger with a history of every kind, published, archived and partly closed, for changing it by hand and putting it back. */

import { labelValue } from '#connectors/ingest/wire.ts'
import { label } from '#domain/transactions/testing/fixtures.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { AuditLog } from '#platform/postgres/audit-log.ts'
import { closePeriods } from '#platform/postgres/periods/close.ts'
import { dropPeriods } from '#platform/postgres/periods/drop.ts'
import type { AuditTable } from '#platform/postgres/queries/audit-rows.ts'
import type { Finding } from '#processors/audit/verify/findings.ts'
import { type Column, namesOf } from '#processors/audit/verify/testing/columns.ts'
import { auditVerify } from '#processors/auditing-verify.ts'
import { shadowRulebook } from '#domain/fraud/testing/rulebooks.ts'
import type { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'
import { copyTables, restoreTables } from '#processors/testing/schema-copy.ts'
import { HistoryFixture } from './history-fixture.ts'

const DAY_MS = 86_400_000
const ARCHIVE_TIMEOUT_MS = 20_000

/** A row to change. */
export interface Target {
  readonly ctid: string
  /** The table or partition that holds it. */
  readonly part: string
  /** As findings name it. */
  readonly key: string
}

export class TamperedLedger {
  readonly history: HistoryFixture
  private readonly configuration: Configuration

  private constructor(history: HistoryFixture, configuration: Configuration) {
    this.history = history
    this.configuration = configuration
  }

  /**
   * Applies runs with every kind of transaction, and what they have none or few of; keeps a copy of all tables.
   * @param configuration with an archive of several small segments
   */
  static async create(configuration: Configuration): Promise<TamperedLedger> {
    // Two whole months at least lie between the first run and now: one with entries, one or two without.
    const history = await HistoryFixture.create(configuration, Date.now() - 75 * DAY_MS)
    const ledger = new TamperedLedger(history, configuration)
    await history.generate('v0', { seed: 20, transactions: 600, accounts: 60, roles: [] })
    await history.pipeline.start(['processor'])
    await history.pipeline.putRulebook(
      shadowRulebook(['card_count_1d', 'terminal_frauds_28d', 'device_count_1d']),
    )
    await history.pipeline.stop()
    await history.generate('v1', { seed: 21, transactions: 1_500, accounts: 60 })
    const { pipeline } = history
    await pipeline.start(['processor'])
    await administer(pipeline)
    const entry = { atMs: Date.now(), actor: 'tests', action: 'look', details: {} }
    await new AuditLog(pipeline.ledger.pool).append(
      ['a', 'b', 'c', 'd'].map((subject) => ({ ...entry, subject })),
    )
    await ledger.readAgain()
    await pipeline.published()
    await ledger.archived()
    await pipeline.stop()
    // The engine closes months by itself too, where it comes to it.
    await closePeriods(pipeline.ledger.pool, { actor: 'tests' })
    await copyTables(pipeline.ledger.pool, ledger.schema, ledger.backup)
    return ledger
  }

  get schema(): string {
    return this.configuration.postgres.schema
  }

  private get backup(): string {
    return `${this.schema}_backup`
  }

  /** Any statement on the tables. */
  rows<Row>(text: string, values: unknown[] = []): Promise<Row[]> {
    return this.history.rows<Row>(text, values)
  }

  async columnsOf(table: string): Promise<Column[]> {
    return this.rows<Column>(
      `select column_name as name, udt_name as type from information_schema.columns
       where table_schema = $1 and table_name = $2 order by ordinal_position`,
      [this.schema, table],
    )
  }

  /** Some rows of a table, the same ones each time. */
  async targetsOf(table: AuditTable, limit: number): Promise<Target[]> {
    const { name } = table
    const key = namesOf(table)
      .map((column) => `(${column})::text`)
      .join(` || '/' || `)
    const where = name === 'ingest_offsets' ? 'where epoch > 0 and last_offset is not null' : ''
    return this.rows<Target>(
      `select ctid::text as ctid, tableoid::regclass::text as part, ${key} as key from ${name} ${where}
       order by md5(${key}) limit $1`,
      [limit],
    )
  }

  /** What verifying finds after changes, which are undone. @throws Error where the result contradicts itself */
  async foundAfter(...changes: string[]): Promise<Finding[]> {
    try {
      for (const change of changes) await this.rows(change)
      return await this.found()
    } finally {
      await restoreTables(this.history.pipeline.ledger.pool, this.backup, this.schema)
    }
  }

  /** What verifying finds now. @throws Error where the result contradicts itself */
  async found(): Promise<Finding[]> {
    const { ok, findings, count } = await auditVerify({
      configuration: this.configuration,
      onMessage: () => undefined,
      onProgress: () => undefined,
      signal: new AbortController().signal,
    })
    if (ok !== (findings.length === 0) || count !== findings.length) throw new Error('not what was listed')
    return [...findings]
  }

  /** Drops what may be dropped; it can't be put back. @returns the months */
  async drop(): Promise<readonly string[]> {
    const options = { keepMonths: 1, withoutArchive: false, actor: 'tests' }
    return (await dropPeriods(this.history.pipeline.ledger.pool, options)).dropped
  }

  /** `table kind` of each finding. */
  async kindsAfter(...changes: string[]): Promise<string[]> {
    return (await this.foundAfter(...changes)).map(({ table, kind }) => `${table} ${kind}`)
  }

  async close(): Promise<void> {
    await this.rows(`drop schema if exists "${this.backup}" cascade`)
    await this.history.close()
  }

  /** A command sets a position back: two records are read again, and are duplicates. */
  private async readAgain(): Promise<void> {
    const { pipeline } = this.history
    const [stands] = await this.rows<{ partition: number; next: bigint }>(
      `select partition, next_offset as next from ingest_offsets where topic = 'transactions' order by partition limit 1`,
    )
    const { partition, next } = stands!
    const parameters = { from: String(next), to: String(next - 2n) }
    await pipeline.applied(
      await pipeline.publishValues('commands', [
        {
          ...{ id: 'again', kind: 'partition.move', subject: `transactions:${partition}`, parameters },
          ...{ actor: 'tests', occurredAt: BigInt(Date.now()), reason: 'once more' },
        },
      ]),
    )
    // Whoever reads the partition takes it anew.
    await pipeline.stop()
    await pipeline.start(['processor', 'publisher', 'archiver'])
    await pipeline.applied([{ topic: pipeline.topic('transactions'), partition, offset: next - 1n }])
  }

  /** Waits until the archive has the last batch. */
  private async archived(): Promise<void> {
    const deadline = Date.now() + ARCHIVE_TIMEOUT_MS
    for (;;) {
      const done = await this.rows(
        'select from archive_progress, ledger_head where archived_through = sequence',
      )
      if (done.length > 0) return
      if (Date.now() > deadline) throw new Error('the archiver did not come to the last batch')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

/** Commands, rules and dead letters: a generated run has few. */
const administer = async (pipeline: PipelineFixture): Promise<void> => {
  const at = { actor: 'tests', occurredAt: BigInt(Date.now()) }
  const commands = Array.from({ length: 20 }, (_, n) => ({
    ...{ id: `c${n}`, kind: 'dead_letter.discard', subject: `transactions:0:${n}`, parameters: {} },
    ...{ ...at, reason: 'noise' },
  }))
  const rules = Array.from({ length: 8 }, (_, n) => ({
    ...{ ruleId: `rule-${n}`, type: 'amount_limit', currency: 'EUR', threshold: 10n ** 12n },
    ...{ windowMs: 0n, action: 'alert', enabled: true, ...at },
  }))
  const horizon = {
    ...{ ruleId: 'history_horizon', type: 'history_horizon', currency: null, threshold: 0n },
    ...{ windowMs: BigInt(31 * DAY_MS), action: 'reject', enabled: true, ...at },
  }
  const payments = await pipeline.ledger.rows<{ id: string; source: string }>(
    'select id, source from transactions where payer_no is not null order by sequence, index limit 24',
  )
  const labels = payments.map(({ id: transactionId, source }, n) =>
    labelValue(label({ transactionId, source, verdict: n % 2 === 0 ? 'fraud' : 'genuine' })),
  )
  const unreadable = Array.from({ length: 12 }, () => ({
    topic: 'transactions',
    key: null,
    value: Buffer.from('{'),
    partition: 1,
  }))
  await pipeline.applied([
    ...(await pipeline.publish(unreadable)),
    ...(await pipeline.publishValues('commands', commands)),
    ...(await pipeline.publishValues('fraud.labels', labels)),
    ...(await pipeline.publishValues('rules', [...rules, horizon])),
  ])
}
