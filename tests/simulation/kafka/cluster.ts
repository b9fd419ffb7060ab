/** The client's view of the simulated broker, as platform/kafka/cluster.ts names its parts: many topics at once, topic ids. */
import type { ClusterInternals, OffsetsAnswer, OffsetsRequest } from '#platform/kafka/cluster.ts'
import { ConnectedClient, ProtocolError } from './connection.ts'

type Used = 'connect' | 'disconnect' | 'addMultipleTargetTopics' | 'refreshMetadata'

export class SimulatedCluster
  extends ConnectedClient
  implements Pick<ClusterInternals, Used | 'findTopicPartitionMetadata' | 'fetchTopicsOffset' | 'topicIds'>
{
  private readonly topics = new Set<string>()
  private known = new Map<string, { readonly partitionId: number }[]>()

  async addMultipleTargetTopics(topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.topics.add(topic)
    await this.refreshMetadata()
  }

  async refreshMetadata(): Promise<void> {
    const topics = [...this.topics]
    this.known = await this.connection.request<typeof this.known>('Metadata', (answer) => {
      const found = topics.map((topic) => [topic, this.place.broker.partitions(topic)] as const)
      if (found.some(([, partitions]) => partitions === undefined)) {
        answer(new ProtocolError('UNKNOWN_TOPIC_OR_PARTITION'))
        return
      }
      const ids = found.map(([topic, logs]) => {
        return [topic, logs!.map(({ partition }) => ({ partitionId: partition }))] as const
      })
      answer(new Map(ids))
    })
  }

  findTopicPartitionMetadata(topic: string): { readonly partitionId: number }[] {
    return this.known.get(topic)!
  }

  async fetchTopicsOffset(requests: readonly OffsetsRequest[]): Promise<OffsetsAnswer[]> {
    return await this.connection.request<OffsetsAnswer[]>('ListOffsets', (answer) =>
      answer(
        requests.map(({ topic, fromBeginning, partitions }) => ({
          topic,
          partitions: partitions.map(({ partition }) => {
            const log = this.place.broker.log(topic, partition)!
            return { partition, offset: String(fromBeginning ? log.start : log.end) }
          }),
        })),
      ),
    )
  }

  async topicIds(topics: readonly string[]): Promise<Map<string, string>> {
    return await this.connection.request<Map<string, string>>('Metadata', (answer) => {
      const ids = topics.map((topic) => [topic, this.place.broker.topicId(topic)] as const)
      answer(new Map(ids.filter((each): each is [string, string] => each[1] !== undefined)))
    })
  }
}
