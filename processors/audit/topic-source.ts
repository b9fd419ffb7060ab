/** Ingest records from the topics themselves. */
import { OperatingError } from '#platform/errors.ts'
import type { Kafka } from '#platform/kafka/client.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import type { RecordRange, RecordSource } from './record-source.ts'

/** A source that reads the ledger's ingest topics of one cluster; the engine's consumer group isn't touched. */
export const topicSource = (options: {
  readonly kafka: Kafka
  readonly clusterId: string
  readonly topicPrefix: string
}): RecordSource => {
  const reader = new RangeReader(options.kafka)
  return {
    async *read({ cluster, topic, partition, from, next }: RecordRange) {
      if (cluster !== options.clusterId) {
        const message = `${topic}:${partition} ${from}–${next} is of cluster ${cluster}, this one is ${options.clusterId}`
        throw new OperatingError('records_gone', message)
      }
      yield* reader.read(`${options.topicPrefix}${topic}`, partition, from, next)
    },
    close: () => reader.close(),
  }
}
