/** Puts an archiver together from a ledger's services: for the pipeline's role and for the command line. */
import type { Configuration } from '#platform/config/configuration.ts'
import type { IncidentError } from '#platform/errors.ts'
import type { Kafka } from '#platform/kafka/client.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import { openStorage } from '#platform/object-storage/open-storage.ts'
import { ArchiveProgress } from '#platform/postgres/archive-progress.ts'
import { AuditLog } from '#platform/postgres/audit-log.ts'
import { BatchStore } from '#platform/postgres/batch-store.ts'
import type { EnginePool } from '#platform/postgres/engine-pool.ts'
import { Lease } from '#platform/postgres/lease.ts'
import type { SchemaSource } from '#platform/schema-registry/serde.ts'
import type { KeptManifest } from './archive.ts'
import { Archiver, type ArchiverLogger } from './archiver.ts'
import type { IngestRecords } from './sources.ts'

const LEASE_MS = 10_000

/** The ledger's ingest topics as a source of records, without a consumer group. */
export const topicRecords = (kafka: Kafka, topicPrefix: string): IngestRecords => {
  const reader = new RangeReader(kafka)
  return {
    read: ({ topic, partition, from, next }) => reader.read(`${topicPrefix}${topic}`, partition, from, next),
    close: () => reader.close(),
  }
}

/**
 * An archiver of the configured ledger, and what closes its connections (not the ones given).
 * @throws ConfigurationError where no archive is configured
 */
export const openArchiver = (options: {
  readonly configuration: Configuration
  readonly pool: EnginePool
  readonly kafka: Kafka
  readonly schemas: SchemaSource
  readonly holder: string
  readonly logger: ArchiverLogger
  readonly onSegment: (segment: KeptManifest) => void
  readonly onIncident: (incident: IncidentError) => void
}): { archiver: Archiver; close(): Promise<void> } => {
  const { configuration, pool, kafka } = options
  const { ledger, archive } = configuration
  const storage = openStorage(archive)
  const records = topicRecords(kafka, ledger.topicPrefix)
  const archiver = new Archiver({
    ledger: ledger.name,
    cluster: ledger.clusterId,
    storage,
    store: new BatchStore(pool),
    records,
    schemas: options.schemas,
    auditLog: new AuditLog(pool),
    segmentBytesMax: archive.segmentBytesMax,
    segmentSecondsMax: archive.segmentSecondsMax,
    progress: new ArchiveProgress(pool),
    lease: new Lease(pool, { name: 'archiver', holder: options.holder, lifetimeMs: LEASE_MS }),
    leaseRenewMs: LEASE_MS / 4,
    logger: options.logger,
    onSegment: options.onSegment,
    onIncident: options.onIncident,
  })
  return {
    archiver,
    close: async () => {
      await records.close()
      await storage.close()
    },
  }
}
