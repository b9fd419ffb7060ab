/** Where else the heads of the chain are: in the published outputs and in the archive's manifests. */
import type { Configuration } from '#platform/config/configuration.ts'
import { OperatingError } from '#platform/errors.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import type { AuditLogAnchor } from '#platform/postgres/audit-log-check.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { TOPICS } from '#schemas/topics.ts'
import type { Archive } from './archive/archive.ts'
import type { ArchiveState } from './audit/verify/standing.ts'
import type { Head } from './audit/verify/witnesses.ts'

/** A place where heads are kept. It is opened before the tables are looked at, and read after. */
export interface HeadWitness {
  heads(): AsyncGenerator<Head[]>
  close(): Promise<void>
}

/** The heads that travelled with the outputs: `ledger.batches` has one record a batch. None where there is no such topic. */
export const openPublishedHeads = async ({
  kafka: options,
  ledger,
  schemaRegistry,
}: Configuration): Promise<HeadWitness> => {
  const kafka = makeKafka(options, { clientId: 'tallystream-audit' })
  const admin = new KafkaAdmin(kafka)
  const reader = new RangeReader(kafka)
  const topic = `${ledger.topicPrefix}${TOPICS.batches.name}`
  const decoder = new AvroDecoder<{ sequence: bigint; hash: Buffer }>(
    new SchemaRegistry(schemaRegistry),
    schemaOf(TOPICS.batches),
  )
  const ranges = () =>
    admin.ranges(topic).catch((error: unknown) => {
      if (error instanceof OperatingError && error.code === 'topic_unknown') return []
      throw error
    })
  const close = async () => {
    await reader.close()
    await admin.close()
  }
  const before = await ranges().catch(async (error: unknown) => {
    await close()
    throw error
  })
  async function* heads(): AsyncGenerator<Head[]> {
    for (const { partition, start, end } of await ranges()) {
      const endBefore = before.find((range) => range.partition === partition)?.end ?? 0n
      for await (const records of reader.read(topic, partition, start, end)) {
        const values = records.flatMap(({ value, offset }) => (value === null ? [] : [{ value, offset }]))
        await decoder.prepare(new Set(values.flatMap(({ value }) => writerIdOf(value) ?? [])))
        yield values.map(({ value, offset }) => {
          const { sequence, hash } = decoder.decode(value)
          return { sequence, hash: Buffer.from(hash).toString('hex'), isBefore: offset < endBefore }
        })
      }
    }
  }
  return { heads, close }
}

export interface ArchiveWitness extends ArchiveState, HeadWitness {
  /** How far the audit log had come when the newest manifest was written; null where it was empty. */
  readonly auditLog: AuditLogAnchor | null
}

/** Opens the archive; null where none is configured. @throws OperatingError `archive_damaged`, and of the storage */
export const openArchiveWitness = async ({
  archive: options,
  ledger,
}: Configuration): Promise<ArchiveWitness | null> => {
  if (options.url === undefined) return null
  // Loaded where it is needed: an S3 client takes tens of megabytes.
  const { openStorage } = await import('#platform/object-storage/open-storage.ts')
  const { Archive } = await import('./archive/archive.ts')
  const storage = openStorage(options)
  const archive = new Archive(storage, ledger.name)
  let auditLog: AuditLogAnchor | null = null
  try {
    await archive.refresh()
    auditLog = await archive.auditLogAnchor()
  } catch (error) {
    await storage.close()
    throw error
  }
  return {
    location: storage.location,
    auditLog,
    heads: () => headsOf(archive),
    manifest: async (number) => {
      // The tables may speak of one that is newer than what was there when this was opened.
      if (number < 1 || number > (await archive.refresh())) return null
      const { manifest, hash } = await archive.manifest(number)
      return { last: BigInt(manifest.batches.last), hash: Buffer.from(hash, 'hex') }
    },
    close: () => storage.close(),
  }
}

async function* headsOf(archive: Archive): AsyncGenerator<Head[]> {
  for await (const { manifest } of archive.manifests()) {
    yield [{ sequence: BigInt(manifest.batches.last), hash: manifest.batches.head_hash, isBefore: true }]
  }
}
