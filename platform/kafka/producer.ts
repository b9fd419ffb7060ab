/**
 * A plain idempotent producer for gateways, generators and importers: acks from all replicas, batches by size and time,
 * a bounded queue that makes the sender wait, and the position of every record.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type * as KafkaClient from 'kafkajs'
import { OperatingError } from '#platform/errors.ts'
import type { Kafka } from './client.ts'
import { asOperatingError, isTooLarge, within } from './client-errors.ts'
import { CODEC_NUMBERS, type CodecName } from './compression.ts'
import { makePartitioner, type PartitionedMessage } from './partitioner.ts'

export interface OutgoingRecord {
  topic: string
  key: Buffer | string | null
  value: Buffer | null
  headers?: Record<string, Buffer | string>
  /** By the key's hash (as the Java client's) where absent; without a key spread evenly. */
  partition?: number
  /** Milliseconds since 1970; now where absent. */
  timestampMs?: bigint
}

export interface RecordPosition {
  topic: string
  partition: number
  offset: bigint
}

export interface BatchingProducerOptions {
  kafka: Kafka
  compression?: CodecName
  /** How long the first record of a batch waits for others. */
  lingerMs?: number
  batchRecordsMax?: number
  batchBytesMax?: number
  /** Records and bytes that may wait; above, sending waits for room. */
  queueRecordsMax?: number
  queueBytesMax?: number
  /** How long sending may wait for room. */
  roomTimeoutMs?: number
  sendTimeoutMs?: number
}

interface Group {
  positions: RecordPosition[]
  remaining: number
  resolve(positions: RecordPosition[]): void
  reject(error: OperatingError): void
}

interface Entry {
  topic: string
  message: PartitionedMessage
  sizeBytes: number
  group: Group
  index: number
}

const RECORD_OVERHEAD_BYTES = 40

export class BatchingProducer {
  readonly #options: Required<Omit<BatchingProducerOptions, 'kafka' | 'compression'>>
  readonly #kafka: Kafka
  readonly #compression: number
  #producer: KafkaClient.Producer | undefined
  #queue: Entry[] = []
  #queueBytes = 0
  #waitingForRoom: (() => void)[] = []
  #pump: Promise<void> | undefined
  #hurry: (() => void) | undefined
  #isFlushing = false
  #isClosed = false

