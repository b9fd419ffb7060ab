/** What the ingest consumer is told, and what it tells. */
import type { Kafka, KafkaLogger } from './client.ts'

export interface TopicPartition {
  topic: string
  partition: number
}

/** A partition to be read, and under which id its topic is known now. */
export interface AssignedPartition extends TopicPartition {
  /** 32 hexadecimal digits; null where the brokers (before Kafka 3.1) know none, undefined where the topic isn't there. */
  topicId: string | null | undefined
}

export interface Generation {
  memberId: string
  generationId: number
}

export type IngestIncidentCode =
  | 'position_out_of_range'
  | 'position_not_contiguous'
  | 'position_unknown'
  | 'topic_id_unknown'
  | 'batch_undecodable'
  | 'checksum_mismatch'

export interface IngestIncident extends TopicPartition {
  code: IngestIncidentCode
  detail: string
}

export interface PartitionLag extends TopicPartition {
  lag: bigint
}

export interface IngestConsumerOptions {
  kafka: Kafka
  groupId: string
  topics: readonly string[]
  sessionTimeoutMs?: number
  heartbeatIntervalMs?: number
  rebalanceTimeoutMs?: number
  /** How long a fetch waits at the broker where nothing is new. */
  maxWaitTimeMs?: number
  /** Above this many bytes buffered of one partition, reading it pauses; below half of it, it goes on. */
  bytesPerPartitionMax?: number
  /** How long `claim` and `release` may take each. */
  claimTimeoutMs?: number
  logger?: KafkaLogger
  /**
   * Called once per assignment with all assigned partitions (also with none); reading begins at the offsets it returns, by
   * `topic:partition`. What is read is the topic of the id that it is given, or nothing. Where it throws, the consumer leaves the group
   * and joins again after a pause that grows up to 5 s.
   */
  claim(assignment: AssignedPartition[], generation: Generation): Promise<Map<string, bigint>>
  /** Called when a claimed assignment is lost or about to be replaced: finish or drop what is in flight. */
  release(): Promise<void>
  onIncident(incident: IngestIncident): void
}

/** The key of a partition in maps: `topic:partition`. */
export const partitionKey = (topic: string, partition: number): string => `${topic}:${partition}`
