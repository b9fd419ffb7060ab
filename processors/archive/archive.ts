/** Reading an archive: its manifests in order, the batch records in sequence, the ingest records of a partition. */
import { createHash } from 'node:crypto'
import { batchHash } from '#domain/ledger/batch-record.ts'
import { OperatingError } from '#platform/errors.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import { type ObjectStorage, readWhole } from '#platform/object-storage/object-storage.ts'
import type { StoredAuditEntry } from '#platform/postgres/audit-log.ts'
import type { ArchivedThrough } from '#platform/postgres/archive-progress.ts'
import type { AuditLogAnchor } from '#platform/postgres/audit-log-check.ts'
import type { StoredBatch } from '#platform/postgres/batch-store.ts'
import { readAvroFile } from '#platform/schema-registry/avro-container.ts'
import {
  type ArchivedBatchValue,
  type ArchivedRecords,
  type ArchivedRecordValue,
  archiveKeys,
  type Manifest,
  parseManifest,
  sha256Hex,
} from './format.ts'
import type { RecordRange } from './sources.ts'

/** Manifests kept in memory. */
const KEPT_MAX = 64
const CHUNK = { recordsMax: 1_000, bytesMax: 1024 * 1024 }

export interface KeptManifest {
  readonly manifest: Manifest
  /** SHA-256 of its bytes, hex. */
  readonly hash: string
}

const damaged = (file: string, why: string): OperatingError =>
  new OperatingError('archive_damaged', `${file}: ${why}`)

export class Archive {
  readonly storage: ObjectStorage
  readonly ledger: string
  private readonly kept = new Map<number, KeptManifest>()
  private newest = 0

  constructor(storage: ObjectStorage, ledger: string) {
    this.storage = storage
    this.ledger = ledger
  }

  /** Looks for manifests. @returns the newest one's number; 0 where there is none. @throws OperatingError `archive_damaged` at a gap */
  async refresh(): Promise<number> {
    const keys = archiveKeys(this.ledger)
    let expected = 1
    for await (const { key } of this.storage.list(keys.manifests)) {
      if (key !== keys.manifest(expected)) {
        throw damaged(keys.manifest(expected), `expected this manifest, found ${key}`)
      }
      expected += 1
    }
    this.newest = expected - 1
    return this.newest
  }

  /** A manifest by its number. */
  async manifest(number: number): Promise<KeptManifest> {
    const known = this.kept.get(number)
    if (known !== undefined) return known
    const key = archiveKeys(this.ledger).manifest(number)
    const content = await readWhole(this.storage, key)
    const kept = { manifest: parseManifest(content, key), hash: sha256Hex(content) }
    if (kept.manifest.number !== number || kept.manifest.ledger !== this.ledger) {
      throw damaged(
        key,
        `expected manifest ${number} of ${this.ledger}, found ${kept.manifest.number} of ${kept.manifest.ledger}`,
      )
    }
    const [oldest] = this.kept.keys()
    if (this.kept.size >= KEPT_MAX && oldest !== undefined) this.kept.delete(oldest)
    this.kept.set(number, kept)
    return kept
  }

  /** The newest manifest as of the last `refresh`; null where there is none. */
  async last(): Promise<KeptManifest | null> {
    return this.newest === 0 ? null : await this.manifest(this.newest)
  }

  /** What the database notes of a manifest that is stored. */
  progressOf({ manifest, hash }: KeptManifest): ArchivedThrough {
    return {
      sequence: BigInt(manifest.batches.last),
      manifest: manifest.number,
      manifestHash: Buffer.from(hash, 'hex'),
      location: this.storage.location,
    }
  }

  /** All manifests as of the last `refresh`, in order; each must hold the hash of the one before. @throws OperatingError `archive_damaged` */
  async *manifests(from = 1): AsyncGenerator<KeptManifest> {
    let previous = from === 1 ? null : (await this.manifest(from - 1)).hash
    for (let number = from; number <= this.newest; number += 1) {
      const kept = await this.manifest(number)
      if (kept.manifest.previous_manifest !== previous) {
        throw damaged(archiveKeys(this.ledger).manifest(number), "doesn't follow the manifest before it")
      }
      yield kept
      previous = kept.hash
    }
  }

  /**
   * Batch records from a sequence on, to the archive's end; each hash is computed again, and each follows the one before.
   * @throws OperatingError `archive_damaged`
   */
  async *batches(from: bigint): AsyncGenerator<StoredBatch> {
    const start = await this.firstWhere(({ batches }) => BigInt(batches.last) >= from)
    if (start === null) return
    let previous: Buffer | null = null
    for await (const { manifest } of this.manifests(start)) {
      for await (const batch of this.batchesOf(manifest)) {
        if (previous !== null && !previous.equals(batch.previousHash)) {
          throw damaged(manifest.batches.file, `batch ${batch.sequence} doesn't follow the one before it`)
        }
        previous = batch.hash
        if (batch.sequence >= from) yield batch
      }
    }
  }

  /** The batch records of one segment; each hash is computed again. @throws OperatingError `archive_damaged` */
  async *batchesOf({ batches }: Manifest): AsyncGenerator<StoredBatch> {
    const { file, count } = batches
    let found = 0
    for await (const value of this.values<ArchivedBatchValue>(batches)) {
      const batch = storedBatch(value)
      if (!batchHash(batch.previousHash, batch.header, batch.payload).equals(batch.hash)) {
        throw damaged(file, `batch ${batch.sequence} doesn't have its hash`)
      }
      found += 1
      yield batch
    }
    if (found !== count) throw damaged(file, `expected ${count} batches, found ${found}`)
  }

