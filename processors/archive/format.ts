/**
 * The archive's format, as docs/archive.md describes it: what the objects are called, the schemas of the two kinds of Avro files, and
 * the manifest that names and proves the files of one segment. Manifests are chained: each holds the hash of the one before.
 */
import { createHash } from 'node:crypto'
import { OperatingError } from '#platform/errors.ts'
import type { AvroSchemaObject } from '#platform/schema-registry/registry.ts'

export const ARCHIVE_FORMAT = 1

/** A file of a segment. */
export interface ArchivedFile {
  readonly file: string
  readonly bytes: number
  /** SHA-256 of the file, hex. */
  readonly sha256: string
  /** Values in it. */
  readonly count: number
}

/** Batches `first` to `last`, all of them. */
export interface ArchivedBatches extends ArchivedFile {
  readonly first: string
  readonly last: string
  /** Hash of the batch before the first (for the very first: of the genesis), hex. */
  readonly previous_hash: string
  /** Hash of the last batch: the head of the chain as of this segment, hex. */
  readonly head_hash: string
}

/** The records that these batches decided of one partition: from ≤ offset < next. No file where none of them was visible. */
export interface ArchivedRecords extends Omit<ArchivedFile, 'file'> {
  readonly file: string | null
  readonly topic: string
  readonly partition: number
  readonly from: string
  readonly next: string
}

/** A writer's schema of values in this segment, as the registry has it under this id. */
export interface ArchivedSchema {
  readonly id: number
  readonly file: string
  readonly sha256: string
}

/** The audit log's entries since the manifest before; no file where there were none. */
export interface ArchivedAuditLog extends Omit<ArchivedFile, 'file'> {
  readonly file: string | null
  /** The newest entry as of this segment: its place, and its hash (hex). */
  readonly last: string
  readonly head_hash: string
}

export interface Manifest {
  readonly format: number
  /** 1, 2, 3, … */
  readonly number: number
  readonly ledger: string
  /** The Kafka cluster whose offsets these are. */
  readonly cluster: string
  /** The database's timeline when the segment was written. */
  readonly timeline: string
  /** SHA-256 of the previous manifest's bytes, hex; null for the first. */
  readonly previous_manifest: string | null
  /** What the chain began with; null where the ledger doesn't know (made before it was kept). */
  readonly genesis: { readonly tick_ms: number; readonly logic_version: number } | null
  readonly batches: ArchivedBatches
  readonly records: readonly ArchivedRecords[]
  readonly schemas: readonly ArchivedSchema[]
  /** Null where the log is empty. */
  readonly audit_log: ArchivedAuditLog | null
  /** By cluster and 'topic:partition': the next offset that isn't archived, as of this segment. */
  readonly positions: Readonly<Record<string, Readonly<Record<string, string>>>>
}

const padded = (sequence: bigint | number): string => String(sequence).padStart(20, '0')

/** Keys of the objects below the storage's root; numbers are padded, so that the order of keys is theirs. */
export const archiveKeys = (ledger: string) => ({
  manifests: `${ledger}/manifests/`,
  manifest: (number: number) => `${ledger}/manifests/${padded(number)}.json`,
  batches: (first: bigint, last: bigint) => `${ledger}/batches/${padded(first)}-${padded(last)}.avro`,
  records: (cluster: string, topic: string, partition: number, from: bigint, next: bigint) =>
    `${ledger}/records/${cluster}/${topic}/${partition}/${padded(from)}-${padded(next)}.avro`,
  auditLog: (first: bigint, last: bigint) => `${ledger}/audit-log/${padded(first)}-${padded(last)}.avro`,
  schema: (id: number) => `${ledger}/schemas/${id}.avsc`,
})

export interface ArchivedBatchValue {
  readonly sequence: bigint
  readonly previousHash: Buffer
  readonly hash: Buffer
  readonly format: bigint | number
  readonly recordedAt: bigint
  readonly records: bigint | number
  readonly header: Buffer
  readonly payload: Buffer
}

/** A batch record. The hash is over the bytes of `header` and `payload`, see domain/ledger/batch-record.ts. */
export const BATCH_SCHEMA: AvroSchemaObject = {
  type: 'record',
  name: 'ArchivedBatch',
  namespace: 'tallystream.archive',
  doc: 'A batch record of the ledger. hash = SHA-256(previousHash, length of header as 4 bytes big-endian, header, payload).',
  fields: [
    { name: 'sequence', type: 'long', doc: 'Place in the serial history: 1, 2, 3, …' },
    { name: 'previousHash', type: { type: 'fixed', name: 'Sha256', size: 32 } },
    { name: 'hash', type: 'Sha256' },
    { name: 'format', type: 'int', doc: 'Format of header and payload.' },
    { name: 'recordedAt', type: 'long', doc: 'Decision time at the end of the batch, ms since 1970, UTC.' },
    { name: 'records', type: 'int', doc: 'Inputs decided.' },
    { name: 'header', type: 'bytes', doc: 'UTF-8 JSON: sources, order, versions, outcomes.' },
    {
      name: 'payload',
      type: 'bytes',
      doc: 'Output messages, each: 1 byte topic code, 2 bytes key length, key, 4 bytes value length, value (Confluent wire format).',
    },
  ],
}

