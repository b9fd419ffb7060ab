/**
 * Writes one segment: some batch records that follow each other, the ingest records that they decided, and the manifest that
 * proves both. The files are made beside and stored before the manifest; the manifest makes them count, and only one of several writers
 * can store the next one. File names carry their hash, so that a writer which is too late overwrites nothing.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BatchHeader, batchHash, readFrames } from '#domain/ledger/batch-record.ts'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import type { ObjectStorage } from '#platform/object-storage/object-storage.ts'
import type { ArchivableHead } from '#platform/postgres/archive-progress.ts'
import type { AuditLog, StoredAuditEntry } from '#platform/postgres/audit-log.ts'
import type { BatchStore, StoredBatch } from '#platform/postgres/batch-store.ts'
import { AvroFileWriter } from '#platform/schema-registry/avro-container.ts'
import { type SchemaSource, writerIdOf } from '#platform/schema-registry/serde.ts'
import { batchAlone, type BatchSpan } from '../runtime/batch-span.ts'
import type { KeptManifest } from './archive.ts'
import {
  ARCHIVE_FORMAT,
  type ArchivedAuditLog,
  type ArchivedBatches,
  type ArchivedRecords,
  type ArchivedSchema,
  archiveKeys,
  AUDIT_SCHEMA,
  BATCH_SCHEMA,
  type Manifest,
  manifestBytes,
  RECORD_SCHEMA,
  sha256Hex,
} from './format.ts'
import type { IngestRecords } from './sources.ts'

export interface SegmentContext {
  readonly ledger: string
  /** The cluster that `records` reads. */
  readonly cluster: string
  readonly storage: ObjectStorage
  readonly store: Pick<BatchStore, 'readAfter'>
  readonly records: IngestRecords
  readonly schemas: SchemaSource
  readonly auditLog: Pick<AuditLog, 'readAfter'>
  /** Batch records of one segment, unpacked; a segment has at least one batch. */
  readonly segmentBytesMax: number
  /** Below which files are made before they are stored; the system's temporary folder where absent. */
  readonly temporaryFolder?: string
}

interface Range {
  readonly topic: string
  readonly partition: number
  readonly from: bigint
  next: bigint
  batches: BatchSpan
}

const READ = { batchesMax: 64, bytesMax: 4 * 1024 * 1024 }
const HASH_IN_NAME = 16
const AUDIT_PAGE = 1_000

/**
 * Writes the segment behind `previous`, with batches up to `head` at most.
 * @returns what it wrote, or null where another writer has stored this manifest meanwhile
 * @throws IncidentError `batch_gap`, `batch_damaged`, `archive_records_gone`, `archive_other_cluster`; OperatingError of the
 *   storage, of Kafka, of Postgres and of the registry
 */
export const writeSegment = async (
  context: SegmentContext,
  previous: KeptManifest | null,
  head: ArchivableHead,
): Promise<KeptManifest | null> => {
  let folder: string | undefined
  try {
    folder = await mkdtemp(join(context.temporaryFolder ?? tmpdir(), 'tallystream-archive-'))
    return await new SegmentWriter(context, previous, head, folder).write()
  } catch (error) {
    throw asDiskError(error)
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  }
}

/** A disk that is full, or a folder that isn't there, may be better later: the archiver waits and says so. */
const asDiskError = (error: unknown): unknown => {
  const { code, syscall } = error as NodeJS.ErrnoException
  if (error instanceof OperatingError || code === undefined || syscall === undefined) return error
  const message = `files of a segment can't be made: ${(error as Error).message}`
  return new OperatingError('archive_disk', message, { retriable: true, cause: error })
}

class SegmentWriter {
  private readonly context: SegmentContext
  private readonly previous: KeptManifest | null
  private readonly head: ArchivableHead
  private readonly folder: string
  private readonly keys: ReturnType<typeof archiveKeys>
  /** By 'topic:partition'. */
  private readonly ranges = new Map<string, Range>()
  /** Positions that were set anew, by name. */
  private readonly jumped = new Map<string, string>()
  private readonly schemaIds = new Set<number>()

  constructor(context: SegmentContext, previous: KeptManifest | null, head: ArchivableHead, folder: string) {
    this.context = context
    this.previous = previous
    this.head = head
    this.folder = folder
    this.keys = archiveKeys(context.ledger)
  }

  async write(): Promise<KeptManifest | null> {
    const batches = await this.writeBatches()
    const records: ArchivedRecords[] = []
    for (const range of this.ranges.values()) records.push(await this.writeRecords(range))
    const manifest: Manifest = {
      format: ARCHIVE_FORMAT,
      number: (this.previous?.manifest.number ?? 0) + 1,
      ledger: this.context.ledger,
      cluster: this.context.cluster,
      timeline: String(this.head.timeline),
      previous_manifest: this.previous?.hash ?? null,
      genesis:
        this.head.genesis === null
          ? null
          : { tick_ms: this.head.genesis.tickMs, logic_version: this.head.genesis.logicVersion },
      batches,
      records,
      schemas: await this.writeSchemas(),
      audit_log: await this.writeAuditLog(),
      positions: this.positions(),
    }
    const content = manifestBytes(manifest)
    const isOurs = await this.context.storage.create(this.keys.manifest(manifest.number), content)
    return isOurs ? { manifest, hash: sha256Hex(content) } : null
  }

