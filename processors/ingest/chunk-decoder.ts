/** Decodes a chunk of records into inputs: schemas first (that may wait for the registry), then record by record. */
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import type { IngestChunk } from '#platform/kafka/partition-inbox.ts'
import type { SchemaSource } from '#platform/schema-registry/serde.ts'
import { decodeRecord, makeIngestCodecs, prepareSchemas } from './decode.ts'

/** @returns a decoder; it throws OperatingError `registry_unreachable` (retriable) where a writer's schema can't be had now */
export const makeChunkDecoder = (options: {
  readonly registry: SchemaSource
  readonly contracts: Parameters<typeof makeIngestCodecs>[1]
  readonly topicPrefix: string
}): ((chunk: Pick<IngestChunk, 'topic' | 'records'>) => Promise<LedgerInput[]>) => {
  const codecs = makeIngestCodecs(options.registry, options.contracts)
  return async (chunk) => {
    const topic = chunk.topic.slice(options.topicPrefix.length)
    await prepareSchemas(codecs, topic, chunk.records)
    return chunk.records.map((record) =>
      decodeRecord(
        {
          topic,
          partition: record.partition,
          offset: record.offset,
          timestampMs: Number(record.timestampMs),
          key: record.key,
          value: record.value,
          headers: record.headers,
          unreadable: record.unreadable,
        },
        codecs,
      ),
    )
  }
}