export interface ArchivedRecordValue {
  readonly offset: bigint
  readonly timestamp: bigint
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly { readonly name: string; readonly value: Buffer }[]
  readonly unreadable: { readonly code: string; readonly detail: string; readonly firstOffset: bigint } | null
}

/** A record of an ingest topic, its bytes as the producer sent them. Topic and partition stand in the file's metadata and its key. */
export const RECORD_SCHEMA: AvroSchemaObject = {
  type: 'record',
  name: 'ArchivedRecord',
  namespace: 'tallystream.archive',
  doc: 'A committed record of an ingest topic.',
  fields: [
    { name: 'offset', type: 'long' },
    { name: 'timestamp', type: 'long', doc: "The broker's append time, ms since 1970, UTC." },
    { name: 'key', type: ['null', 'bytes'] },
    { name: 'value', type: ['null', 'bytes'] },
    {
      name: 'headers',
      doc: 'The last value of each header name.',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'Header',
          fields: [
            { name: 'name', type: 'string' },
            { name: 'value', type: 'bytes' },
          ],
        },
      },
    },
    {
      name: 'unreadable',
      doc: 'Set where this stands for a batch of records that nobody can unpack: value is that batch as the log held it.',
      type: [
        'null',
        {
          type: 'record',
          name: 'UnreadableStretch',
          fields: [
            { name: 'code', type: 'string' },
            { name: 'detail', type: 'string' },
            { name: 'firstOffset', type: 'long' },
          ],
        },
      ],
    },
  ],
}

/** An entry of the audit log, as it stands (the migration `audit-log` in schemas/sql/ says what is hashed). */
export const AUDIT_SCHEMA: AvroSchemaObject = {
  type: 'record',
  name: 'ArchivedAuditEntry',
  namespace: 'tallystream.archive',
  doc: 'Who looked at or changed what. hash = SHA-256(previousHash, JSON array of seq as text, at, actor, action, subject, details).',
  fields: [
    { name: 'seq', type: 'long' },
    { name: 'at', type: 'string' },
    { name: 'actor', type: 'string' },
    { name: 'action', type: 'string' },
    { name: 'subject', type: 'string' },
    { name: 'details', type: 'string', doc: 'A JSON object.' },
    { name: 'previousHash', type: { type: 'fixed', name: 'Sha256', size: 32 } },
    { name: 'hash', type: 'Sha256' },
  ],
}

/** A manifest's bytes: JSON, indented, with a newline at its end. */
export const manifestBytes = (manifest: Manifest): Buffer =>
  Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`, 'utf8')

export const sha256Hex = (content: Buffer): string => createHash('sha256').update(content).digest('hex')

const HEX_32 = /^[0-9a-f]{64}$/
const NUMBER = /^\d{1,19}$/

/** Reads a manifest. @throws OperatingError `archive_damaged` where it isn't one of this format */
export const parseManifest = (content: Buffer, key: string): Manifest => {
  const damaged = (why: string): OperatingError => new OperatingError('archive_damaged', `${key}: ${why}`)
  let manifest: Manifest
  try {
    manifest = JSON.parse(content.toString('utf8')) as Manifest
  } catch (error) {
    throw damaged((error as Error).message)
  }
  if (manifest?.format !== ARCHIVE_FORMAT) {
    throw damaged(`expected format ${ARCHIVE_FORMAT}, found ${String(manifest?.format)}`)
  }
  const { batches, records, schemas, positions } = manifest
  const isWhole =
    Number.isSafeInteger(manifest.number) &&
    (manifest.previous_manifest === null || HEX_32.test(manifest.previous_manifest)) &&
    typeof batches?.file === 'string' &&
    [batches.sha256, batches.previous_hash, batches.head_hash].every((hash) => HEX_32.test(hash)) &&
    [batches.first, batches.last, manifest.timeline].every((number) => NUMBER.test(number)) &&
    Array.isArray(records) &&
    records.every(({ from, next }) => NUMBER.test(from) && NUMBER.test(next)) &&
    Array.isArray(schemas) &&
    typeof positions === 'object'
  if (!isWhole) throw damaged('expected the fields of a manifest')
  return manifest
}
