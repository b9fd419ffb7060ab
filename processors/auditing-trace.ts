/** The story of one transaction, put together: from the bytes on the ingest topic to its decisions, entries, batches and outputs. */
import { createHash } from 'node:crypto'
import { type BatchHeader, batchHash, readFrames } from '#domain/ledger/batch-record.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { OperatingError } from '#platform/errors.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import { partitionOfKey } from '#platform/kafka/partitioner.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import { openStorage } from '#platform/object-storage/open-storage.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { type EntryStory, readEntryStories } from '#platform/postgres/reconciliation/queries.ts'
import { readBatchPayload } from '#platform/postgres/queries/read-batch-payload.ts'
import {
  readTransaction,
  type StoredHold,
  type StoredTransaction,
} from '#platform/postgres/queries/read-transaction.ts'
import {
  findById,
  findByPlace,
  type RelatedTransaction,
  readBatch,
  readRelated,
  type TransactionName,
} from '#platform/postgres/queries/trace.ts'
import type { StoredDecision } from '#platform/postgres/queries/transaction-rows.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { TOPICS, type TopicDefinition } from '#schemas/topics.ts'
import { Archive } from './archive/archive.ts'
import { topicRecords } from './archive/open-archiver.ts'
import { joinedSource } from './archive/sources.ts'
import { batchAlone } from './runtime/batch-span.ts'
import { findOutput, type OutputPartition } from './audit/trace/output-finder.ts'

/** The record that brought a decision, as its producer sent it. */
export interface TracedInput {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** Null where it is kept nowhere any more. */
  readonly record: {
    readonly keptIn: 'topic' | 'archive'
    readonly bytes: number
    readonly sha256: string
    readonly appendedAtMs: bigint
  } | null
}

export interface TracedBatch {
  readonly sequence: bigint
  readonly hash: string
  readonly previousHash: string
  /** Whether the hash is that of what is stored. */
  readonly isWhole: boolean
  readonly cluster: string
  readonly tickMs: number
  readonly logic: number
  readonly rules: string
}

export interface TracedOutput {
  readonly topic: string
  readonly key: string
  /** Null where it isn't found: not published yet, or not kept any more. */
  readonly place: { readonly partition: number; readonly offset: bigint } | null
}

export interface TracedDecision {
  readonly decision: StoredDecision
  readonly input: TracedInput
  /** Null where the batch isn't kept any more. */
  readonly batch: TracedBatch | null
  /** Fraud rules that contributed: what was seen, what is allowed, what followed. */
  readonly rules: readonly Readonly<Record<string, unknown>>[]
  readonly reserved: readonly Readonly<Record<string, unknown>>[]
  readonly outputs: readonly TracedOutput[]
}

export interface TransactionTrace {
  readonly key: string
  readonly transaction: Omit<StoredTransaction, 'decisions' | 'hold' | 'reversedMinor' | 'key'>
  readonly decisions: readonly TracedDecision[]
  readonly hold: StoredHold | null
  /** By posting: minor units given back. */
  readonly reversed: readonly { readonly posting: number; readonly amountMinor: bigint }[]
  /** Captures, voids and reversals of it. */
  readonly related: readonly RelatedTransaction[]
  /** What reconciliation knows of its entries: with what they were matched, and their breaks. */
  readonly reconciliation: readonly EntryStory[]
}

const STATEMENT_TIMEOUT_MS = 60_000

interface ProcessedValue extends Record<string, unknown> {
  readonly index: number
  readonly sequence: bigint
  readonly rules: readonly Readonly<Record<string, unknown>>[]
  readonly reserved: readonly Readonly<Record<string, unknown>>[]
}

/** Names of a decision's entries, as on the topic `ledger.entries`. */
const entriesOf = ({ sequence, index, postings }: StoredDecision): string[] =>
  postings.flatMap((_posting, at) => [0, 1].map((side) => `${sequence}.${index}.${2 * at + side}`))