  private async writeBatches(): Promise<ArchivedBatches> {
    const after = BigInt(this.previous?.manifest.batches.last ?? 0)
    const path = join(this.folder, 'batches.avro')
    const file = new AvroFileWriter(path, BATCH_SCHEMA, {
      'tallystream.ledger': this.context.ledger,
      'tallystream.first': String(after + 1n),
    })
    try {
      const { first, last } = await this.appendBatches(file, after)
      const { count, bytes, sha256 } = await file.close()
      const key = this.keyWithHash(this.keys.batches(first.sequence, last.sequence), sha256)
      await this.context.storage.putFile(key, path)
      return {
        file: key,
        bytes,
        sha256: sha256.toString('hex'),
        count,
        first: String(first.sequence),
        last: String(last.sequence),
        previous_hash: first.previousHash.toString('hex'),
        head_hash: last.hash.toString('hex'),
      }
    } finally {
      await file.abort()
    }
  }

  private async appendBatches(
    file: AvroFileWriter,
    after: bigint,
  ): Promise<{ first: StoredBatch; last: StoredBatch }> {
    let first: StoredBatch | undefined
    let last: StoredBatch | undefined
    let unpackedBytes = 0
    for (;;) {
      const read = await this.context.store.readAfter(last?.sequence ?? after, READ)
      for (const batch of read) {
        if (batch.sequence > this.head.sequence) break
        this.checkFollows(batch, last, after)
        if (!this.takeRanges(batch, last === undefined)) return { first: first!, last: last! }
        this.collectSchemas(batch)
        await file.append(batchValue(batch))
        first ??= batch
        last = batch
        unpackedBytes += batch.header.length + batch.payload.length
        if (unpackedBytes >= this.context.segmentBytesMax) return { first, last }
      }
      if (last === undefined) {
        throw new IncidentError('batch_gap', `expected batch ${after + 1n} to be archived, found none`)
      }
      if (last.sequence >= this.head.sequence) return { first: first!, last }
    }
  }

  private checkFollows(batch: StoredBatch, last: StoredBatch | undefined, after: bigint): void {
    const expected = (last?.sequence ?? after) + 1n
    if (batch.sequence !== expected) {
      throw new IncidentError('batch_gap', `expected batch ${expected}, found ${batch.sequence}`)
    }
    const previousHash = last?.hash.toString('hex') ?? this.previous?.manifest.batches.head_hash
    const isChained = previousHash === undefined || previousHash === batch.previousHash.toString('hex')
    if (!isChained || !batchHash(batch.previousHash, batch.header, batch.payload).equals(batch.hash)) {
      throw new IncidentError(
        'batch_damaged',
        `batch ${batch.sequence} doesn't have the hash it was committed with`,
      )
    }
  }

  /** Adds what a batch read. @returns false where it read from another cluster, or behind a jump: the next segment begins with it. */
  private takeRanges(batch: StoredBatch, isFirst: boolean): boolean {
    const header = JSON.parse(batch.header.toString('utf8')) as BatchHeader
    if (header.cluster !== this.context.cluster) {
      if (!isFirst) return false
      throw new IncidentError(
        'archive_other_cluster',
        `batch ${batch.sequence} was read from the cluster ${header.cluster}, this archiver reads ${this.context.cluster}: archive it there first`,
      )
    }
    const jumps = header.jumps ?? []
    // A range is read without a gap: behind one, the next segment begins.
    if (!isFirst && jumps.some(({ topic, partition }) => this.ranges.has(`${topic}:${partition}`)))
      return false
    for (const { topic, partition, to } of jumps) this.jumped.set(`${topic}:${partition}`, to)
    const before = this.previous?.manifest.positions[header.cluster] ?? {}
    for (const { topic, partition, from, next } of header.sources) {
      const name = `${topic}:${partition}`
      const range = this.ranges.get(name)
      const expected = range === undefined ? (this.jumped.get(name) ?? before[name]) : String(range.next)
      if (expected !== undefined && expected !== from) {
        throw new IncidentError(
          'batch_gap',
          `batch ${batch.sequence} reads ${name} from ${from}, expected ${expected}`,
        )
      }
      if (range === undefined) {
        const batches = batchAlone(batch.sequence)
        this.ranges.set(name, { topic, partition, from: BigInt(from), next: BigInt(next), batches })
      } else {
        range.next = BigInt(next)
        range.batches = { first: range.batches.first, last: batch.sequence }
      }
    }
    return true
  }

  private collectSchemas(batch: StoredBatch): void {
    for (const { value } of readFrames(batch.payload)) this.noteSchema(value)
  }