  /** The audit log's entries that are archived, in order. @throws OperatingError `archive_damaged` */
  async *auditLog(): AsyncGenerator<StoredAuditEntry> {
    for await (const { manifest } of this.manifests()) yield* this.auditLogOf(manifest)
  }

  /** The newest entry of the audit log that the archive knows, as of the last `refresh`: what `checkAuditLog` compares with. */
  async auditLogAnchor(): Promise<AuditLogAnchor | null> {
    const log = (await this.last())?.manifest.audit_log ?? null
    return log === null ? null : { seq: BigInt(log.last), hash: log.head_hash }
  }

  /** The audit log's entries of one segment. @throws OperatingError `archive_damaged` */
  async *auditLogOf({ audit_log: part = null }: Manifest): AsyncGenerator<StoredAuditEntry> {
    if (part === null || part.file === null) return
    const { file, sha256 } = part
    let found = 0
    for await (const entry of this.values<StoredAuditEntry>({ file, sha256 })) {
      found += 1
      yield { ...entry, previousHash: Buffer.from(entry.previousHash), hash: Buffer.from(entry.hash) }
    }
    if (found !== part.count) throw damaged(file, `expected ${part.count} entries, found ${found}`)
  }

  /** How far a range is archived: the next offset; where it begins if nothing of it is. */
  async archivedUpTo({ cluster, topic, partition, from, next, batches }: RecordRange): Promise<bigint> {
    const last = (await this.last())?.manifest
    if (last === undefined || BigInt(last.batches.last) < batches.first) return from
    if (BigInt(last.batches.last) >= batches.last) return next
    // The archive ends while it is read.
    const reached = BigInt(last.positions[cluster]?.[`${topic}:${partition}`] ?? 0)
    if (reached < from) return from
    return reached < next ? reached : next
  }

  /** The records of a range, as far as they are archived, in chunks of bounded size. */
  async *records(range: RecordRange): AsyncGenerator<IngestRecord[]> {
    const { topic, partition, from, next } = range
    let chunk: IngestRecord[] = []
    let bytes = 0
    for await (const part of this.partsOf(range)) {
      const { file, sha256 } = part
      if (file === null) continue
      let count = 0
      for await (const value of this.values<ArchivedRecordValue>({ file, sha256 })) {
        count += 1
        if (value.offset < from) continue
        if (value.offset >= next) break
        const record = ingestRecord(topic, partition, value)
        chunk.push(record)
        bytes += record.sizeBytes
        if (chunk.length < CHUNK.recordsMax && bytes < CHUNK.bytesMax) continue
        yield chunk
        chunk = []
        bytes = 0
      }
      if (BigInt(part.next) <= next && count !== part.count) {
        throw damaged(file, `expected ${part.count} records, found ${count}`)
      }
    }
    if (chunk.length > 0) yield chunk
  }

  /** The parts that hold a range, as far as it is archived: each begins where the one before ended. */
  private async *partsOf(range: RecordRange): AsyncGenerator<ArchivedRecords> {
    const { cluster, topic, partition, from, next } = range
    const start = await this.firstWhere(({ batches }) => BigInt(batches.last) >= range.batches.first)
    if (start === null) return
    let reached: bigint | null = null
    for await (const { manifest } of this.manifests(start)) {
      if (manifest.cluster !== cluster) continue
      const part = manifest.records.find((each) => each.topic === topic && each.partition === partition)
      if (part === undefined) continue
      // It begins behind the range, or was read after the position was set anew.
      if (reached === null ? BigInt(part.from) > from : BigInt(part.from) !== reached) return
      reached = BigInt(part.next)
      if (reached > from) yield part
      if (reached >= next) return
    }
  }

  /** The values of a file; behind the last one it must have been the file that the manifest names. */
  private async *values<T>({ file, sha256 }: { file: string; sha256: string }): AsyncGenerator<T> {
    const source = await this.storage.read(file)
    const hash = createHash('sha256')
    source.on('data', (part: Buffer) => hash.update(part))
    yield* readAvroFile<T>(source)
    if (hash.digest('hex') !== sha256) throw damaged(file, "isn't what its manifest says (SHA-256)")
  }

  /** The number of the first manifest for which a condition holds that, once true, stays true; null = none. */
  private async firstWhere(condition: (manifest: Manifest) => boolean): Promise<number | null> {
    let low = 1
    let high = this.newest + 1
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (condition((await this.manifest(middle)).manifest)) high = middle
      else low = middle + 1
    }
    return low > this.newest ? null : low
  }
}

const storedBatch = (value: ArchivedBatchValue): StoredBatch => ({
  sequence: value.sequence,
  previousHash: Buffer.from(value.previousHash),
  hash: Buffer.from(value.hash),
  format: Number(value.format),
  recordedAtMs: Number(value.recordedAt),
  records: Number(value.records),
  header: value.header,
  payload: value.payload,
})

const unreadableOf = ({ code, detail, firstOffset }: NonNullable<ArchivedRecordValue['unreadable']>) => ({
  code: code as NonNullable<IngestRecord['unreadable']>['code'],
  detail,
  firstOffset,
})

const ingestRecord = (topic: string, partition: number, value: ArchivedRecordValue): IngestRecord => {
  const { offset, timestamp, key } = value
  let sizeBytes = (key?.length ?? 0) + (value.value?.length ?? 0)
  // Without a prototype: a header may be called __proto__.
  const headers: Record<string, Buffer> = Object.create(null)
  for (const header of value.headers) {
    headers[header.name] = header.value
    sizeBytes += header.name.length + header.value.length
  }
  return {
    topic,
    partition,
    offset,
    timestampMs: timestamp,
    key,
    value: value.value,
    headers: value.headers.length === 0 ? undefined : headers,
    sizeBytes,
    ...(value.unreadable === null ? {} : { unreadable: unreadableOf(value.unreadable) }),
  }
}
