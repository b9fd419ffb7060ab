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
import type { Kafka, KafkaLogger } from './client.ts'
import { asOperatingError, within } from './client-errors.ts'
import type { FetchedBatch } from './fetched-batch.ts'
import { assignersFor, type ConsumerGroupInternals } from './kafkajs-cures.ts'
import { positionsOutside } from './log-ranges.ts'
import { type IngestChunk, PartitionInbox, takeFairly } from './partition-inbox.ts'

export interface TopicPartition {
  topic: string
  partition: number
}

export interface Generation {
  memberId: string
  generationId: number
}

export type IngestIncidentCode =
  | 'position_out_of_range'
  | 'position_not_contiguous'
  | 'position_unknown'
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
   * `topic:partition`. Where it throws, the consumer leaves the group and joins again after a pause that grows up to 5 s.
   */
  claim(assignment: TopicPartition[], generation: Generation): Promise<Map<string, bigint>>
  /** Called when a claimed assignment is lost or about to be replaced: finish or drop what is in flight. */
  release(): Promise<void>
  onIncident(incident: IngestIncident): void
}

/** A fetch that doesn't begin where expected is dropped and read again; so many in a row and something is wrong for good. */
const REFUSED_IN_A_ROW_MAX = 20
const RESTART_PAUSE_MS = { first: 250, most: 5_000 }
const DRAIN_TIMEOUT_MS = 2_000
const LEAVE_TIMEOUT_MS = 2_800

/** The key of a partition in maps: `topic:partition`. */
export const partitionKey = (topic: string, partition: number): string => `${topic}:${partition}`

export class IngestConsumer {
  readonly #options: IngestConsumerOptions
  readonly #admin: KafkaAdmin
  readonly #bytesMax: number
  readonly #claimTimeoutMs: number
  #consumer: KafkaClient.Consumer | undefined
  #group: ConsumerGroupInternals | undefined
  /** Raised by every loss or gain of an assignment; whoever awaited something compares it afterwards. */
  #epoch = 0
  #inboxes = new Map<string, PartitionInbox>()
  #full = new Set<string>()
  #incidents = new Map<string, IngestIncident>()
  #isClaimed = false
  #transition: Promise<void> = Promise.resolve()
  #restarts = 0
  #restarting: Promise<void> = Promise.resolve()
  #restartTimer: NodeJS.Timeout | undefined
  #isStopped = false
  #rotation = 0
  #refusedTotal = 0
  #wake: (() => void) | undefined

  constructor(options: IngestConsumerOptions) {
    this.#options = options
    this.#admin = new KafkaAdmin(options.kafka, { timeoutMs: 10_000 })
    this.#bytesMax = options.bytesPerPartitionMax ?? 4 * 1024 * 1024
    this.#claimTimeoutMs = options.claimTimeoutMs ?? 10_000
  }

  /**
   * Connects and joins the group; partitions arrive by `claim` later.
   * @throws OperatingError `kafka_unreachable`, or `topic_unknown` where a topic isn't there
   */
  async start(): Promise<void> {
    await this.#admin.partitionCounts(this.#options.topics)
    try {
      await this.#run()
    } catch (error) {
      await this.stop()
      throw asOperatingError(error, 'joining the consumer group')
    }
  }

