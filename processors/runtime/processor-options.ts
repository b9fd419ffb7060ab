/** What a processor is given: the ports it works through, and its bounds. */
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import type { IncidentError } from '#platform/errors.ts'
import type { KafkaAdmin } from '#platform/kafka/admin.ts'
import type { IngestChunk } from '#platform/kafka/partition-inbox.ts'
import type { LedgerStore } from '#platform/postgres/ledger-store/store.ts'
import type { Clock } from '#platform/time/clock.ts'
import type { BatchContext, BatchResult } from '../apply/batch.ts'
import type { BatchSize } from './batch-size.ts'
import type { ClusterHistory } from './other-cluster.ts'
import type { TimedOutWait } from './selection.ts'
import type { PartitionIncident } from './stopped-partitions.ts'

/** The reader as the processor sees it (platform/kafka/ingest-consumer.ts, or a simulated one). */
export interface IngestReader {
  start(): Promise<void>
  /** @param limits.except partitions of which nothing may be taken now: 'topic:partition', topic with the ledger's prefix */
  take(limits: {
    recordsMax: number
    bytesMax: number
    waitMs: number
    except?: ReadonlySet<string> | undefined
  }): Promise<IngestChunk[]>
  stop(): Promise<void>
  /** Stops reading a partition and drops what is buffered of it. */
  suspend?(topic: string, partition: number): void
  /** Reads a stopped partition again, from where `claim` says; see platform/kafka/ingest-consumer.ts. */
  readAgain?(
    topic: string,
    partition: number,
    claim: (assigned: Assigned) => Promise<bigint | undefined>,
  ): Promise<void>
  /** Has the group go on without a dead member. @returns whether it had it until now; undefined: can't tell it yet */
  removeMember?(memberId: string): Promise<boolean | undefined>
  /** Shows positions to lag tools; nothing reads them back. */
  commitInformational?(
    offsets: readonly { topic: string; partition: number; offset: bigint }[],
  ): Promise<void>
}

/** A partition, its topic with the ledger's prefix. */
export interface Assigned {
  topic: string
  partition: number
  /** Of the topic that will be read; absent or null where nobody knows. */
  topicId?: string | null | undefined
}

export interface ReaderHooks {
  /** @param generation in which generation of the group, and as which member; absent where there is no group */
  claim(assignment: Assigned[], generation?: { readonly memberId: string }): Promise<Map<string, bigint>>
  release(): Promise<void>
  /** Reading one partition has stopped; topic with the ledger's prefix. */
  onIncident(incident: PartitionIncident): void
}

export interface ProcessorLogger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface ProcessorOptions {
  readonly topicPrefix: string
  readonly makeReader: (hooks: ReaderHooks) => IngestReader
  readonly openSession: () => Promise<LedgerStore>
  /** Everything of the batch context but the session. */
  readonly context: Omit<BatchContext, 'session' | 'clock'>
  /** Fetches what decoding a chunk needs. @throws OperatingError `registry_unreachable`: asked again, and only its partition waits */
  readonly prepare?: (chunk: IngestChunk) => Promise<void>
  /** Whether a chunk decodes without asking anybody; absent: none does before it was prepared. */
  readonly isReady?: (chunk: IngestChunk) => boolean
  /** Turns a chunk's records into inputs. */
  readonly decode: (chunk: IngestChunk) => Promise<LedgerInput[]>
  readonly admin: Pick<KafkaAdmin, 'ranges'>
  /** For partitions that were last read on another cluster; absent: there is none. */
  readonly history?: ClusterHistory
  readonly clock: Clock
  readonly batchSize: BatchSize
  readonly batchBytesMax: number
  readonly logger: ProcessorLogger
  readonly onBatch: (result: BatchResult) => void
  /** Something stopped, or a partition did. */
  readonly onIncident: (incident: IncidentError) => void
  /** Partitions were taken: so many epochs were raised. */
  readonly onTaken?: (partitions: number) => void
  /** A failure that it goes on after. */
  readonly onFailure?: (code: string) => void
  /** A partition goes on without a record that one of its own names in `after`: it didn't come in time. */
  readonly onAfterTimedOut?: (wait: TimedOutWait) => void
  /** A partition has stopped, or has stopped again after it was looked at. */
  readonly onStopped?: (incident: PartitionIncident) => void
}
