/** Checks an archive by itself: every file against its hash, every chain, every range. Nothing but the storage is asked. */
import { createHash } from 'node:crypto'
import type { BatchHeader } from '#domain/ledger/batch-record.ts'
import { OperatingError } from '#platform/errors.ts'
import { readAvroFile } from '#platform/schema-registry/avro-container.ts'
import { AuditLogChecker } from '#platform/postgres/audit-log-check.ts'
import type { Archive, KeptManifest } from './archive.ts'
import {
  type ArchivedAuditLog,
  type ArchivedRecords,
  type ArchivedRecordValue,
  archiveKeys,
  type Manifest,
} from './format.ts'

export interface ArchiveFinding {
  /** The object concerned. */
  readonly file: string
  readonly detail: string
}

export interface ArchiveReport {
  readonly ok: boolean
  readonly manifests: number
  readonly batches: bigint
  readonly records: bigint
  readonly bytes: bigint
  /** Hash of the last archived batch, hex; null where no manifest could be read. */
  readonly head_hash: string | null
  /** The batch that has the hash which was expected; null where none has, or none was expected. */
  readonly expected_batch: bigint | null
  readonly findings: readonly ArchiveFinding[]
}

/** Enough to see what is wrong; a storage that lost everything need not list it all. */
const FINDINGS_MAX = 1_000

export interface VerifyArchiveOptions {
  /** Hash of a batch that must be there, hex: noted elsewhere, it shows an archive that was rewritten from some batch on, or cut off. */
  readonly expectHead?: string | undefined
  readonly onManifest?: (number: number) => void
}

/**
 * Verifies all of an archive. What is missing or damaged becomes a finding; a storage that isn't reachable an error, and so is one
 * without any manifest of the ledger: where nothing was looked at, nothing is as it was written.
 * @throws OperatingError `archive_empty`, `storage_unreachable`, `storage_refused`
 */
export const verifyArchive = (archive: Archive, options: VerifyArchiveOptions = {}): Promise<ArchiveReport> =>
  new Verifier(archive, options).run()

class Verifier {
  private readonly archive: Archive
  private readonly options: VerifyArchiveOptions
  private expectedBatch: bigint | null = null
  private readonly findings: ArchiveFinding[] = []
  private batches = 0n
  private records = 0n
  private bytes = 0n
  private positions: Manifest['positions'] = {}
  private readonly auditLog = new AuditLogChecker()
  private last: Manifest | null = null
  private lastHash: string | null = null

  constructor(archive: Archive, options: VerifyArchiveOptions) {
    this.archive = archive
    this.options = options
  }

  async run(): Promise<ArchiveReport> {
    const { expectHead, onManifest } = this.options
    const count = await this.attempt('manifests', () => this.archive.refresh())
    if (count === 0) {
      const { ledger, storage } = this.archive
      throw new OperatingError(
        'archive_empty',
        `there is no archive of the ledger ${ledger} in ${storage.location}`,
      )
    }
    for (let number = 1; number <= (count ?? 0); number += 1) {
      if (this.findings.length >= FINDINGS_MAX) break
      const key = archiveKeys(this.archive.ledger).manifest(number)
      const kept = await this.attempt(key, () => this.archive.manifest(number))
      if (kept !== undefined) await this.manifest(key, kept)
      onManifest?.(number)
    }
    const isAsExpected = expectHead === undefined || this.expectedBatch !== null
    this.expect(isAsExpected, this.archive.storage.location, `no batch has the hash ${expectHead}`)
    return {
      ok: this.findings.length === 0,
      manifests: count ?? 0,
      batches: this.batches,
      records: this.records,
      bytes: this.bytes,
      head_hash: this.last?.batches.head_hash ?? null,
      expected_batch: this.expectedBatch,
      findings: this.findings,
    }
  }

  private find(file: string, detail: string): void {
    this.findings.push({ file, detail })
  }

  private expect(isSo: boolean, file: string, detail: string): void {
    if (!isSo) this.find(file, detail)
  }

