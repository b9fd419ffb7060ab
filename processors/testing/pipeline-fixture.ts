/** A ledger with its topics and schemas on the real broker, and the engine over it, started and stopped by the test. */

import { ruleValue } from '#connectors/ingest/wire.ts'
import type { RuleChange } from '#domain/transactions/command.ts'
import { ruleChange } from '#domain/transactions/testing/fixtures.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import type { IncidentError } from '#platform/errors.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { type Kafka, makeKafka } from '#platform/kafka/client.ts'
import { BatchingProducer, type OutgoingRecord, type RecordPosition } from '#platform/kafka/producer.ts'
import { makeEngineMetrics } from '#platform/observability/engine-metrics.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { type Contracts, encoderOf, registerContracts } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder } from '#platform/schema-registry/serde.ts'
import { ALL_TOPICS, type TopicKey, topicConfiguration } from '#schemas/topics.ts'
import { type Pipeline, type Role, startPipeline } from '../pipeline.ts'
import { LedgerFixture } from './ledger-fixture.ts'

const APPLY_TIMEOUT_MS = 20_000

export class PipelineFixture {
  readonly ledger: LedgerFixture
  readonly kafka: Kafka
  readonly admin: KafkaAdmin
  readonly registry: SchemaRegistry
  readonly contracts: Contracts
  readonly incidents: IncidentError[] = []
  /** What the engine logged as warnings and errors. */
  readonly logLines: string[] = []
  private readonly configuration: Configuration
  private readonly producer: BatchingProducer
  private pipeline: Pipeline | null = null

  private constructor(ledger: LedgerFixture, registry: SchemaRegistry, contracts: Contracts) {
    this.configuration = ledger.configuration
    this.ledger = ledger
    this.registry = registry
    this.contracts = contracts
    this.kafka = makeKafka(ledger.configuration.kafka, { clientId: 'pipeline-tests' })
    this.admin = new KafkaAdmin(this.kafka)
    this.producer = new BatchingProducer({ kafka: this.kafka, lingerMs: 1 })
  }

  /** Makes tables, topics and schemas. Outputs have one partition each, so that their order is the ledger's. */
  static async create(configuration: Configuration, nowMs?: number): Promise<PipelineFixture> {
    const { topicPrefix } = configuration.ledger
    const registry = new SchemaRegistry(configuration.schemaRegistry)
    const contracts = await registerContracts(registry, topicPrefix)
    const fixture = new PipelineFixture(await LedgerFixture.create(configuration, nowMs), registry, contracts)
    await fixture.admin.ensureTopics(
      ALL_TOPICS.map((topic) => ({
        name: `${topicPrefix}${topic.name}`,
        partitions: topic.direction === 'in' ? topic.partitions : 1,
        replication: 1,
        config: topicConfiguration(topic),
      })),
    )
    return fixture
  }

  /** A topic's name with the ledger's prefix. */
  topic(name: string): string {
    return `${this.configuration.ledger.topicPrefix}${name}`
  }

  async start(roles: readonly Role[]): Promise<void> {
    this.pipeline = await startPipeline({
      configuration: this.configuration,
      roles,
      logger: createLogger({
        level: 'warn',
        service: 'tests',
        write: (line) => this.logLines.push(line),
      }),
      metrics: makeEngineMetrics(),
      onIncident: (incident) => void this.incidents.push(incident),
    })
    this.pipeline.ended.catch(() => undefined)
  }

  async stop(): Promise<void> {
    await this.pipeline?.stop()
    this.pipeline = null
  }

  /** Publishes bytes as they are. */
  async publish(records: readonly OutgoingRecord[]): Promise<RecordPosition[]> {
    return this.producer.sendAll(records.map((record) => ({ ...record, topic: this.topic(record.topic) })))
  }

  /** Publishes values of our schemas, all to one partition. */
  async publishValues(key: TopicKey, values: readonly unknown[], partition = 0): Promise<RecordPosition[]> {
    const contract = this.contracts[key]
    const encoder = encoderOf<unknown>(contract)
    return this.publish(
      values.map((value) => ({
        topic: contract.topic.name,
        key: null,
        value: encoder.encode(value),
        partition,
      })),
    )
  }

  /** Waits until records are applied. @throws Error where that takes too long */
  async applied(positions: readonly RecordPosition[]): Promise<void> {
    const prefix = this.topic('').length
    const deadline = Date.now() + APPLY_TIMEOUT_MS
    for (const { topic, partition, offset } of positions) {
      for (;;) {
        const rows = await this.ledger.rows(
          'select 1 from ingest_offsets where topic = $1 and partition = $2 and next_offset > $3 and cluster_id = $4',
          [topic.slice(prefix), partition, String(offset), this.configuration.ledger.clusterId],
        )
        if (rows.length > 0) break
        if (this.incidents.length > 0) throw this.incidents[0]!
        if (Date.now() > deadline) throw new Error(`${topic}:${partition}:${offset} was not applied in time`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }

  /** Brings a rulebook into force, proposed by one and approved by another. @param definition its JSON */
  async putRulebook(definition: string): Promise<void> {
    const change = (type: 'rulebook_proposal' | 'rulebook', changes: Partial<RuleChange>) =>
      ruleValue(ruleChange({ ruleId: type, type, currency: null, threshold: 0n, ...changes }))
    await this.applied(
      await this.publishValues('rules', [change('rulebook_proposal', { definition, actor: 'ann' })]),
    )
    const [proposal] = await this.ledger.rows<{ version: bigint }>(
      `select max(version) as version from rules where rule_id = 'rulebook_proposal'`,
    )
    await this.applied(
      await this.publishValues('rules', [change('rulebook', { approves: proposal!.version, actor: 'ben' })]),
    )
  }

  /** Waits until the publisher has sent everything up to the head. */
  async published(): Promise<void> {
    const deadline = Date.now() + APPLY_TIMEOUT_MS
    for (;;) {
      const { sequence, publishedSequence } = await this.ledger.store.readHead()
      if (sequence === publishedSequence) return
      if (Date.now() > deadline) throw new Error(`published ${publishedSequence} of ${sequence}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Decodes values of an output topic. */
  async decode<T>(key: TopicKey, values: readonly (Buffer | null)[]): Promise<T[]> {
    const decoder = new AvroDecoder<T>(this.registry, this.contracts[key].schema)
    await decoder.prepare([this.contracts[key].id])
    return values.map((value) => decoder.decode(value!))
  }

  /** Stops everything and removes tables and topics. */
  async close(): Promise<void> {
    await this.stop()
    await this.producer.close()
    await this.admin.deleteTopics(ALL_TOPICS.map(({ name }) => this.topic(name)))
    await this.admin.close()
    await this.ledger.close()
  }
}
