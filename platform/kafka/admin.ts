/** Topics, offsets and groups: what set-up, checks, lag and recovery ask of the brokers. Every request has a time limit. */

import { setTimeout as sleep } from 'node:timers/promises'
import type * as KafkaClient from 'kafkajs'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import type { Kafka } from './client.ts'
import { asOperatingError, within } from './client-errors.ts'
import { kafkajs } from './kafkajs-cures.ts'
import { OffsetRanges, type PartitionRange } from './offset-ranges.ts'

export interface TopicSpecification {
  name: string
  partitions: number
  replication: number
  /** Broker names and values, for example `cleanup.policy`: `compact`. */
  config: Readonly<Record<string, string>>
}

export interface TopicDifference {
  topic: string
  /** `missing`, `partitions`, `replication` or a configuration's name. */
  property: string
  expected: string
  /** undefined for a topic that isn't there. */
  actual: string | undefined
}

const CHECK_ATTEMPTS_MAX = 16
const CHECK_PAUSE_MS = 50

interface AskedRanges {
  readonly topic: string
  resolve(ranges: PartitionRange[]): void
  reject(error: unknown): void
}

export class KafkaAdmin {
  readonly #admin: KafkaClient.Admin
  readonly #timeoutMs: number
  /** Settles when the call before is over, however it ended. */
  #previous: Promise<void> = Promise.resolve()
  #connecting: Promise<void> | undefined
  readonly #ranges: OffsetRanges
  /** Topics whose ranges were asked for in this moment. */
  readonly #asked: AskedRanges[] = []

  /** @param options.timeoutMs limit of each call as a whole, retries included */
  constructor(kafka: Kafka, options: { timeoutMs?: number } = {}) {
    this.#admin = kafka.admin()
    this.#ranges = new OffsetRanges(kafka)
    this.#timeoutMs = options.timeoutMs ?? 15_000
  }

  /**
   * Creates what is missing and leaves what is there as it is; the differences that remain are returned, as from checkTopics.
   * Never changes an existing topic: adding partitions or retention is a decision for a person.
   */
  async ensureTopics(table: readonly TopicSpecification[]): Promise<TopicDifference[]> {
    const before = await this.checkTopics(table)
    const missing = new Set(before.filter(({ property }) => property === 'missing').map(({ topic }) => topic))
    if (missing.size === 0) return before
    await this.#call('creating topics', async (admin) => {
      const topics = table.filter(({ name }) => missing.has(name)).map(asClientTopic)
      try {
        // Its own wait for leaders fails on the first answer of a broker that hasn't heard of them yet; the check below is patient.
        await admin.createTopics({ topics, waitForLeaders: false, timeout: this.#timeoutMs })
      } catch (error) {
        // Two set-ups at once: whoever comes second finds them made, and the check below still compares them.
        if (!/already exists/i.test(String((error as { errors?: Error[] }).errors?.[0]?.message ?? error)))
          throw error
      }
    })
    return await this.#checkMade(table)
  }

