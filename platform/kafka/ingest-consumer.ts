/**
 * Reads the ingest topics as a member of a consumer group, for an engine that keeps its positions itself (in Postgres).
 *
 * The group only says who reads what. Where to read is what `claim` returns; every fetch must begin where the previous one
 * ended; a position outside of the log stops that partition with an incident. Nothing is ever reset, skipped or committed
 * to the group by itself.
 */

import type * as KafkaClient from 'kafkajs'
import { OperatingError } from '#platform/errors.ts'
import { KafkaAdmin } from './admin.ts'
import { AssignedPartitions } from './assigned-partitions.ts'
import { asOperatingError, within } from './client-errors.ts'
import type {
  AssignedPartition,
  Generation,
  IngestConsumerOptions,
  IngestIncident,
  PartitionLag,
  TopicPartition,
} from './ingest-consumer-options.ts'
import { partitionKey } from './ingest-consumer-options.ts'
import { assignersFor, type ConsumerGroupInternals } from './kafkajs-cures.ts'
import { MembershipPatience } from './membership-patience.ts'
import type { IngestChunk } from './partition-inbox.ts'

/** Compressed: some thousand records. With 1 MiB what is fetched beyond the buffer's bound was most of a processor's memory. */
const FETCH_BYTES_PER_PARTITION = 256 * 1024
const RESTART_PAUSE_MS = { first: 250, most: 5_000 }
const DRAIN_TIMEOUT_MS = 2_000
const LEAVE_TIMEOUT_MS = 2_800
/** How long joining waits for what is in flight; meanwhile there is no heartbeat. */
const RELEASE_WAIT_MS = 1_000
const REMOVE_TIMEOUT_MS = 2_000