  /** What is wrong with the archive becomes a finding; what is wrong with reaching it is thrown. */
  private async attempt<T>(file: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      const isOurs = error instanceof OperatingError && CODES.has(error.code)
      if (!isOurs) throw error
      this.find(file, error.message)
      return undefined
    }
  }

  private async manifest(key: string, { manifest, hash }: KeptManifest): Promise<void> {
    this.expect(manifest.previous_manifest === this.lastHash, key, "doesn't follow the manifest before it")
    const previousLast = BigInt(this.last?.batches.last ?? 0)
    this.expect(
      BigInt(manifest.batches.first) === previousLast + 1n,
      key,
      `expected to begin with batch ${previousLast + 1n}`,
    )
    const previousHead = this.last?.batches.head_hash
    const isChained = previousHead === undefined || previousHead === manifest.batches.previous_hash
    this.expect(isChained, key, "the first batch doesn't follow the segment before")
    await this.attempt(manifest.batches.file, () => this.batchFile(key, manifest))
    for (const part of manifest.records) {
      await this.attempt(part.file ?? key, () => this.recordFile(key, manifest, part))
    }
    const log = manifest.audit_log ?? null
    if (log !== null) await this.attempt(log.file ?? key, () => this.auditLogFile(key, manifest, log))
    for (const { file, sha256 } of manifest.schemas) {
      await this.attempt(file, () => this.file(file, sha256, null))
    }
    this.checkPositions(key, manifest)
    this.positions = manifest.positions
    this.last = manifest
    this.lastHash = hash
  }

  /** The bytes of a file, by which its hash is computed before anything is believed of it. */
  private async file(file: string, sha256: string, bytes: number | null): Promise<boolean> {
    const hash = createHash('sha256')
    let found = 0
    for await (const part of (await this.archive.storage.read(file)) as AsyncIterable<Buffer>) {
      hash.update(part)
      found += part.length
    }
    this.bytes += BigInt(found)
    const isSame = hash.digest('hex') === sha256 && (bytes === null || bytes === found)
    this.expect(isSame, file, "isn't what its manifest says (SHA-256)")
    return isSame
  }

  /** The audit log's entries are one chain over all segments. */
  private async auditLogFile(key: string, manifest: Manifest, log: ArchivedAuditLog): Promise<void> {
    if (log.file !== null && !(await this.file(log.file, log.sha256, log.bytes))) return
    for await (const entry of this.archive.auditLogOf(manifest)) this.auditLog.check(entry)
    const { last, findings } = this.auditLog
    for (const found of findings.splice(0)) this.find(log.file ?? key, `entry ${found.key}: ${found.kind}`)
    const isHead = String(last.seq) === log.last && last.hash.toString('hex') === log.head_hash
    this.expect(isHead, key, "the audit log doesn't end as the manifest says")
  }

  private async batchFile(key: string, manifest: Manifest): Promise<void> {
    const { batches } = manifest
    if (!(await this.file(batches.file, batches.sha256, batches.bytes))) return
    const ranges = new Map<string, { from: string; next: string }>()
    let last = BigInt(batches.first) - 1n
    let hash = batches.previous_hash
    for await (const batch of this.archive.batchesOf(manifest)) {
      this.expect(
        batch.sequence === last + 1n,
        batches.file,
        `expected batch ${last + 1n}, found ${batch.sequence}`,
      )
      this.expect(
        batch.previousHash.toString('hex') === hash,
        batches.file,
        `batch ${batch.sequence} doesn't follow the one before`,
      )
      last = batch.sequence
      hash = batch.hash.toString('hex')
      if (hash === this.options.expectHead) this.expectedBatch = batch.sequence
      this.batches += 1n
      const header = JSON.parse(batch.header.toString('utf8')) as BatchHeader
      const own = { ...this.positions[header.cluster] }
      for (const { topic, partition, to } of header.jumps ?? []) own[`${topic}:${partition}`] = to
      if (header.jumps !== undefined) this.positions = { ...this.positions, [header.cluster]: own }
      for (const { topic, partition, from, next } of header.sources) {
        const name = `${topic}:${partition}`
        const range = ranges.get(name)
        this.expect(
          range === undefined || range.next === from,
          batches.file,
          `batch ${batch.sequence}: ${name} doesn't begin where it ended`,
        )
        ranges.set(name, { from: range?.from ?? from, next })
      }
    }
    this.expect(
      last === BigInt(batches.last),
      batches.file,
      `expected to end with batch ${batches.last}, ends with ${last}`,
    )
    this.expect(hash === batches.head_hash, batches.file, "the last batch isn't the one of the manifest")
    const archived = new Map(manifest.records.map((each) => [`${each.topic}:${each.partition}`, each]))
    for (const [name, range] of ranges) {
      const part = archived.get(name)
      const isWhole = part?.from === range.from && part.next === range.next
      this.expect(isWhole, key, `the records of ${name} from ${range.from} to ${range.next} aren't all there`)
    }
  }

  private async recordFile(key: string, manifest: Manifest, part: ArchivedRecords): Promise<void> {
    const { topic, partition, from, next, file } = part
    const name = `${topic}:${partition}`
    const before = this.positions[manifest.cluster]?.[name]
    this.expect(before === undefined || before === from, key, `${name} doesn't begin where it ended`)
    if (file === null) return
    if (!(await this.file(file, part.sha256, part.bytes))) return
    let previous = BigInt(from) - 1n
    let count = 0
    for await (const { offset } of readAvroFile<ArchivedRecordValue>(await this.archive.storage.read(file))) {
      this.expect(offset > previous && offset < BigInt(next), file, `offset ${offset} is out of its place`)
      previous = offset
      count += 1
    }
    this.expect(count === part.count, file, `expected ${part.count} records, found ${count}`)
    this.records += BigInt(count)
  }

  private checkPositions(key: string, manifest: Manifest): void {
    const expected: Record<string, Record<string, string>> = {}
    for (const [cluster, own] of Object.entries(this.positions)) expected[cluster] = { ...own }
    const own = expected[manifest.cluster] ?? {}
    expected[manifest.cluster] = own
    for (const { topic, partition, next } of manifest.records) own[`${topic}:${partition}`] = next
    const flat = (positions: Manifest['positions']): string =>
      JSON.stringify(
        Object.entries(positions)
          .flatMap(([cluster, each]) => Object.entries(each).map(([name, next]) => [cluster, name, next]))
          .sort(),
      )
    this.expect(flat(expected) === flat(manifest.positions), key, "the positions aren't those of its records")
  }
}

const CODES = new Set(['archive_damaged', 'avro_invalid', 'object_missing', 'object_too_large'])
