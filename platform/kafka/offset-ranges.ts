/**
 * First and next offsets of many topics in three requests. The client's own call asks topic by topic, three requests each, one after
 * the other: with nine topics, asked twice at each take-over of partitions, that was most of the time until reading went on.
 */
import type { Kafka } from './client.ts'
import { within } from './client-errors.ts'
import { type ClusterInternals, clusterOf } from './cluster.ts'

/** Offsets of one partition: `start` is the first that is kept, `end` the next to be written. */
export interface PartitionRange {
  partition: number
  start: bigint
  end: bigint
}

const LOOK_UP_TIMEOUT_MS = 5_000

export class OffsetRanges {
  readonly #kafka: Kafka
  #cluster: Promise<ClusterInternals> | undefined

  constructor(kafka: Kafka) {
    this.#kafka = kafka
  }

  /**
   * By topic, each by partition. One that can't be had at once (a topic that isn't there, a leader that moved) fails them all:
   * then they are to be asked for one by one.
   * @throws whatever the client throws
   */
  async of(topics: readonly string[]): Promise<Map<string, PartitionRange[]>> {
    try {
      return await within(this.#lookUp(topics), LOOK_UP_TIMEOUT_MS, 'reading offsets')
    } catch (error) {
      // Its connections and what it knows of the brokers may be of no more use.
      void this.close()
      throw error
    }
  }

  /**
   * The ids of the topics that are there, by name: 32 hexadecimal digits. undefined where the brokers (before Kafka 3.1) know none.
   * @throws whatever the client throws
   */
  async topicIds(topics: readonly string[]): Promise<Map<string, string> | undefined> {
    try {
      return await within(this.#askIds(topics), LOOK_UP_TIMEOUT_MS, 'reading topic ids')
    } catch (error) {
      void this.close()
      throw error
    }
  }

  /** Closes the connections. Never throws. */
  async close(): Promise<void> {
    const cluster = this.#cluster
    this.#cluster = undefined
    const closing = cluster?.then((open) => open.disconnect())
    if (closing !== undefined) await within(closing, 3_000, 'closing').catch(() => undefined)
  }

  async #lookUp(topics: readonly string[]): Promise<Map<string, PartitionRange[]>> {
    this.#cluster ??= this.#connect()
    const cluster = await this.#cluster
    await cluster.addMultipleTargetTopics(topics)
    await cluster.refreshMetadata()
    const asked = topics.map((topic) => ({
      topic,
      partitions: cluster
        .findTopicPartitionMetadata(topic)
        .map(({ partitionId }) => ({ partition: partitionId })),
    }))
    const [starts, ends] = await Promise.all(
      [true, false].map((fromBeginning) =>
        cluster.fetchTopicsOffset(asked.map((request) => ({ ...request, fromBeginning }))),
      ),
    )
    return new Map(
      asked.map(({ topic, partitions }) => {
        const offsets = [starts, ends].map((answers) => offsetsOf(answers!, topic))
        const ranges = partitions.map(({ partition }) => {
          const [start, end] = offsets.map((byPartition) => byPartition.get(partition))
          if (start === undefined || end === undefined) throw new Error(`no offsets of ${topic}:${partition}`)
          return { partition, start, end }
        })
        return [topic, ranges.sort((a, b) => a.partition - b.partition)]
      }),
    )
  }

  async #askIds(topics: readonly string[]): Promise<Map<string, string> | undefined> {
    this.#cluster ??= this.#connect()
    return await (await this.#cluster).topicIds(topics)
  }

  async #connect(): Promise<ClusterInternals> {
    const cluster = clusterOf(this.#kafka)
    await cluster.connect()
    return cluster
  }
}

const offsetsOf = (
  answers: Awaited<ReturnType<ClusterInternals['fetchTopicsOffset']>>,
  topic: string,
): Map<number, bigint> =>
  new Map(
    answers
      .find((answer) => answer.topic === topic)
      ?.partitions.map(({ partition, offset }) => [partition, BigInt(offset)]),
  )
