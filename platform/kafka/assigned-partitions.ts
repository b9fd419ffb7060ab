/**
 * The partitions that a consumer reads now: what was fetched of each, where the next fetch must begin, and which are stopped by
 * an incident. Steers the client's group (pause, seek, resume), but knows nothing of joining or leaving it.
 */
import type { KafkaAdmin } from './admin.ts'
import type { KafkaLogger } from './client.ts'
import type { FetchedBatch } from './fetched-batch.ts'
import {
  type AssignedPartition,
  type IngestIncident,
  type IngestIncidentCode,
  type PartitionLag,
  partitionKey,
  type TopicPartition,
} from './ingest-consumer-options.ts'
import type { ConsumerGroupInternals } from './kafkajs-cures.ts'
import { positionsOutside } from './log-ranges.ts'
import { type IngestChunk, PartitionInbox, takeFairly } from './partition-inbox.ts'

export interface AssignedPartitionsOptions {
  admin: KafkaAdmin
  /** Above this many bytes buffered of one partition, reading it pauses; below half of it, it goes on. */
  bytesMax: number
  logger: KafkaLogger | undefined
  onIncident(incident: IngestIncident): void
}

/** A fetch that doesn't begin where expected is dropped and read again; so many in a row and something is wrong for good. */
const REFUSED_IN_A_ROW_MAX = 20

export class AssignedPartitions {
  readonly #options: AssignedPartitionsOptions
  #group: ConsumerGroupInternals | undefined
  /** Raised by every loss or gain of an assignment; whoever awaited something compares it afterwards. */
  #epoch = 0
  #inboxes = new Map<string, PartitionInbox>()
  /** Under which id each is fetched; null where the brokers knew none. */
  #topicIds = new Map<string, string | null>()
  #full = new Set<string>()
  #incidents = new Map<string, IngestIncident>()
  #rotation = 0
  #refusedTotal = 0
  #wake: (() => void) | undefined

  constructor(options: AssignedPartitionsOptions) {
    this.#options = options
  }

  get epoch(): number {
    return this.#epoch
  }

  get refusedFetches(): number {
    return this.#refusedTotal
  }

