/** Where partitions that the ledger has never read begin. */
import type { KafkaAdmin } from '#platform/kafka/admin.ts'
import type { PartitionToClaim } from '#platform/postgres/ledger-store/store.ts'

/**
 * Assigned partitions as the ledger names them, with the first offset that the log has of each.
 * @param assignment topics with the ledger's prefix
 * @throws OperatingError as KafkaAdmin.ranges
 */
export const partitionsToClaim = async (
  assignment: readonly { topic: string; partition: number }[],
  admin: Pick<KafkaAdmin, 'ranges'>,
  topicPrefix: string,
): Promise<PartitionToClaim[]> => {
  const byTopic = [...new Set(assignment.map(({ topic }) => topic))].map(async (topic) => {
    const ranges = new Map((await admin.ranges(topic)).map((range) => [range.partition, range]))
    return assignment
      .filter((assigned) => assigned.topic === topic)
      .map(({ partition }) => ({
        topic: topic.slice(topicPrefix.length),
        partition,
        initialOffset: ranges.get(partition)?.start ?? 0n,
      }))
  })
  return (await Promise.all(byTopic)).flat()
}