  /** The cluster learns of new topics a moment after it has made them. */
  async #checkMade(table: readonly TopicSpecification[]): Promise<TopicDifference[]> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const differences = await this.checkTopics(table)
        const isKnown = differences.every(({ property }) => property !== 'missing')
        if (isKnown || attempt === CHECK_ATTEMPTS_MAX) return differences
      } catch (error) {
        const mayCome = error instanceof OperatingError && (error.code === 'topic_unknown' || error.retriable)
        if (!mayCome || attempt === CHECK_ATTEMPTS_MAX) throw error
      }
      await sleep(CHECK_PAUSE_MS * attempt)
    }
  }

  /** Compares the table with the cluster. Empty where all is as it should be. */
  async checkTopics(table: readonly TopicSpecification[]): Promise<TopicDifference[]> {
    return await this.#call('checking topics', async (admin) => {
      const present = new Set(await admin.listTopics())
      const found = table.filter(({ name }) => present.has(name))
      const differences: TopicDifference[] = table
        .filter(({ name }) => !present.has(name))
        .map(({ name }) => ({ topic: name, property: 'missing', expected: 'present', actual: undefined }))
      if (found.length === 0) return differences
      const { topics } = await admin.fetchTopicMetadata({ topics: found.map(({ name }) => name) })
      const { resources } = await admin.describeConfigs({
        includeSynonyms: false,
        resources: found.map(({ name }) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
      })
      for (const wanted of found) {
        const metadata = topics.find(({ name }) => name === wanted.name)
        const entries =
          resources.find(({ resourceName }) => resourceName === wanted.name)?.configEntries ?? []
        differences.push(...compareTopic(wanted, metadata?.partitions ?? [], entries))
      }
      return differences
    })
  }

  /** Asks whether all of these are there. @throws ConfigurationError naming the command that makes them */
  async requireTopics(names: readonly string[]): Promise<void> {
    const present = new Set(await this.#call('listing topics', async (admin) => await admin.listTopics()))
    const [first, ...others] = names.filter((name) => !present.has(name))
    if (first === undefined) return
    const missing =
      others.length === 0 ? `the topic ${first} is` : `${first} and ${others.length} more topics are`
    throw new ConfigurationError(`${missing} missing. Run: npx tallystream topics apply`)
  }

  /** Number of partitions of each topic. @throws OperatingError `topic_unknown` */
  async partitionCounts(topics: readonly string[]): Promise<Map<string, number>> {
    return await this.#call('reading topics', async (admin) => {
      const metadata = await admin.fetchTopicMetadata({ topics: [...topics] })
      return new Map(metadata.topics.map(({ name, partitions }) => [name, partitions.length]))
    })
  }

  /**
   * First and next offset of each partition of a topic, by partition. Topics that are asked for in the same moment are looked up
   * together. @throws OperatingError `topic_unknown`
   */
  ranges(topic: string): Promise<PartitionRange[]> {
    return new Promise((resolve, reject) => {
      this.#asked.push({ topic, resolve, reject })
      if (this.#asked.length === 1) queueMicrotask(() => void this.#answerRanges())
    })
  }

  /**
   * The ids of the topics that are there, by name: a topic that is made anew has another one. undefined where the brokers (before
   * Kafka 3.1) know none. @throws OperatingError
   */
  async topicIds(topics: readonly string[]): Promise<Map<string, string> | undefined> {
    return await this.#patiently('reading topic ids', () => this.#ranges.topicIds(topics))
  }

  async #answerRanges(): Promise<void> {
    const asked = this.#asked.splice(0)
    const topics = [...new Set(asked.map(({ topic }) => topic))]
    const found = topics.length > 1 ? await this.#ranges.of(topics).catch(() => undefined) : undefined
    for (const { topic, resolve, reject } of asked) {
      const ranges = found?.get(topic)
      if (ranges !== undefined) resolve(ranges)
      else this.#rangesPatiently(topic).then(resolve, reject)
    }
  }

  /** A leader that was just chosen may not know it yet, or have moved. @throws as `ranges` */
  #rangesPatiently(topic: string): Promise<PartitionRange[]> {
    // Again with a fresh view of who leads: the client's admin keeps its own.
    return this.#patiently(`reading the offsets of ${topic}`, async (attempt) =>
      attempt === 1 ? await this.#rangesOfOne(topic) : (await this.#ranges.of([topic])).get(topic)!,
    )
  }

  async #patiently<T>(doing: string, ask: (attempt: number) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await ask(attempt)
      } catch (error) {
        const translated = asOperatingError(error, doing)
        const mayCome = translated.code === 'kafka_refused' && translated.retriable
        if (!mayCome || attempt === CHECK_ATTEMPTS_MAX) throw translated
      }
      await sleep(CHECK_PAUSE_MS * attempt)
    }
  }

  #rangesOfOne(topic: string): Promise<PartitionRange[]> {
    return this.#call(`reading the offsets of ${topic}`, async (admin) => {
      // Says at once that a topic isn't there; the request for offsets would retry that for ten seconds.
      await admin.fetchTopicMetadata({ topics: [topic] })
      const offsets = await admin.fetchTopicOffsets(topic)
      return offsets
        .map(({ partition, low, high }) => ({ partition, start: BigInt(low), end: BigInt(high) }))
        .sort((a, b) => a.partition - b.partition)
    })
  }

  /** The first offset of each partition whose record is of that time or later, by partition; the end where there is none. */
  async offsetsAt(topic: string, timestampMs: number): Promise<Map<number, bigint>> {
    return await this.#call(`reading the offsets of ${topic} by time`, async (admin) => {
      await admin.fetchTopicMetadata({ topics: [topic] })
      const offsets = await admin.fetchTopicOffsetsByTimestamp(topic, Math.max(0, timestampMs))
      return new Map(offsets.map(({ partition, offset }) => [partition, BigInt(offset)]))
    })
  }

  /** What the brokers call their cluster; null where they don't say. */
  async clusterId(): Promise<string | null> {
    return await this.#call(
      'asking for the cluster',
      async (admin) => (await admin.describeCluster()).clusterId,
    )
  }

  /** A group's committed position; undefined where it never committed one. The topic must exist. */
  async committedOffset(position: {
    groupId: string
    topic: string
    partition: number
  }): Promise<bigint | undefined> {
    const { groupId, topic, partition } = position
    return await this.#call(`reading the position of ${groupId}`, async (admin) => {
      const [answer] = await admin.fetchOffsets({ groupId, topics: [topic] })
      const offset = answer?.partitions.find((entry) => entry.partition === partition)?.offset
      return offset === undefined || offset === '-1' ? undefined : BigInt(offset)
    })
  }

  /** Deletes the records below the given offsets (the log's start moves up). */
  async deleteRecords(topic: string, below: ReadonlyMap<number, bigint>): Promise<void> {
    await this.#call(`deleting records of ${topic}`, async (admin) => {
      const partitions = [...below].map(([partition, offset]) => ({ partition, offset: String(offset) }))
      // The client looks the leaders up in its cached metadata, which this call fills.
      await admin.fetchTopicMetadata({ topics: [topic] })
      await admin.deleteTopicRecords({ topic, partitions })
    })
  }

  /** Deletes topics; those that aren't there are ignored. For tests and `stack reset`. */
  async deleteTopics(names: readonly string[]): Promise<void> {
    await this.#call('deleting topics', async (admin) => {
      const present = new Set(await admin.listTopics())
      const topics = names.filter((name) => present.has(name))
      if (topics.length > 0) await admin.deleteTopics({ topics })
    })
  }

  /** Closes the connection. Never throws. */
  async close(): Promise<void> {
    this.#connecting = undefined
    const closing = Promise.all([this.#admin.disconnect(), this.#ranges.close()])
    await within(closing, 3_000, 'closing').catch(() => undefined)
  }

  async #call<T>(doing: string, work: (admin: KafkaClient.Admin) => Promise<T>): Promise<T> {
    const run = async (): Promise<T> => {
      this.#connecting ??= this.#admin.connect().catch((error: unknown) => {
        this.#connecting = undefined
        throw error
      })
      await this.#connecting
      return await work(this.#admin)
    }
    // One at a time: the client's admin trips over its own metadata when two of its calls run at once.
    const turn = this.#previous.then(() => within(run(), this.#timeoutMs, doing))
    this.#previous = turn.then(
      () => undefined,
      () => undefined,
    )
    try {
      return await turn
    } catch (error) {
      const translated = asOperatingError(error, doing)
      if (!translated.message.includes('UNKNOWN_TOPIC_OR_PARTITION')) throw translated
      throw new OperatingError('topic_unknown', translated.message, { cause: error })
    }
  }
}

function asClientTopic({
  name,
  partitions,
  replication,
  config,
}: TopicSpecification): KafkaClient.ITopicConfig {
  return {
    topic: name,
    numPartitions: partitions,
    replicationFactor: replication,
    configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
  }
}

/** Compares one topic with what is wanted of it; configuration that the table doesn't name may be anything. */
export function compareTopic(
  wanted: TopicSpecification,
  partitions: readonly { replicas: readonly number[] }[],
  entries: readonly { configName: string; configValue: string }[],
): TopicDifference[] {
  const differences: TopicDifference[] = []
  const compare = (property: string, expected: string, actual: string | undefined): void => {
    if (expected !== actual) differences.push({ topic: wanted.name, property, expected, actual })
  }
  compare('partitions', String(wanted.partitions), String(partitions.length))
  const replication = Math.min(...partitions.map(({ replicas }) => replicas.length))
  compare('replication', String(wanted.replication), String(replication))
  for (const [name, value] of Object.entries(wanted.config)) {
    compare(name, value, entries.find(({ configName }) => configName === name)?.configValue)
  }
  return differences
}