  /** The partitions that can be read, and those that are stopped. */
  get reading(): TopicPartition[] {
    return [...this.#inboxes]
      .filter(([key]) => !this.#incidents.has(key))
      .map(([, { topic, partition }]) => ({ topic, partition }))
  }
  get incidents(): IngestIncident[] {
    return [...this.#incidents.values()]
  }

  /** How far each readable partition is behind the end of its log, as of its last fetch. */
  lag(): PartitionLag[] {
    return [...this.#inboxes.values()].map(({ topic, partition, lag }) => ({ topic, partition, lag }))
  }

  /** Another assignment begins, or none: what is buffered is dropped. @returns the new epoch */
  begin(group: ConsumerGroupInternals | undefined): number {
    this.#group = group
    this.#inboxes.clear()
    this.#topicIds.clear()
    this.#full.clear()
    this.#incidents.clear()
    return ++this.#epoch
  }

  /** Takes buffered records of all partitions fairly, as soon as there are some; empty when `waitMs` passed or `isStopped`. */
  async take(
    limits: {
      recordsMax: number
      bytesMax: number
      waitMs: number
      except?: ReadonlySet<string> | undefined
    },
    isStopped: () => boolean,
  ): Promise<IngestChunk[]> {
    const deadline = Date.now() + limits.waitMs
    for (;;) {
      const wanted = [...this.#inboxes].filter(([key]) => limits.except?.has(key) !== true)
      const taken = takeFairly(
        wanted.map(([, inbox]) => inbox),
        limits,
        this.#rotation,
      )
      if (taken.length > 0) this.#rotation++
      for (const { inbox } of taken) this.#resumeIfDrained(inbox)
      const remainingMs = deadline - Date.now()
      if (taken.length > 0 || remainingMs <= 0 || isStopped()) return taken.map(({ chunk }) => chunk)
      await this.#somethingArrived(remainingMs)
    }
  }

  /** Ends a take() that waits. */
  wake(): void {
    this.#wake?.()
  }

  /** Nothing of these is fetched until they are read from a position of ours. */
  hold(list: readonly TopicPartition[]): void {
    for (const { topic, partition } of list) this.#group?.pause([{ topic, partitions: [partition] }])
  }

  /** Reads partitions from their positions; those without one, or with one outside of the log, end in an incident. */
  async read(
    list: readonly AssignedPartition[],
    positions: ReadonlyMap<string, bigint>,
    epoch: number,
  ): Promise<void> {
    const topics = [...new Set(list.map((entry) => entry.topic))]
    // All at once: they are looked up together then.
    await Promise.all(
      topics.map((topic) =>
        this.#readTopic(
          topic,
          list.filter((entry) => entry.topic === topic),
          positions,
          epoch,
        ),
      ),
    )
  }

  async #readTopic(
    topic: string,
    pending: readonly AssignedPartition[],
    positions: ReadonlyMap<string, bigint>,
    epoch: number,
  ): Promise<void> {
    const known = pending.flatMap(({ partition }) => {
      const offset = positions.get(partitionKey(topic, partition))
      return offset === undefined ? [] : [{ partition, offset }]
    })
    const outside = await positionsOutside(this.#options.admin, topic, known)
    if (epoch !== this.#epoch) return
    for (const { partition, topicId } of pending) {
      const detail = outside.get(partition)
      const startOffset = positions.get(partitionKey(topic, partition))
      if (startOffset === undefined) {
        this.#raise({ code: 'position_unknown', topic, partition, detail: 'claim returned no position' })
      } else if (detail !== undefined) {
        this.#raise({ code: 'position_out_of_range', topic, partition, detail })
      } else if (topicId === undefined) {
        this.refusedByItsId(topic, partition)
      } else {
        this.#open({ topic, partition }, startOffset, topicId)
      }
    }
  }

  /** Stops reading one partition and drops what is buffered of it, until it is read again. */
  suspend({ topic, partition }: TopicPartition): void {
    const key = partitionKey(topic, partition)
    this.hold([{ topic, partition }])
    this.#inboxes.delete(key)
    this.#topicIds.delete(key)
    this.#full.delete(key)
  }

  /** The id under which a partition is fetched; null: by its name; undefined: it isn't read. */
  topicIdOf(topic: string, partition: number): string | null | undefined {
    return this.#topicIds.get(partitionKey(topic, partition))
  }

  /** Takes a fetch in, or refuses it; called by the client for each partition of each fetch, in order. */
  deliver(batch: FetchedBatch): boolean {
    const { topic, partition, nextOffset, records, bytes } = batch
    const key = partitionKey(topic, partition)
    const inbox = this.#inboxes.get(key)
    if (inbox === undefined || this.#incidents.has(key)) return false
    const fetchedOffset = BigInt(batch.fetchedOffset)
    if (batch.failure !== undefined && fetchedOffset === inbox.expectedOffset) {
      const { code, message: detail } = batch.failure
      this.#raise({ code: code as IngestIncidentCode, topic, partition, detail })
      return false
    }
    const highWatermark = BigInt(batch.highWatermark)
    const chunk = { topic, partition, fetchedOffset, nextOffset, highWatermark, records, bytes }
    const answer = inbox.accept(chunk)
    if (answer === 'refused') {
      this.#refuse(inbox, fetchedOffset)
      return false
    }
    if (inbox.isFull && !this.#full.has(key)) {
      this.#full.add(key)
      this.hold([{ topic, partition }])
    }
    if (answer === 'accepted') this.#wake?.()
    return true
  }

  /** The broker has nothing at the position. */
  refusedByBroker(topic: string, partition: number): void {
    const inbox = this.#inboxes.get(partitionKey(topic, partition))
    if (inbox === undefined) return
    const detail = `the broker refused position ${inbox.expectedOffset}`
    this.#raise({ code: 'position_out_of_range', topic, partition, detail })
  }

  /** The topic isn't the one that was read any more, or the broker hasn't heard of it yet: whoever claims must look again. */
  refusedByItsId(topic: string, partition: number): void {
    const detail = 'the topic is not known by the id under which it is read'
    this.#raise({ code: 'topic_id_unknown', topic, partition, detail })
  }

  #open({ topic, partition }: TopicPartition, startOffset: bigint, topicId: string | null): void {
    const key = partitionKey(topic, partition)
    this.#topicIds.set(key, topicId)
    const { bytesMax } = this.#options
    this.#incidents.delete(key)
    this.#full.delete(key)
    this.#inboxes.set(key, new PartitionInbox({ topic, partition, startOffset, bytesMax }))
    this.#group?.seek({ topic, partition, offset: String(startOffset) })
    this.#group?.resume([{ topic, partitions: [partition] }])
  }

  #refuse(inbox: PartitionInbox, fetchedOffset: bigint): void {
    const { topic, partition, expectedOffset } = inbox
    this.#refusedTotal++
    const detail = `fetched at ${fetchedOffset}, expected ${expectedOffset}`
    if (inbox.refusedInARow >= REFUSED_IN_A_ROW_MAX) {
      this.#raise({ code: 'position_not_contiguous', topic, partition, detail })
      return
    }
    this.#options.logger?.warn(
      { topic, partition, detail },
      'a fetch did not begin where expected; reading again',
    )
    this.#group?.seek({ topic, partition, offset: String(expectedOffset) })
  }

  /** Stops one partition and says why; what it has buffered was read properly and can still be taken. */
  #raise(incident: IngestIncident): void {
    const key = partitionKey(incident.topic, incident.partition)
    this.hold([incident])
    this.#full.delete(key)
    this.#incidents.set(key, incident)
    this.#options.onIncident(incident)
  }

  #resumeIfDrained(inbox: PartitionInbox): void {
    const { topic, partition } = inbox
    if (!inbox.isBelowHalf || !this.#full.delete(partitionKey(topic, partition))) return
    this.#group?.resume([{ topic, partitions: [partition] }])
  }

  async #somethingArrived(timeoutMs: number): Promise<void> {
    if (this.#wake !== undefined) throw new Error('take() was called while another take() waits')
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = undefined
  }
}