  constructor(options: BatchingProducerOptions) {
    const { kafka, compression = 'lz4', ...rest } = options
    this.#kafka = kafka
    this.#compression = CODEC_NUMBERS[compression]
    this.#options = {
      lingerMs: 5,
      batchRecordsMax: 5_000,
      batchBytesMax: 768 * 1024,
      queueRecordsMax: 50_000,
      queueBytesMax: 32 * 1024 * 1024,
      roomTimeoutMs: 30_000,
      sendTimeoutMs: 30_000,
      ...rest,
    }
  }

  /** Connects, so that a wrong address shows at start-up. @throws UnreachableError `kafka_unreachable` */
  async connect(): Promise<void> {
    await this.#connected()
  }

  /** Sends one record; resolves with its position when all in-sync replicas have it. Errors as sendAll. */
  async send(record: OutgoingRecord): Promise<RecordPosition> {
    const [position] = await this.sendAll([record])
    return position!
  }

  /**
   * Sends records, in order per partition; resolves with their positions in the order given.
   * @throws OperatingError `producer_overloaded` (retriable: no room in time, nothing was queued), `record_too_large`,
   * `kafka_unreachable` or `kafka_refused` (some of the records may have been written), `producer_closed`
   */
  async sendAll(records: readonly OutgoingRecord[]): Promise<RecordPosition[]> {
    if (records.length === 0) return []
    const deadline = Date.now() + this.#options.roomTimeoutMs
    // Checked and queued in one go, without a wait in between, so that senders that waited together can't overfill the queue.
    while (!this.#isClosed && this.#isFull()) await this.#roomMade(deadline)
    if (this.#isClosed) throw new OperatingError('producer_closed', 'the producer is closed')
    return await new Promise((resolve, reject) => {
      const group: Group = {
        positions: new Array(records.length),
        remaining: records.length,
        resolve,
        reject,
      }
      for (let index = 0; index < records.length; index++) this.#enqueue(records[index]!, group, index)
      this.#pump ??= this.#run()
      if (this.#isBatchReady()) this.#hurry?.()
    })
  }

  /** Waits until everything queued so far is sent or has failed (its senders get the errors). */
  async flush(): Promise<void> {
    this.#isFlushing = true
    this.#hurry?.()
    while (this.#pump !== undefined) await this.#pump
    this.#isFlushing = false
  }

  /** Flushes (bounded) and closes. Never throws. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await within(this.flush(), 5_000, 'flushing').catch(() => undefined)
    await this.#drop()
  }

  #enqueue(record: OutgoingRecord, group: Group, index: number): void {
    const { topic, key, value, headers, partition, timestampMs } = record
    const message: Entry['message'] = { key, value }
    if (headers !== undefined) message.headers = headers
    if (partition !== undefined) message.partition = partition
    if (timestampMs !== undefined) message.timestamp = String(timestampMs)
    const sizeBytes = RECORD_OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0)
    this.#queue.push({ topic, message, sizeBytes, group, index })
    this.#queueBytes += sizeBytes
  }

  /** Waits for the next batch to leave the queue. @throws OperatingError `producer_overloaded` when the time is over */
  async #roomMade(deadline: number): Promise<void> {
    const roomMade = new Promise<void>((resolve) => this.#waitingForRoom.push(resolve))
    try {
      await within(roomMade, Math.max(deadline - Date.now(), 1), 'waiting for room')
    } catch (error) {
      const message = `no room in the producer's queue within ${this.#options.roomTimeoutMs} ms`
      throw new OperatingError('producer_overloaded', message, { retriable: true, cause: error })
    }
  }

  #isFull(): boolean {
    return (
      this.#queue.length >= this.#options.queueRecordsMax || this.#queueBytes >= this.#options.queueBytesMax
    )
  }

  #isBatchReady(): boolean {
    return (
      this.#queue.length >= this.#options.batchRecordsMax || this.#queueBytes >= this.#options.batchBytesMax
    )
  }

  /** One batch after the other: an idempotent producer of this client sends one request a broker at a time anyway. */
  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      if (!this.#isBatchReady() && !this.#isFlushing) await this.#linger()
      await this.#sendBatch(this.#takeBatch())
    }
    this.#pump = undefined
  }

  async #linger(): Promise<void> {
    const hurried = new AbortController()
    this.#hurry = () => hurried.abort()
    await sleep(this.#options.lingerMs, undefined, { signal: hurried.signal }).catch(() => undefined)
    this.#hurry = undefined
  }

  #takeBatch(): Entry[] {
    let bytes = 0
    let count = 0
    for (const { sizeBytes } of this.#queue) {
      if (
        count >= this.#options.batchRecordsMax ||
        (count > 0 && bytes + sizeBytes > this.#options.batchBytesMax)
      )
        break
      bytes += sizeBytes
      count++
    }
    this.#queueBytes -= bytes
    const batch = this.#queue.splice(0, count)
    const waiting = this.#waitingForRoom
    this.#waitingForRoom = []
    for (const wake of waiting) wake()
    return batch
  }

  async #sendBatch(batch: Entry[]): Promise<void> {
    const byTopic = new Map<string, Entry[]>()
    for (const entry of batch) {
      const entries = byTopic.get(entry.topic)
      if (entries === undefined) byTopic.set(entry.topic, [entry])
      else entries.push(entry)
    }
    try {
      const producer = await this.#connected()
      const topicMessages = [...byTopic].map(([topic, entries]) => ({
        topic,
        messages: entries.map(({ message }) => message),
      }))
      const sending = producer.sendBatch({ topicMessages, acks: -1, compression: this.#compression })
      settle(byTopic, await within(sending, this.#options.sendTimeoutMs, 'sending records'))
    } catch (error) {
      // The sequence numbers of a failed producer can't be trusted: the next batch gets a new one.
      void this.#drop()
      const failure = sendError(error)
      for (const { group } of batch) group.reject(failure)
    }
  }

  async #connected(): Promise<KafkaClient.Producer> {
    if (this.#producer !== undefined) return this.#producer
    const producer = this.#kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: makePartitioner,
    })
    try {
      await within(producer.connect(), this.#options.sendTimeoutMs, 'connecting the producer')
    } catch (error) {
      void producer.disconnect().catch(() => undefined)
      throw asOperatingError(error, 'connecting the producer')
    }
    this.#producer = producer
    return producer
  }

  async #drop(): Promise<void> {
    const producer = this.#producer
    this.#producer = undefined
    if (producer !== undefined) await within(producer.disconnect(), 3_000, 'closing').catch(() => undefined)
  }
}

/** Positions from the base offset of each partition: records of one partition are written in the order sent. */
function settle(byTopic: Map<string, Entry[]>, answers: KafkaClient.RecordMetadata[]): void {
  for (const [topic, entries] of byTopic) {
    const next = new Map<number, bigint>()
    for (const { topicName, partition, baseOffset } of answers) {
      if (topicName === topic) next.set(partition, BigInt(baseOffset ?? -1))
    }
    for (const { message, group, index } of entries) {
      const partition = message.chosenPartition!
      const offset = next.get(partition)
      if (offset === undefined) throw new Error(`no answer for ${topic}:${partition}`)
      next.set(partition, offset + 1n)
      group.positions[index] = { topic, partition, offset }
      group.remaining--
      if (group.remaining === 0) group.resolve(group.positions)
    }
  }
}

function sendError(error: unknown): OperatingError {
  if (!isTooLarge(error)) return asOperatingError(error, 'sending records')
  return new OperatingError('record_too_large', 'a record or batch is larger than the broker takes', {
    cause: error,
  })
}
