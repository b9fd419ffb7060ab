/** A ledger with a history of every kind, made by the real engine from generated runs: what audits are tested on. */
import { waitUntilApplied } from '#connectors/ingest/applied.ts'
import { IngestPublisher } from '#connectors/ingest/publisher.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { requireProgress } from '#platform/postgres/queries/read-progress.ts'
import type { Role } from '#processors/pipeline.ts'
import { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'
import { publishRun } from '../publish-run.ts'
import { planRun } from '../run-plan.ts'

export interface GenerateOptions {
  readonly seed: number
  readonly transactions: number
  readonly accounts: number
  /** Besides processor and publisher; without a ticker the ledger's time stands still. */
  readonly roles?: readonly Role[]
}

export class HistoryFixture {
  readonly configuration: Configuration
  readonly pipeline: PipelineFixture
  readonly pool: ReadPool
  private readonly publisher: IngestPublisher

  private constructor(pipeline: PipelineFixture, publisher: IngestPublisher, configuration: Configuration) {
    this.configuration = configuration
    this.pipeline = pipeline
    this.publisher = publisher
    this.pool = makePool({ ...configuration.postgres, applicationName: 'tests' })
  }

  /** @param nowMs the ledger's time at its beginning; without, now */
  static async create(configuration: Configuration, nowMs?: number): Promise<HistoryFixture> {
    const pipeline = await PipelineFixture.create(configuration, nowMs)
    const { kafka, registry } = pipeline
    const { topicPrefix } = configuration.ledger
    const publisher = await IngestPublisher.open({ kafka, registry, topicPrefix })
    return new HistoryFixture(pipeline, publisher, configuration)
  }

  /** Publishes a run with every kind and every bad case, lets the engine apply and publish all of it, and stops the engine. */
  async generate(run: string, { roles = ['ticker'], ...options }: GenerateOptions): Promise<void> {
    await this.pipeline.start(['processor', 'publisher', ...roles])
    const { clusterId, topicPrefix, name } = this.configuration.ledger
    const awaitApplied = (positions: Parameters<typeof waitUntilApplied>[0]) =>
      waitUntilApplied(positions, { pool: this.pool, clusterId, topicPrefix, idleTimeoutMs: 30_000 })
    const { tickMs } = await requireProgress(this.pool, name)
    const plan = planRun({ run, mix: 'default', endTimeMs: tickMs, ...options })
    const summary = await publishRun(plan, { publisher: this.publisher, awaitApplied })
    await awaitApplied(summary.positions)
    await this.pipeline.published()
    await this.pipeline.stop()
  }

  /** Any statement on the ledger's tables. */
  rows<Row>(text: string, values: unknown[] = []): Promise<Row[]> {
    return this.pipeline.ledger.rows<Row>(text, values)
  }

  async close(): Promise<void> {
    await this.pool.close()
    await this.publisher.close()
    await this.pipeline.close()
  }
}