  /** Takes buffered records of all partitions fairly, as soon as there are some; empty when `waitMs` passed or it was stopped. */
  async take(limits: { recordsMax: number; bytesMax: number; waitMs: number }): Promise<IngestChunk[]> {
    const deadline = Date.now() + limits.waitMs
    for (;;) {
      const taken = takeFairly([...this.#inboxes.values()], limits, this.#rotation)
      if (taken.length > 0) this.#rotation++
      for (const { inbox } of taken) this.#resumeIfDrained(inbox)
      const remainingMs = deadline - Date.now()
      if (taken.length > 0 || remainingMs <= 0 || this.#isStopped) return taken.map(({ chunk }) => chunk)
      await this.#somethingArrived(remainingMs)
    }
  }

  /** How far each readable partition is behind the end of its log, as of its last fetch. */
  lag(): PartitionLag[] {
    return [...this.#inboxes.values()].map(({ topic, partition, lag }) => ({ topic, partition, lag }))
  }

  /** What an operator needs to see: assigned and readable partitions, those in incident, and the refused fetches so far. */
  status(): {
    claimed: boolean
    reading: TopicPartition[]
    incidents: IngestIncident[]
    refusedFetches: number
  } {
    return {
      claimed: this.#isClaimed,
      reading: [...this.#inboxes]
        .filter(([key]) => !this.#incidents.has(key))
        .map(([, { topic, partition }]) => ({ topic, partition })),
      incidents: [...this.#incidents.values()],
      refusedFetches: this.#refusedTotal,
    }
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

  /** Tries a partition in incident again: claims it alone, checks the position, and reads on. Throws what `claim` throws. */
  async retake(topic: string, partition: number): Promise<void> {
    const key = partitionKey(topic, partition)
    if (!this.#incidents.has(key) || this.#group === undefined) return
    const epoch = this.#epoch
    const positions = await within(
      this.#options.claim([{ topic, partition }], this.#generation()),
      this.#claimTimeoutMs,
      'claiming',
    )
    if (epoch !== this.#epoch) return
    this.#incidents.delete(key)
    await this.#beginReading([{ topic, partition }], positions, epoch)
  }

  /** Leaves the group, releases what was claimed and closes; within 5 s. Never throws. */
  async stop(): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    clearTimeout(this.#restartTimer)
    this.#lose()
    this.#wake?.()
    // Drain first and leave then, so that the next owner need not fence what is just being finished.
    await within(this.#transition, DRAIN_TIMEOUT_MS, 'draining').catch(() => undefined)
    const closing = Promise.all([this.#disconnect(), this.#admin.close()])
    await within(closing, LEAVE_TIMEOUT_MS, 'leaving the group').catch((error: unknown) => {
      this.#options.logger?.warn({ err: error }, 'leaving the consumer group took too long')
    })
  }

  async #run(): Promise<void> {
    const options = this.#options
    const consumer = options.kafka.consumer({
      groupId: options.groupId,
      partitionAssigners: assignersFor({
        joining: (group) => {
          if (this.#consumer !== consumer) return
          this.#group = group
          this.#lose()
        },
        deliver: (batch) => this.#consumer === consumer && this.#deliver(batch),
        positionOutOfRange: (topic, partition) => {
          if (this.#consumer === consumer) this.#refusedByBroker(topic, partition)
        },
      }),
      sessionTimeout: options.sessionTimeoutMs ?? 3_000,
      heartbeatInterval: options.heartbeatIntervalMs ?? 500,
      rebalanceTimeout: options.rebalanceTimeoutMs ?? 3_000,
      maxWaitTimeInMs: options.maxWaitTimeMs ?? 50,
      minBytes: 1,
      maxBytesPerPartition: 1024 * 1024,
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
  }

  /** Drops what is buffered and has the engine release what it claimed. */
  #lose(): void {
    this.#epoch++
    this.#inboxes.clear()
    this.#full.clear()
    this.#incidents.clear()
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
    const epoch = ++this.#epoch
    const partitions = Object.entries(assignment)
      .flatMap(([topic, list]) => list.map((partition) => ({ topic, partition })))
      .sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1))
    // In the same tick as the join, so that nothing is fetched from positions that the group remembers.
    for (const { topic, partition } of partitions) this.#group?.pause([{ topic, partitions: [partition] }])
    this.#inTurn(async () => {
      if (epoch !== this.#epoch) return
      try {
        this.#isClaimed = true
        const claiming = this.#options.claim(partitions, this.#generation())
        const positions = await within(claiming, this.#claimTimeoutMs, 'claiming')
        if (epoch !== this.#epoch) return
        await this.#beginReading(partitions, positions, epoch)
        this.#restarts = 0
      } catch (error) {
        if (epoch === this.#epoch) this.#restartLater(error)
      }
    })
  }

  #generation(): Generation {
    return { memberId: this.#group?.memberId ?? '', generationId: this.#group?.generationId ?? -1 }
  }

  async #beginReading(list: TopicPartition[], positions: Map<string, bigint>, epoch: number): Promise<void> {
    for (const topic of new Set(list.map((entry) => entry.topic))) {
      const pending = list.filter((entry) => entry.topic === topic)
      const known = pending.flatMap(({ partition }) => {
        const offset = positions.get(partitionKey(topic, partition))
        return offset === undefined ? [] : [{ partition, offset }]
      })
      const outside = await positionsOutside(this.#admin, topic, known)
      if (epoch !== this.#epoch) return
      for (const { partition } of pending) {
        const detail = outside.get(partition)
        const startOffset = positions.get(partitionKey(topic, partition))
        if (startOffset === undefined) {
          this.#raise({ code: 'position_unknown', topic, partition, detail: 'claim returned no position' })
        } else if (detail !== undefined) {
          this.#raise({ code: 'position_out_of_range', topic, partition, detail })
        } else {
          this.#open({ topic, partition }, startOffset)
        }
      }
    }
  }

  #open({ topic, partition }: TopicPartition, startOffset: bigint): void {
    const inbox = new PartitionInbox({ topic, partition, startOffset, bytesMax: this.#bytesMax })
    this.#inboxes.set(partitionKey(topic, partition), inbox)
    this.#group?.seek({ topic, partition, offset: String(startOffset) })
    this.#group?.resume([{ topic, partitions: [partition] }])
  }

  /** Takes a fetch in, or refuses it; called by the client for each partition of each fetch, in order. */
  #deliver(batch: FetchedBatch): boolean {
    const { topic, partition } = batch
    const inbox = this.#inboxes.get(partitionKey(topic, partition))
    if (inbox === undefined || this.#incidents.has(partitionKey(topic, partition))) return false
    const fetchedOffset = BigInt(batch.fetchedOffset)
    if (batch.failure !== undefined && fetchedOffset === inbox.expectedOffset) {
      this.#raise({
        code: batch.failure.code as IngestIncidentCode,
        topic,
        partition,
        detail: batch.failure.message,
      })
      return false
    }
    const { nextOffset, records, bytes } = batch
    const highWatermark = BigInt(batch.highWatermark)
    const answer = inbox.accept({
      topic,
      partition,
      fetchedOffset,
      nextOffset,
      highWatermark,
      records,
      bytes,
    })
    if (answer === 'refused') {
      this.#refuse(inbox, fetchedOffset)
      return false
    }
    if (inbox.isFull && !this.#full.has(partitionKey(topic, partition))) {
      this.#full.add(partitionKey(topic, partition))
      this.#group?.pause([{ topic, partitions: [partition] }])
    }
    if (answer === 'accepted') this.#wake?.()
    return true
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

  #refusedByBroker(topic: string, partition: number): void {
    const inbox = this.#inboxes.get(partitionKey(topic, partition))
    if (inbox === undefined) return
    const detail = `the broker refused position ${inbox.expectedOffset}`
    this.#raise({ code: 'position_out_of_range', topic, partition, detail })
  }

  /** Stops one partition and says why; what it has buffered was read properly and can still be taken. */
  #raise(incident: IngestIncident): void {
    const { topic, partition } = incident
    const key = partitionKey(topic, partition)
    this.#group?.pause([{ topic, partitions: [partition] }])
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
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs)
      this.#wake = resolve
    })
    clearTimeout(timer)
    this.#wake = undefined
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
    if (consumer === undefined) return
    await within(consumer.disconnect(), 2_500, 'disconnecting').catch((error: unknown) => {
      if (!(error instanceof OperatingError)) throw error
    })
  }
}