  private noteSchema(value: Buffer | null): void {
    const id = value === null ? undefined : writerIdOf(value)
    if (id !== undefined) this.schemaIds.add(id)
  }

  private async writeRecords(range: Range): Promise<ArchivedRecords> {
    const { ledger, cluster, records, storage } = this.context
    const { topic, partition, from, next } = range
    const path = join(this.folder, `${topic}-${partition}.avro`)
    const file = new AvroFileWriter(path, RECORD_SCHEMA, {
      'tallystream.ledger': ledger,
      'tallystream.cluster': cluster,
      'tallystream.topic': topic,
      'tallystream.partition': String(partition),
      'tallystream.from': String(from),
      'tallystream.next': String(next),
    })
    try {
      for await (const chunk of records.read({ ...range, cluster })) {
        for (const { offset, timestampMs, key, value, headers = {}, unreadable = null } of chunk) {
          this.noteSchema(value)
          await file.append({
            offset,
            timestamp: timestampMs,
            key,
            value,
            headers: Object.entries(headers).map(([name, content]) => ({ name, value: content })),
            unreadable,
          })
        }
      }
      const { count, bytes, sha256 } = await file.close()
      const place = { topic, partition, from: String(from), next: String(next) }
      if (count === 0) return { ...place, file: null, bytes: 0, sha256: sha256.toString('hex'), count }
      const key = this.keyWithHash(this.keys.records(cluster, topic, partition, from, next), sha256)
      await storage.putFile(key, path)
      return { ...place, file: key, bytes, sha256: sha256.toString('hex'), count }
    } catch (error) {
      throw asRecordsGone(error)
    } finally {
      await file.abort()
      await rm(path, { force: true })
    }
  }

  /** The writers' schemas, so that the files can be read where the registry is no more. An id that isn't there was a record's lie. */
  private async writeSchemas(): Promise<ArchivedSchema[]> {
    const written: ArchivedSchema[] = []
    for (const id of [...this.schemaIds].sort((a, b) => a - b)) {
      const schema = await this.context.schemas.schema(id).catch((error: unknown) => {
        if (error instanceof OperatingError && !error.retriable) return undefined
        throw error
      })
      if (schema === undefined) continue
      const content = Buffer.from(`${JSON.stringify(schema, null, 2)}\n`, 'utf8')
      const sha256 = sha256Hex(content)
      const file = this.keyWithHash(this.keys.schema(id), Buffer.from(sha256, 'hex'))
      await this.context.storage.create(file, content)
      written.push({ id, file, sha256 })
    }
    return written
  }

  private async writeAuditLog(): Promise<ArchivedAuditLog | null> {
    const before = this.previous?.manifest.audit_log ?? null
    const after = BigInt(before?.last ?? 0)
    const path = join(this.folder, 'audit-log.avro')
    const file = new AvroFileWriter(path, AUDIT_SCHEMA, {
      'tallystream.ledger': this.context.ledger,
      'tallystream.first': String(after + 1n),
    })
    try {
      let last: StoredAuditEntry | undefined
      for (;;) {
        const entries = await this.context.auditLog.readAfter(last?.seq ?? after, AUDIT_PAGE)
        for (const entry of entries) await file.append(entry)
        last = entries.at(-1) ?? last
        if (entries.length < AUDIT_PAGE) break
      }
      const { count, bytes, sha256 } = await file.close()
      if (last === undefined) return before === null ? null : { ...before, file: null, count: 0, bytes: 0 }
      const key = this.keyWithHash(this.keys.auditLog(after + 1n, last.seq), sha256)
      await this.context.storage.putFile(key, path)
      const hashes = { sha256: sha256.toString('hex'), head_hash: last.hash.toString('hex') }
      return { file: key, bytes, count, last: String(last.seq), ...hashes }
    } finally {
      await file.abort()
    }
  }

  private positions(): Manifest['positions'] {
    const before = this.previous?.manifest.positions ?? {}
    const { cluster } = this.context
    const own: Record<string, string> = { ...before[cluster], ...Object.fromEntries(this.jumped) }
    for (const [name, { next }] of this.ranges) own[name] = String(next)
    return { ...before, [cluster]: own }
  }

  private keyWithHash(key: string, sha256: Buffer): string {
    const dot = key.lastIndexOf('.')
    return `${key.slice(0, dot)}-${sha256.toString('hex').slice(0, HASH_IN_NAME)}${key.slice(dot)}`
  }
}

const batchValue = (batch: StoredBatch): unknown => ({
  sequence: batch.sequence,
  previousHash: batch.previousHash,
  hash: batch.hash,
  format: batch.format,
  recordedAt: BigInt(batch.recordedAtMs),
  records: batch.records,
  header: batch.header,
  payload: batch.payload,
})

const asRecordsGone = (error: unknown): unknown =>
  error instanceof OperatingError && error.code === 'records_gone'
    ? new IncidentError(
        'archive_records_gone',
        `${error.message}: the topic let go of records before they were archived`,
        {
          cause: error,
        },
      )
    : error
