/** Reads a topic as Java's read_committed consumer gets it, record by record, and decodes it with a reader of the checker's own. */
import { type JavaRecord, javaConsole } from '#infra/local/java-console.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { RegistryAway, type RegistryReader } from './avro-reader.ts'

export interface ReadRecord<Value> {
  readonly partition: number
  readonly offset: bigint
  readonly key: Buffer | undefined
  /** undefined where it can't be decoded. */
  readonly value: Value | undefined
  readonly bytes: Buffer | undefined
}

/** The end of a topic shows as silence only. */
const SILENCE_MS = 4_000
const LONG_SILENCE_MS = 20_000
/** Partitions of the busy topics; a large one is read partition by partition, so that a reading fits into memory. */
const PARTITIONS = 8
const RECORDS_AT_ONCE_MAX = 100_000

/**
 * All records of a topic, in order within a partition. Where fewer came than must be there, silence may have been a slow start:
 * it is read again with more patience before anything is said to be missing.
 */
export async function* readTopic<Value>(
  configuration: Configuration,
  registry: RegistryReader,
  { topic, expected, partitions = PARTITIONS }: { topic: string; expected: number; partitions?: number },
): AsyncGenerator<ReadRecord<Value>> {
  const options = {
    brokers: configuration.kafka.brokers.join(','),
    topic: `${configuration.ledger.topicPrefix}${topic}`,
  }
  const isLarge = expected > RECORDS_AT_ONCE_MAX && partitions > 1
  const parts: { partition?: number }[] = isLarge
    ? Array.from({ length: partitions }, (_, partition) => ({ partition }))
    : [{}]
  for (const part of parts) {
    let records = await javaConsole({ ...options, ...part, idleTimeoutMs: SILENCE_MS })
    const isShort = isLarge ? records.length < (expected / partitions) * 0.8 : records.length < expected
    if (isShort) records = await javaConsole({ ...options, ...part, idleTimeoutMs: LONG_SILENCE_MS })
    for (const record of records) yield await decoded<Value>(registry, record)
  }
}

const decoded = async <Value>(registry: RegistryReader, record: JavaRecord): Promise<ReadRecord<Value>> => {
  const { partition, offset, key, value } = record
  let read: Value | undefined
  try {
    read = value === undefined ? undefined : await registry.read<Value>(value)
  } catch (error) {
    if (error instanceof RegistryAway) throw error
    read = undefined
  }
  return { partition, offset: BigInt(offset), key, value: read, bytes: value }
}
