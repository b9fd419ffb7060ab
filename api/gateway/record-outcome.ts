/**
 * What became of one published record, from the batch that applied it: the batch record says of every input what it did, also
 * where nothing changed (refused, duplicate, unreadable).
 */
import { findBatchOfRecord } from '#platform/postgres/queries/find-batch-of-record.ts'
import { type OutputFrame, readFrames } from '#domain/ledger/batch-record.ts'
import type { Cause, ReasonCode, TransactionStatus } from '#domain/transactions/outcomes.ts'
import { OperatingError } from '#platform/errors.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { LogPosition } from '#platform/postgres/queries/read-applied-offsets.ts'
import { readBatchPayload } from '#platform/postgres/queries/read-batch-payload.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import type { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { TOPICS } from '#schemas/topics.ts'

/** A decision as schemas/avro/transaction-processed.avsc has it; longs as bigint. */
export interface ProcessedDecision extends LogPosition {
  readonly sequence: bigint
  readonly id: string
  readonly source: string
  readonly cause: Cause
  readonly status: TransactionStatus
  readonly reason: ReasonCode | null
  readonly recordedAt: bigint
  readonly rules: readonly {
    readonly ruleId: string
    readonly version: bigint
    readonly value: bigint
    readonly threshold: bigint
    readonly action: string
    readonly points: number
    readonly words: string
  }[]
}

export interface RecordOutcome {
  /** The batch. */
  readonly sequence: bigint
  /** Transactions and reviews: the decision that the record brought. */
  readonly decision: ProcessedDecision | null
  /** Why it was refused: the reason code, and words where there are some. Null where it took effect. */
  readonly refusal: { readonly reason: string; readonly detail: string | null } | null
}

type Refused = LogPosition & { readonly reason: string; readonly detail?: string }

/**
 * Reads the outcome of a record that is applied.
 *
 * @param afterSequence The ledger's sequence before the record was published.
 * @throws OperatingError `outcome_unknown` where its batch isn't kept; what the registry and Postgres throw.
 */
export async function readRecordOutcome(
  pool: ReadPool,
  registry: SchemaRegistry,
  position: LogPosition,
  afterSequence: bigint,
): Promise<RecordOutcome> {
  const sequence = await findBatchOfRecord(pool, position, afterSequence)
  const payload = sequence === undefined ? undefined : await readBatchPayload(pool, sequence)
  if (sequence === undefined || payload === undefined) {
    const place = `${position.topic}:${position.partition} offset ${position.offset}`
    throw new OperatingError('outcome_unknown', `the record at ${place} is applied, but its batch isn't kept`)
  }
  const frames = readFrames(payload)
  const find = <Value extends LogPosition>(topic: 'processed' | 'notifications' | 'deadLetters') =>
    findOutput<Value>(frames, topic, registry, position)
  const decision = (await find<ProcessedDecision>('processed')) ?? null
  // An id with other content is decided (rejected) and is a dead letter as well: the decision says it already.
  const refused =
    decision === null
      ? ((await find<Refused>('notifications')) ?? (await find<Refused>('deadLetters')))
      : undefined
  // A command that was applied is notified without a reason.
  const refusal =
    refused === undefined || refused.reason === ''
      ? null
      : { reason: refused.reason, detail: refused.detail ?? null }
  return { sequence, decision, refusal }
}

/** The output on a topic that names this input. */
async function findOutput<Value extends LogPosition>(
  frames: readonly OutputFrame[],
  topicKey: 'processed' | 'notifications' | 'deadLetters',
  registry: SchemaRegistry,
  position: LogPosition,
): Promise<Value | undefined> {
  const topic = TOPICS[topicKey]
  const values = frames.filter((frame) => frame.topic === topic.name).map((frame) => frame.value)
  const decoder = new AvroDecoder<Value>(registry, schemaOf(topic))
  await decoder.prepare(values.flatMap((value) => writerIdOf(value) ?? []))
  for (const bytes of values) {
    const value = decoder.decode(bytes)
    if (value.offset !== position.offset || value.partition !== position.partition) continue
    if (value.topic === position.topic) return value
  }
  return undefined
}
