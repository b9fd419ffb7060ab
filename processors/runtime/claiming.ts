/** What is known of assigned partitions before they are taken: where their logs begin, and whether their history is here. */
import type { KafkaAdmin } from '#platform/kafka/admin.ts'
import type { PartitionToClaim } from '#platform/postgres/ledger-store/store.ts'
import type { ClusterHistory } from './other-cluster.ts'
import type { Assigned } from './processor-options.ts'
import type { PartitionIncident } from './stopped-partitions.ts'

/**
 * Assigned partitions as the ledger names them, with the first offset that the log has of each.
 * @param assignment topics with the ledger's prefix
 * @throws OperatingError as KafkaAdmin.ranges
 */
export const partitionsToClaim = async (
  assignment: readonly Assigned[],
  admin: Pick<KafkaAdmin, 'ranges'>,
  topicPrefix: string,
): Promise<PartitionToClaim[]> => {
  const byTopic = [...new Set(assignment.map(({ topic }) => topic))].map(async (topic) => {
    const ranges = new Map((await admin.ranges(topic)).map((range) => [range.partition, range]))
    return assignment
      .filter((assigned) => assigned.topic === topic)
      .map(({ partition, topicId }) => ({
        topic: topic.slice(topicPrefix.length),
        partition,
        topicId: topicId ?? null,
        initialOffset: ranges.get(partition)?.start ?? 0n,
      }))
  })
  return (await Promise.all(byTopic)).flat()
}

/**
 * Parts those that can be taken now from those whose history is on another cluster. Searching it may take minutes: where there is
 * no time, it is postponed.
 * @throws OperatingError of Kafka and Postgres
 */
export const partByHistory = async (
  partitions: readonly PartitionToClaim[],
  history: ClusterHistory | undefined,
  { mayTakeLong }: { readonly mayTakeLong: boolean },
): Promise<{ ready: PartitionToClaim[]; postponed: PartitionIncident[]; stopped: PartitionIncident[] }> => {
  const postponed: PartitionIncident[] = []
  const stopped: PartitionIncident[] = []
  for (const origin of (await history?.origins(partitions)) ?? []) {
    const { topic, partition } = origin
    if (!mayTakeLong) {
      postponed.push({ topic, partition, code: 'cluster_unknown_history', detail: 'not looked for yet' })
      continue
    }
    const incident = await history!.adopt(origin)
    if (incident !== null) stopped.push(incident)
  }
  const isOut = (p: PartitionToClaim): boolean =>
    [...postponed, ...stopped].some((out) => out.topic === p.topic && out.partition === p.partition)
  return { ready: partitions.filter((p) => !isOut(p)), postponed, stopped }
}
