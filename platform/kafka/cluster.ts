/** The client's own view of the brokers, which it otherwise gives only to its producers and consumers. */
import type { Kafka } from './client.ts'
import type { FetchedPartition } from './fetched-batch.ts'

interface FetchAnswer {
  readonly responses: readonly { readonly partitions: readonly FetchedPartition[] }[]
}

interface BrokerInternals {
  fetch(request: object): Promise<FetchAnswer>
}

/** Which offsets of which partitions are asked for: the first, or the one after the last that a read_committed reader sees. */
export interface OffsetsRequest {
  readonly topic: string
  readonly fromBeginning: boolean
  readonly partitions: readonly { readonly partition: number }[]
}

export interface OffsetsAnswer {
  readonly topic: string
  readonly partitions: readonly { readonly partition: number; readonly offset: string }[]
}

/** The part of it that is used here. */
export interface ClusterInternals {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  refreshMetadata(): Promise<void>
  findTopicPartitionMetadata(topic: string): { readonly partitionId: number }[]
  findLeaderForPartitions(topic: string, partitions: number[]): Record<string, number[]>
  findBroker(options: { nodeId: string }): Promise<BrokerInternals>
  fetchTopicsOffset(requests: readonly OffsetsRequest[]): Promise<OffsetsAnswer[]>
  /** The ids of the topics that are there, by name; undefined where the brokers (before Kafka 3.1) know none. See fetch-by-id.ts. */
  topicIds(topics: readonly string[]): Promise<Map<string, string> | undefined>
}

/** Makes one, with connections of its own. The maker is kept under a symbol: bound to the exact version, as the cures are. */
export function clusterOf(kafka: Kafka): ClusterInternals {
  const symbol = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  )
  const make = symbol === undefined ? undefined : (kafka as unknown as Record<symbol, unknown>)[symbol]
  if (typeof make !== 'function') throw new Error('expected kafkajs to have a maker of clusters, found none')
  return make({ metadataMaxAge: 300_000, allowAutoTopicCreation: false }) as ClusterInternals
}
