/** Ingest records from the topics themselves. */
import type { Kafka } from '#platform/kafka/client.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import type { RecordSource } from './record-source.ts'

/** A source that reads the ledger's ingest topics; the engine's consumer group isn't touched. */
export const topicSource = (kafka: Kafka, topicPrefix: string): RecordSource => {
  const reader = new RangeReader(kafka)
  return {
    read: (topic, partition, from, next) => reader.read(`${topicPrefix}${topic}`, partition, from, next),
    close: () => reader.close(),
  }
}