/** Traces of one ledger. Close it. All of it throws UnreachableError where a service doesn't answer. */
export class Tracer {
  readonly pool: ReadPool
  private readonly configuration: Configuration
  private readonly admin: KafkaAdmin
  private readonly reader: RangeReader
  private readonly topics: ReturnType<typeof topicRecords>
  private readonly archive: Archive | null
  private readonly registry: SchemaRegistry
  private readonly decoders = new Map<string, AvroDecoder<Record<string, unknown>>>()
  private isArchiveOpen = false

  constructor(configuration: Configuration) {
    this.configuration = configuration
    const { ledger, archive } = configuration
    this.pool = makePool({
      ...configuration.postgres,
      applicationName: 'tallystream trace',
      connectionsMax: 2,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    })
    const kafka = makeKafka(configuration.kafka, { clientId: 'tallystream-trace' })
    this.admin = new KafkaAdmin(kafka)
    this.reader = new RangeReader(kafka)
    this.topics = topicRecords(kafka, ledger.topicPrefix)
    this.archive = archive.url === undefined ? null : new Archive(openStorage(archive), ledger.name)
    this.registry = new SchemaRegistry(configuration.schemaRegistry)
  }

  async close(): Promise<void> {
    await this.reader.close()
    await this.topics.close()
    await this.admin.close()
    await this.archive?.storage.close()
    await this.pool.close()
  }

  /** Transactions of an id; with a source, the one. */
  async named(id: string, source: string | undefined): Promise<TransactionName[]> {
    if (source === undefined) return await findById(this.pool, id)
    return [{ key: transactionKey(source, id), id, source }]
  }

  /** The transaction of an entry or decision. */
  async placed(sequence: bigint, index: number): Promise<TransactionName | undefined> {
    const [found] = await findByPlace(this.pool, { sequence, index })
    return found
  }

  /** The story of a transaction; undefined where no transaction took the id. */
  async transaction(key: string): Promise<TransactionTrace | undefined> {
    const stored = await readTransaction(this.pool, key)
    if (stored === undefined) return undefined
    const { decisions, hold, reversedMinor, key: _key, ...transaction } = stored
    const traced: TracedDecision[] = []
    for (const decision of decisions) traced.push(await this.decision(stored.id, decision))
    return {
      key,
      transaction,
      decisions: traced,
      hold,
      reversed: [...reversedMinor].map(([posting, amountMinor]) => ({ posting, amountMinor })),
      related: await readRelated(this.pool, key, decisions[0]!.sequence),
      reconciliation: await readEntryStories(this.pool, decisions.flatMap(entriesOf)),
    }
  }

  private async decision(id: string, decision: StoredDecision): Promise<TracedDecision> {
    const batch = await this.batch(decision.sequence)
    const input = await this.input(decision, batch?.traced.cluster ?? this.configuration.ledger.clusterId)
    const processed = batch === null ? undefined : await this.processedOf(batch.payload, id, decision.index)
    return {
      decision,
      input,
      batch: batch?.traced ?? null,
      rules: processed?.rules ?? [],
      reserved: processed?.reserved ?? [],
      outputs: await this.outputs(id, decision),
    }
  }

  private async batch(sequence: bigint): Promise<{ traced: TracedBatch; payload: Buffer } | null> {
    const row = await readBatch(this.pool, sequence)
    const payload = await readBatchPayload(this.pool, sequence)
    if (row === undefined || payload === undefined) return null
    const { cluster, tick, logic, rules } = JSON.parse(row.header.toString('utf8')) as BatchHeader
    return {
      payload,
      traced: {
        sequence,
        hash: row.hash.toString('hex'),
        previousHash: row.previous_hash.toString('hex'),
        isWhole: batchHash(row.previous_hash, row.header, payload).equals(row.hash),
        cluster,
        tickMs: tick,
        logic,
        rules,
      },
    }
  }

