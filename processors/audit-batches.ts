/** How an audit comes by batch records: from the tables, and from the archive those that were dropped with their periods. */
import type { Configuration } from '#platform/config/configuration.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { type DroppedHistory, readDroppedHistory } from '#platform/postgres/queries/history-start.ts'
import type { Archive } from './archive/archive.ts'
import type { BatchSource } from './audit/batch-source.ts'
import { parseHeader, type StoredHeader } from './audit/replay/header.ts'
import { tableBatches } from './audit/table-batches.ts'

export interface AuditBatches {
  readonly batches: BatchSource
  /** Undefined where all batches are in the tables. */
  readonly dropped: DroppedHistory | undefined
  close(): Promise<void>
}

const HEADERS_AT_ONCE = 100

/** Opens them. @throws OperatingError of the archive, where one is configured and needed */
export const openBatches = async (configuration: Configuration, pool: ReadPool): Promise<AuditBatches> => {
  const tables = tableBatches(pool)
  const dropped = await readDroppedHistory(pool)
  if (dropped === undefined || configuration.archive.url === undefined) {
    return { batches: tables, dropped, close: async () => undefined }
  }
  // Loaded where it is needed: an S3 client takes tens of megabytes.
  const { openStorage } = await import('#platform/object-storage/open-storage.ts')
  const { Archive } = await import('./archive/archive.ts')
  const storage = openStorage(configuration.archive)
  const archive = new Archive(storage, configuration.ledger.name)
  await archive.refresh()
  return { batches: joined(archive, tables, dropped.sequence), dropped, close: () => storage.close() }
}

/** The archive up to a sequence, the tables behind it. */
const joined = (archive: Archive, tables: BatchSource, middle: bigint): BatchSource => ({
  async *headers(after, through) {
    if (after < middle) yield* archivedHeaders(archive, after, through < middle ? through : middle)
    if (through > middle) yield* tables.headers(after > middle ? after : middle, through)
  },
  payload: async (sequence) => {
    if (sequence > middle) return tables.payload(sequence)
    for await (const batch of archive.batches(sequence)) return batch.payload
    return null
  },
})

async function* archivedHeaders(
  archive: Archive,
  after: bigint,
  through: bigint,
): AsyncGenerator<StoredHeader[]> {
  let chunk: StoredHeader[] = []
  for await (const batch of archive.batches(after + 1n)) {
    if (batch.sequence > through) break
    chunk.push(headerOfBatch(batch))
    if (chunk.length < HEADERS_AT_ONCE) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}

const headerOfBatch = (batch: {
  readonly sequence: bigint
  readonly previousHash: Buffer
  readonly hash: Buffer
  readonly header: Buffer
}): StoredHeader => ({
  sequence: batch.sequence,
  previousHash: batch.previousHash,
  hash: batch.hash,
  bytes: batch.header,
  header: parseHeader(batch.sequence, batch.header),
})