export class IngestConsumer {
  readonly #options: IngestConsumerOptions
  readonly #admin: KafkaAdmin
  readonly #claimTimeoutMs: number
  readonly #partitions: AssignedPartitions
  #consumer: KafkaClient.Consumer | undefined
  #group: ConsumerGroupInternals | undefined
  /** The same, or that of the membership before: its connections live until it has left. */
  #lastGroup: ConsumerGroupInternals | undefined
  readonly #patience = new MembershipPatience()
  #isClaimed = false
  #transition: Promise<void> = Promise.resolve()
  #restarts = 0
  #restarting: Promise<void> = Promise.resolve()
  #restartTimer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(options: IngestConsumerOptions) {
    this.#options = options
    this.#admin = new KafkaAdmin(options.kafka, { timeoutMs: 10_000 })
    this.#partitions = new AssignedPartitions({
      admin: this.#admin,
      bytesMax: options.bytesPerPartitionMax ?? 4 * 1024 * 1024,
      logger: options.logger,
      onIncident: (incident) => options.onIncident(incident),
    })
    this.#claimTimeoutMs = options.claimTimeoutMs ?? 10_000
  }

  /**
   * Connects and joins the group; partitions arrive by `claim` later.
   * @throws OperatingError `kafka_unreachable`, or `topic_unknown` where a topic isn't there
   */
  async start(): Promise<void> {
    await this.#admin.partitionCounts(this.#options.topics)
    if (this.#isStopped) return
    this.#patience.start()
    try {
      await this.#run()
    } catch (error) {
      await this.stop()
      throw asOperatingError(error, 'joining the consumer group')
    }
  }

  /**
   * Takes buffered records of all partitions fairly, as soon as there are some; empty when `waitMs` passed or it was stopped.
   * @param limits.except partitions to leave alone, 'topic:partition'
   */
  async take(limits: {
    recordsMax: number
    bytesMax: number
    waitMs: number
    except?: ReadonlySet<string> | undefined
  }): Promise<IngestChunk[]> {
    return await this.#partitions.take(limits, () => this.#isStopped)
  }

  /** How far each readable partition is behind the end of its log, as of its last fetch. */
  lag(): PartitionLag[] {
    return this.#partitions.lag()
  }

  /** What an operator needs to see: assigned and readable partitions, those in incident, and the refused fetches so far. */
  status(): {
    claimed: boolean
    reading: TopicPartition[]
    incidents: IngestIncident[]
    refusedFetches: number
  } {
    const { reading, incidents, refusedFetches } = this.#partitions
    return { claimed: this.#isClaimed, reading, incidents, refusedFetches }
  }

  /** Commits positions into the group so that lag tools show something; nothing reads them. Never throws. */
  async commitInformational(offsets: readonly (TopicPartition & { offset: bigint })[]): Promise<void> {
    if (this.#consumer === undefined || !this.#isClaimed || offsets.length === 0) return
    const list = offsets.map(({ topic, partition, offset }) => ({ topic, partition, offset: String(offset) }))
    try {
      await within(this.#consumer.commitOffsets(list), 3_000, 'committing positions for information')
    } catch (error) {
      this.#options.logger?.debug({ err: error }, 'committing positions for information failed')
    }
  }

  /** Stops reading one partition, whose log isn't what its reader expects; what is buffered of it is dropped. */
  suspend(topic: string, partition: number): void {
    this.#partitions.suspend({ topic, partition })
  }

  /**
   * Reads an assigned partition that was stopped, by an incident or by `suspend`, from the position that `claim` returns for it, if it
   * returns one. Ends in an incident again where that is outside of the log.
   * @throws OperatingError where the brokers can't be asked, and what `claim` throws
   */
  async readAgain(
    topic: string,
    partition: number,
    claim: (assigned: AssignedPartition) => Promise<bigint | undefined>,
  ): Promise<void> {
    if (!this.#isClaimed) return
    const { epoch } = this.#partitions
    this.#partitions.suspend({ topic, partition })
    const [assigned] = await this.#identified([{ topic, partition }])
    const offset = await claim(assigned!)
    if (offset === undefined) return
    await this.#partitions.read([assigned!], new Map([[partitionKey(topic, partition), offset]]), epoch)
  }

  /**
   * Has the group go on without another member that is known to be dead: any client may report that a member leaves. Also while this
   * one is joining or leaving.
   * @returns whether the group had it until now; undefined where this one knows no coordinator yet
   * @throws OperatingError where the coordinator can't be asked
   */
  async removeMember(memberId: string): Promise<boolean | undefined> {
    const { coordinator, groupId } = this.#lastGroup ?? {}
    if (coordinator === undefined || groupId === undefined) return undefined
    try {
      await within(coordinator.leaveGroup({ groupId, memberId }), REMOVE_TIMEOUT_MS, 'removing a dead member')
      return true
    } catch (error) {
      if ((error as { type?: string }).type === 'UNKNOWN_MEMBER_ID') return false
      throw asOperatingError(error, 'removing a dead member')
    }
  }

  /** Leaves the group, releases what was claimed and closes; within 5 s. Never throws. */
  async stop(): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#patience.stop()
    clearTimeout(this.#restartTimer)
    this.#lose()
    this.#partitions.wake()
    // Drain first and leave then, so that the next owner need not fence what is just being finished.
    await within(this.#transition, DRAIN_TIMEOUT_MS, 'draining').catch(() => undefined)
    const closing = Promise.all([this.#disconnect(), this.#admin.close()])
    await within(closing, LEAVE_TIMEOUT_MS, 'leaving the group').catch((error: unknown) => {
      this.#options.logger?.warn({ err: error }, 'leaving the consumer group took too long')
    })
  }

  async #run(): Promise<void> {
    const options = this.#options
    const { sessionTimeoutMs = 3_000, rebalanceTimeoutMs = 3_000 } = options
    const consumer = options.kafka.consumer({
      groupId: options.groupId,
      partitionAssigners: assignersFor({
        joining: async (group) => {
          if (this.#consumer !== consumer) return
          // Without an id again: the group has removed it.
          if (this.#group === group && group.memberId === null) this.#patience.removed()
          const { factor } = this.#patience
          group.sessionTimeout = sessionTimeoutMs * factor
          group.rebalanceTimeout = rebalanceTimeoutMs * factor
          this.#group = group
          this.#lastGroup = group
          this.#lose()
          // The next owner ends the session of one that has not let go, and with it the batch in flight.
          const releaseMs = Math.min(sessionTimeoutMs / 2, RELEASE_WAIT_MS)
          await within(this.#transition, releaseMs, 'releasing before joining').catch(() => undefined)
        },
        isOver: () => this.#consumer !== consumer,
        deliver: (batch) => this.#consumer === consumer && this.#partitions.deliver(batch),
        positionOutOfRange: (topic, partition) => {
          if (this.#consumer === consumer) this.#partitions.refusedByBroker(topic, partition)
        },
        topicIdOf: (topic, partition) => this.#partitions.topicIdOf(topic, partition),
        topicIdRefused: (topic, partition) => {
          if (this.#consumer === consumer) this.#partitions.refusedByItsId(topic, partition)
        },
      }),
      sessionTimeout: sessionTimeoutMs,
      heartbeatInterval: options.heartbeatIntervalMs ?? 500,
      rebalanceTimeout: rebalanceTimeoutMs,
      maxWaitTimeInMs: options.maxWaitTimeMs ?? 50,
      minBytes: 1,
      maxBytesPerPartition: FETCH_BYTES_PER_PARTITION,
      maxBytes: 8 * 1024 * 1024,
      allowAutoTopicCreation: false,
      retry: { retries: 5, initialRetryTime: 100, maxRetryTime: 1_000 },
    })
    this.#consumer = consumer
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      if (this.#consumer === consumer) this.#joined(payload.memberAssignment)
    })
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (this.#consumer !== consumer) return
      this.#lose()
      if (!payload.restart) this.#restartLater(payload.error)
    })
    await within(consumer.connect(), 15_000, 'connecting')
    await within(consumer.subscribe({ topics: [...options.topics] }), 15_000, 'subscribing')
    await consumer.run({
      autoCommit: false,
      eachBatch: async () => undefined,
      partitionsConsumedConcurrently: 1,
    })
    // Connecting goes on after a disconnect.
    if (this.#consumer !== consumer) await this.#end(consumer)
  }

  /** Drops what is buffered and has the engine release what it claimed. */
  #lose(): void {
    this.#partitions.begin(undefined)
    if (!this.#isClaimed) return
    this.#isClaimed = false
    this.#inTurn(async () => {
      await within(this.#options.release(), this.#claimTimeoutMs, 'releasing')
    })
  }

  /** Claims and releases never overlap: each waits for the one before. */
  #inTurn(step: () => Promise<void>): void {
    this.#transition = this.#transition.then(step).catch((error: unknown) => {
      this.#options.logger?.error({ err: error }, 'taking or releasing partitions failed')
    })
  }

  #joined(assignment: Record<string, number[]>): void {
    // One that is being stopped may still join; its claim would take what its successor has.
    if (this.#isStopped) return
    const epoch = this.#partitions.begin(this.#group)
    const partitions = Object.entries(assignment)
      .flatMap(([topic, list]) => list.map((partition) => ({ topic, partition })))
      .sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1))
    // In the same tick as the join, so that nothing is fetched from positions that the group remembers.
    this.#partitions.hold(partitions)
    this.#inTurn(async () => {
      if (epoch !== this.#partitions.epoch || this.#isStopped) return
      try {
        this.#isClaimed = true
        const assigned = await this.#identified(partitions)
        if (epoch !== this.#partitions.epoch) return
        const claiming = this.#options.claim(assigned, this.#generation())
        const positions = await within(claiming, this.#claimTimeoutMs, 'claiming')
        if (epoch !== this.#partitions.epoch) return
        await this.#partitions.read(assigned, positions, epoch)
        this.#restarts = 0
      } catch (error) {
        if (epoch === this.#partitions.epoch) this.#restartLater(error)
      }
    })
  }

  /** Asked before claiming: whoever claims holds the id against the one that was read, and what is fetched is that very topic. */
  async #identified(list: readonly TopicPartition[]): Promise<AssignedPartition[]> {
    const ids = await this.#admin.topicIds([...new Set(list.map(({ topic }) => topic))])
    return list.map((entry) => ({ ...entry, topicId: ids === undefined ? null : ids.get(entry.topic) }))
  }

  #generation(): Generation {
    return { memberId: this.#group?.memberId ?? '', generationId: this.#group?.generationId ?? -1 }
  }

  /** Leaves and joins again after a pause. Goes on until stopped: a broker that is away is waited for, and `status` says so. */
  #restartLater(cause: unknown): void {
    if (this.#isStopped || this.#restartTimer !== undefined) return
    this.#lose()
    const pauseMs = Math.min(RESTART_PAUSE_MS.first * 2 ** this.#restarts++, RESTART_PAUSE_MS.most)
    this.#options.logger?.warn({ err: cause, pauseMs }, 'joining the consumer group again after a pause')
    this.#restartTimer = setTimeout(() => {
      this.#restartTimer = undefined
      // One after the other: a claim may fail again before the restart that led to it has returned.
      this.#restarting = this.#restarting.then(() => this.#restart())
    }, pauseMs)
  }

  async #restart(): Promise<void> {
    try {
      await this.#disconnect()
      if (!this.#isStopped) await this.#run()
    } catch (error) {
      this.#restartLater(error)
    }
  }

  async #disconnect(): Promise<void> {
    const consumer = this.#consumer
    this.#consumer = undefined
    this.#group = undefined
    if (consumer !== undefined) await this.#end(consumer)
  }

  async #end(consumer: KafkaClient.Consumer): Promise<void> {
    await within(consumer.disconnect(), 2_500, 'disconnecting').catch((error: unknown) => {
      if (!(error instanceof OperatingError)) throw error
    })
  }
}