  private async input(decision: StoredDecision, cluster: string): Promise<TracedInput> {
    const { topic, partition, offset } = decision
    const place = { topic, partition, offset }
    const batches = batchAlone(decision.sequence)
    const range = { cluster, topic, partition, from: offset, next: offset + 1n, batches }
    if (this.archive !== null && !this.isArchiveOpen) {
      await this.archive.refresh()
      this.isArchiveOpen = true
    }
    const isArchived = this.archive !== null && (await this.archive.archivedUpTo(range)) > offset
    if (!isArchived && cluster !== this.configuration.ledger.clusterId) return { ...place, record: null }
    const source = this.archive === null ? this.topics : joinedSource(this.archive, this.topics)
    try {
      for await (const [record] of source.read(range)) {
        const value = record!.value ?? Buffer.alloc(0)
        return {
          ...place,
          record: {
            keptIn: isArchived ? 'archive' : 'topic',
            bytes: value.length,
            sha256: createHash('sha256').update(value).digest('hex'),
            appendedAtMs: record!.timestampMs,
          },
        }
      }
    } catch (error) {
      if (!(error instanceof OperatingError && error.code === 'records_gone')) throw error
    }
    return { ...place, record: null }
  }

  private async processedOf(payload: Buffer, id: string, index: number): Promise<ProcessedValue | undefined> {
    const key = Buffer.from(id, 'utf8')
    for (const frame of readFrames(payload)) {
      if (frame.topic !== TOPICS.processed.name || !frame.key.equals(key)) continue
      const value = (await this.decode(TOPICS.processed, frame.value)) as ProcessedValue
      if (value.index === index) return value
    }
    return undefined
  }

  private async outputs(id: string, { sequence, index, postings }: StoredDecision): Promise<TracedOutput[]> {
    const entries = postings.flatMap((_, posting) => [posting * 2, posting * 2 + 1])
    return [
      await this.output(TOPICS.processed, id, sequence, async (value) => value.index === index),
      ...(await Promise.all(
        entries.map((entry) => this.output(TOPICS.entries, `${sequence}.${index}.${entry}`, sequence)),
      )),
      await this.output(TOPICS.batches, String(sequence), sequence),
    ]
  }

  private async output(
    topic: TopicDefinition,
    key: string,
    sequence: bigint,
    fits: (value: Record<string, unknown>) => Promise<boolean> = async () => true,
  ): Promise<TracedOutput> {
    const name = `${this.configuration.ledger.topicPrefix}${topic.name}`
    const ranges = await this.admin.ranges(name)
    const partition = partitionOfKey(key, ranges.length)
    const { start, end } = ranges.find((range) => range.partition === partition)!
    const keyBytes = Buffer.from(key, 'utf8')
    const places: OutputPartition = {
      start,
      end,
      read: (from, next) => this.reader.read(name, partition, from, next),
      sequenceOf: async (record) => await this.sequenceOf(topic, record),
    }
    // Decoded beforehand: fits is asked right after sequenceOf, of the same record.
    let fitting: bigint | null = null
    const offset = await findOutput(
      {
        ...places,
        sequenceOf: async (record) => {
          const isKey = record.key?.equals(keyBytes) === true
          const value = isKey ? await this.valueOf(topic, record) : null
          fitting = value !== null && (await fits(value)) ? record.offset : null
          return await places.sequenceOf(record)
        },
      },
      sequence,
      (record) => record.offset === fitting,
    )
    return { topic: topic.name, key, place: offset === null ? null : { partition, offset } }
  }

  private async sequenceOf(topic: TopicDefinition, record: IngestRecord): Promise<bigint | null> {
    const value = await this.valueOf(topic, record)
    return typeof value?.sequence === 'bigint' ? value.sequence : null
  }

  /** Null for what isn't an output of ours. */
  private async valueOf(
    topic: TopicDefinition,
    record: IngestRecord,
  ): Promise<Record<string, unknown> | null> {
    try {
      return record.value === null ? null : await this.decode(topic, record.value)
    } catch (error) {
      if (error instanceof OperatingError && !error.retriable) return null
      throw error
    }
  }

  private async decode(topic: TopicDefinition, value: Buffer): Promise<Record<string, unknown>> {
    let decoder = this.decoders.get(topic.name)
    if (decoder === undefined) {
      decoder = new AvroDecoder(this.registry, schemaOf(topic))
      this.decoders.set(topic.name, decoder)
    }
    const writer = writerIdOf(value)
    if (writer !== undefined) await decoder.prepare([writer])
    return decoder.decode(value)
  }
}
