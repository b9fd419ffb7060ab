/** Reads from the batch record why a transaction was decided as it was: the fraud rules that fired, with what they saw. */
import type { DecisionExplanation } from '#api/dependencies.ts'
import { readFrames } from '#domain/ledger/batch-record.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { readBatchPayload } from '#platform/postgres/queries/read-batch-payload.ts'
import type { StoredDecision } from '#platform/postgres/queries/transaction-rows.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import type { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { TOPICS } from '#schemas/topics.ts'

interface ProcessedValue {
  readonly index: number
  readonly rules: DecisionExplanation['rules']
}

/**
 * A reader of explanations. It gives undefined where the batch is gone, or can't be read now: an explanation is an extra,
 * for which the transaction itself isn't held back.
 */
export function makeExplainer(options: {
  pool: ReadPool
  registry: SchemaRegistry
  onFailure: (error: unknown) => void
}): (transactionId: string, decision: StoredDecision) => Promise<DecisionExplanation | undefined> {
  const decoder = new AvroDecoder<ProcessedValue>(options.registry, schemaOf(TOPICS.processed))
  const find = async (transactionId: string, decision: StoredDecision) => {
    const payload = await readBatchPayload(options.pool, decision.sequence)
    if (payload === undefined) return undefined
    const key = Buffer.from(transactionId)
    const values = readFrames(payload)
      .filter((frame) => frame.topic === TOPICS.processed.name && frame.key.equals(key))
      .map((frame) => frame.value)
    await decoder.prepare(values.flatMap((value) => writerIdOf(value) ?? []))
    return values.map((value) => decoder.decode(value)).find((value) => value.index === decision.index)
  }
  return async (transactionId, decision) => {
    try {
      const value = await find(transactionId, decision)
      return value === undefined ? undefined : { rules: value.rules }
    } catch (error) {
      options.onFailure(error)
      return undefined
    }
  }
}
