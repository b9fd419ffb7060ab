/** Decodes a chunk of records into inputs: schemas first (that may wait for the registry), then record by record. */
import { setImmediate } from 'node:timers/promises'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { IngestChunk } from '#platform/kafka/partition-inbox.ts'
import type { SchemaSource } from '#platform/schema-registry/serde.ts'
import { areSchemasReady, decodeRecord, makeIngestCodecs, prepareSchemas } from './decode.ts'
import type { RawRecord } from './unreadable.ts'

/**
 * How long decoding goes on without letting anything else run. Records of a mebibyte take up to 0.1 s each: a chunk of them in
 * one go would keep heartbeats from leaving, and the partitions would go to somebody else, who would fare no better.
 */
const SLICE_MS = 20

type EncodedChunk = Pick<IngestChunk, 'topic' | 'records'>

export interface ChunkDecoder {
  /** Whether all schemas of the chunk's writers are here: it decodes without asking the registry. */
  isReady(chunk: EncodedChunk): boolean
  /** Fetches the schemas that aren't. @throws OperatingError `registry_unreachable` (retriable) where one can't be had now */
  prepare(chunk: EncodedChunk): Promise<void>
  /** One input a record; prepares the chunk first where that wasn't done. @throws OperatingError as `prepare` */
  decode(chunk: EncodedChunk): Promise<LedgerInput[]>
}

export const makeChunkDecoder = (options: {
  readonly registry: SchemaSource
  readonly contracts: Parameters<typeof makeIngestCodecs>[1]
  readonly topicPrefix: string
  /** Infinity: in one go, whatever it takes. */
  readonly sliceMs?: number
}): ChunkDecoder => {
  const sliceMs = options.sliceMs ?? SLICE_MS
  const codecs = makeIngestCodecs(options.registry, options.contracts)
  const topicOf = (chunk: EncodedChunk): string => chunk.topic.slice(options.topicPrefix.length)
  const prepare = (chunk: EncodedChunk) => prepareSchemas(codecs, topicOf(chunk), chunk.records)
  const decode = async (chunk: EncodedChunk): Promise<LedgerInput[]> => {
    await prepare(chunk)
    const topic = topicOf(chunk)
    const inputs: LedgerInput[] = []
    let sliceStartMs = performance.now()
    for (const record of chunk.records) {
      inputs.push(decodeRecord({ ...recordOf(record), topic }, codecs))
      if (performance.now() - sliceStartMs < sliceMs) continue
      await setImmediate()
      sliceStartMs = performance.now()
    }
    return inputs
  }
  return {
    isReady: (chunk) => areSchemasReady(codecs, topicOf(chunk), chunk.records),
    prepare,
    decode,
  }
}

const recordOf = (record: IngestRecord): Omit<RawRecord, 'topic'> => ({
  partition: record.partition,
  offset: record.offset,
  timestampMs: Number(record.timestampMs),
  key: record.key,
  value: record.value,
  headers: record.headers,
  unreadable: record.unreadable,
})
