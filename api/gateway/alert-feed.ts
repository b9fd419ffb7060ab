/** Reads the topic `fraud.alerts` for clients that don't speak Kafka: a stretch at a time, in the order of the ledger's history. */
import type { Kafka } from '#platform/kafka/client.ts'
import type { KafkaAdmin } from '#platform/kafka/admin.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import type { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { atMost, systemClock } from '#platform/time/clock.ts'
import { TOPICS } from '#schemas/topics.ts'
import type { DecisionRecord } from './decision-reader.ts'

/** An alert as schemas/avro/fraud-alert.avsc has it; longs as bigint. */
export interface FraudAlert {
  readonly sequence: bigint
  readonly index: number
  readonly transactionId: string
  readonly source: string
  readonly kind: string
  readonly action: string
  readonly account: string | null
  readonly recordedAt: bigint
  readonly rules: DecisionRecord['rules']
}

export interface AlertPage {
  readonly alerts: readonly FraudAlert[]
  /** Where the next page begins: also at the end, for whoever asks again later. */
  readonly next: bigint
  /** The first place that is still kept: what a reader asks for before it is gone. */
  readonly start: bigint
}

/** Reads up to `limit` alerts from a place on; null = from the first that is kept. @throws what the client throws */
export type AlertFeed = (from: bigint | null, limit: number) => Promise<AlertPage>

/** Behind the last committed record there may be one whose transaction is still open: so long it is waited for. */
const FETCH_MS = 2_000
const PARTITION = 0

/** Makes a feed. `close` lets go of its connections. */
export function makeAlertFeed(options: {
  readonly kafka: Kafka
  readonly admin: Pick<KafkaAdmin, 'ranges'>
  readonly registry: SchemaRegistry
  readonly topicPrefix: string
}): { readonly read: AlertFeed; close(): Promise<void> } {
  const topic = `${options.topicPrefix}${TOPICS.alerts.name}`
  const reader = new RangeReader(options.kafka)
  const decoder = new AvroDecoder<FraudAlert>(options.registry, schemaOf(TOPICS.alerts))
  return {
    read: async (asked, limit) => {
      const range = (await options.admin.ranges(topic)).find(({ partition }) => partition === PARTITION)
      const [start, end] = [range?.start ?? 0n, range?.end ?? 0n]
      const from = asked ?? start
      if (from < start || from >= end) return { alerts: [], next: from, start }
      const records = await take(reader.read(topic, PARTITION, from, end), limit)
      const values = records.flatMap(({ value }) => (value === null ? [] : [value]))
      await decoder.prepare(values.flatMap((value) => writerIdOf(value) ?? []))
      const last = records.at(-1)
      return {
        alerts: values.map((value) => decoder.decode(value)),
        next: last === undefined ? from : last.offset + 1n,
        start,
      }
    },
    close: () => reader.close(),
  }
}

async function take(chunks: AsyncGenerator<IngestRecord[]>, limit: number): Promise<IngestRecord[]> {
  const records: IngestRecord[] = []
  while (records.length < limit) {
    const fetching = chunks.next()
    if (!(await atMost(systemClock, FETCH_MS, fetching))) break
    const chunk = await fetching
    if (chunk.done === true) break
    records.push(...chunk.value)
  }
  return records.slice(0, limit)
}
