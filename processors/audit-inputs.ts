/** How an audit comes by inputs: records from where they are kept, decoded as the engine decodes them. */
import type { Configuration } from '#platform/config/configuration.ts'
import { OperatingError } from '#platform/errors.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { type Kafka, makeKafka } from '#platform/kafka/client.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { INGEST_TOPICS } from '#schemas/topics.ts'
import type { RecordRange, RecordSource } from './audit/record-source.ts'
import { BatchAssembler, type InputSource } from './audit/replay/assembler.ts'
import { topicSource } from './audit/topic-source.ts'
import { makeChunkDecoder } from './ingest/chunk-decoder.ts'
import type { IngestTopicName } from './ingest/inputs.ts'

/** All that the reading thread is given: plain values. */
export interface ReaderData {
  readonly configuration: Pick<Configuration, 'kafka' | 'ledger' | 'schemaRegistry' | 'archive'>
  readonly ranges: readonly RecordRange[]
}

/** Opens the sources. @throws OperatingError of the archive, where one is configured; UnreachableError */
export const makeInputs = async ({ configuration, ranges }: ReaderData): Promise<InputSource> => {
  const { clusterId, topicPrefix } = configuration.ledger
  const kafka = makeKafka(configuration.kafka, { clientId: 'tallystream-audit' })
  const topics = topicSource({ kafka, clusterId, topicPrefix })
  const source =
    configuration.archive.url === undefined ? topics : await withArchive(configuration, kafka, topics, ranges)
  const { decode } = makeChunkDecoder({
    registry: new SchemaRegistry(configuration.schemaRegistry),
    contracts: ingestSchemas(),
    topicPrefix: '',
  })
  return new BatchAssembler(source, (topic, records) => decode({ topic, records: [...records] }), ranges)
}

type IngestSchemas = { [topic in IngestTopicName]: { schema: ReturnType<typeof schemaOf> } }

/** Nothing is registered: an audit leaves the world as it is. */
const ingestSchemas = (): IngestSchemas =>
  Object.fromEntries(INGEST_TOPICS.map((topic) => [topic.name, { schema: schemaOf(topic) }])) as IngestSchemas

/** The topics, and the archive for what they no longer have. */
const withArchive = async (
  configuration: ReaderData['configuration'],
  kafka: Kafka,
  topics: RecordSource,
  ranges: readonly RecordRange[],
): Promise<RecordSource> => {
  const { clusterId, topicPrefix, name } = configuration.ledger
  // Loaded where it is needed: an S3 client takes tens of megabytes.
  const { openStorage } = await import('#platform/object-storage/open-storage.ts')
  const { Archive } = await import('./archive/archive.ts')
  const storage = openStorage(configuration.archive)
  const archive = new Archive(storage, name)
  await archive.refresh()
  const starts = await logStarts(kafka, topicPrefix, ranges)
  return {
    async *read(range) {
      // What was read before the position was set back: the topic may be another one by now.
      if (isSetBackLater(range, ranges) && (await archive.archivedUpTo(range)) >= range.next) {
        yield* archive.records(range)
        return
      }
      const isHere = range.cluster === clusterId
      const start = isHere ? starts.get(`${range.topic}:${range.partition}`) : undefined
      const middle = start === undefined || start > range.next ? range.next : start
      if (range.from >= middle) yield* topics.read(range)
      else {
        const archived = await archive.archivedUpTo(range)
        if (archived < middle) {
          const message = `${range.topic}:${range.partition} is archived up to ${archived}, and in the topic from ${middle}`
          throw new OperatingError('records_gone', message)
        }
        yield* archive.records({ ...range, next: middle })
        if (middle < range.next) yield* topics.read({ ...range, from: middle })
      }
    },
    close: async () => {
      await topics.close()
      await storage.close()
    },
  }
}

const isSetBackLater = (range: RecordRange, ranges: readonly RecordRange[]): boolean =>
  ranges.some(
    ({ cluster, topic, partition, from, batches }) =>
      cluster === range.cluster &&
      topic === range.topic &&
      partition === range.partition &&
      batches.first > range.batches.last &&
      from < range.next,
  )

/** Where the topics' partitions begin by now. */
const logStarts = async (
  kafka: Kafka,
  topicPrefix: string,
  ranges: readonly RecordRange[],
): Promise<Map<string, bigint>> => {
  const admin = new KafkaAdmin(kafka)
  const starts = new Map<string, bigint>()
  try {
    for (const topic of new Set(ranges.map((range) => range.topic))) {
      for (const { partition, start } of await admin.ranges(`${topicPrefix}${topic}`)) {
        starts.set(`${topic}:${partition}`, start)
      }
    }
  } finally {
    await admin.close()
  }
  return starts
}
