/**
 * The one writer of a ledger's outputs: outputs and position in one Kafka transaction under a fixed transactional id.
 *
 * Taking over is always the same three steps: fence (from then on nobody else can commit under the id), read the position,
 * go on behind it. After any error the object is spent: the client's transaction state can't be trusted, so a new one is made
 * and takes over again.
 */

import type * as KafkaClient from 'kafkajs'
import { OperatingError } from '#platform/errors.ts'
import { KafkaAdmin } from './admin.ts'
import type { Kafka } from './client.ts'
import { asOperatingError, isFenced, isTooLarge, within } from './client-errors.ts'
import { CODEC_NUMBERS } from './compression.ts'
import { makePartitioner } from './partitioner.ts'

export interface OutputMessage {
  key: Buffer | string | null
  /** null is a tombstone. */
  value: Buffer | null
  headers?: Record<string, Buffer | string>
  /** By the key's hash (as the Java client's) where absent. */
  partition?: number
}

export interface GroupPosition {
  groupId: string
  topic: string
  partition: number
}

export interface FencedProducerOptions {
  kafka: Kafka
  /** Fixed for the ledger: whoever fences last owns it. */
  transactionalId: string
  /** After this long without an end the broker aborts the transaction. */
  transactionTimeoutMs?: number
  /** Limit on each of fence, readPosition and publish as a whole. */
  callTimeoutMs?: number
  compression?: 'none' | 'lz4'
}

/**
 * Bytes of one topic in one request, uncompressed. The client makes one record batch of all that a request holds for a
 * partition, and the broker refuses a batch above the topic's max.message.bytes (4 MiB, see schemas/topics.ts): for ever,
 * since the same messages would be sent again.
 */
const REQUEST_BYTES_MAX = 3 * 1024 * 1024
/** What a record costs beside its key, value and headers, at most. */
const RECORD_OVERHEAD_BYTES = 64

const lengthOf = (part: Buffer | string | null): number =>
  part === null ? 0 : typeof part === 'string' ? Buffer.byteLength(part) : part.length

const sizeOf = ({ key, value, headers = {} }: OutputMessage): number =>
  Object.entries(headers).reduce(
    (sum, [name, content]) => sum + RECORD_OVERHEAD_BYTES + lengthOf(name) + lengthOf(content),
    RECORD_OVERHEAD_BYTES + lengthOf(key) + lengthOf(value),
  )

/** The messages in order, cut so that no request is too large for a partition; one that is too large alone goes alone. */
function requestsOf(
  messagesByTopic: ReadonlyMap<string, readonly OutputMessage[]>,
): { topic: string; messages: OutputMessage[] }[][] {
  const requests: { topic: string; messages: OutputMessage[] }[][] = []
  for (const [topic, messages] of messagesByTopic) {
    let place = 0
    let bytes = 0
    let part: OutputMessage[] = []
    for (const message of messages) {
      const size = sizeOf(message)
      if (part.length === 0 || bytes + size > REQUEST_BYTES_MAX) {
        part = []
        bytes = 0
        requests[place] ??= []
        requests[place]!.push({ topic, messages: part })
        place += 1
      }
      part.push({ ...message })
      bytes += size
    }
  }
  return requests
}

export class FencedProducer {
  readonly #producer: KafkaClient.Producer
  readonly #admin: KafkaAdmin
  readonly #callTimeoutMs: number
  readonly #compression: number
  #state: 'new' | 'fenced' | 'publishing' | 'spent' = 'new'

  constructor(options: FencedProducerOptions) {
    this.#callTimeoutMs = options.callTimeoutMs ?? 20_000
    this.#compression = CODEC_NUMBERS[options.compression ?? 'lz4']
    this.#admin = new KafkaAdmin(options.kafka, { timeoutMs: this.#callTimeoutMs })
    this.#producer = options.kafka.producer({
      transactionalId: options.transactionalId,
      idempotent: true,
      maxInFlightRequests: 1,
      transactionTimeout: options.transactionTimeoutMs ?? 15_000,
      allowAutoTopicCreation: false,
      createPartitioner: makePartitioner,
    })
  }

  /**
   * Shuts out every earlier producer of this transactional id and ends what it left open. Connecting alone doesn't fence.
   * @throws OperatingError as publish
   */
  async fence(): Promise<void> {
    this.#expect('new')
    await this.#guarded('fencing', async () => {
      await this.#producer.connect()
      const transaction = await this.#producer.transaction()
      await transaction.abort()
    })
    this.#state = 'fenced'
  }

  /**
   * The position committed with the last published transaction; undefined where nothing was ever published. Only after
   * fence(): before it, a transaction of the old producer may still be under way and the answer stale.
   */
  async readPosition(position: GroupPosition): Promise<bigint | undefined> {
    this.#expect('fenced')
    return await this.#guarded('reading the position', () => this.#admin.committedOffset(position))
  }

  /**
   * Publishes messages and the position after them, both or none, visible at once to read_committed readers. Messages for
   * one partition keep their order.
   * @throws OperatingError `publisher_fenced` (final: another one took over), `publish_too_large` (final), `kafka_unreachable`
   * or `kafka_refused` (retriable). The object is spent then, and whether the transaction took place says only readPosition
   * of a new one.
   */
  async publish(batch: {
    messagesByTopic: ReadonlyMap<string, readonly OutputMessage[]>
    position: GroupPosition & { offset: bigint }
  }): Promise<void> {
    this.#expect('fenced')
    this.#state = 'publishing'
    await this.#guarded('publishing', async () => {
      const transaction = await this.#producer.transaction()
      for (const topicMessages of requestsOf(batch.messagesByTopic)) {
        await transaction.sendBatch({ topicMessages, acks: -1, compression: this.#compression })
      }
      const { groupId, topic, partition, offset } = batch.position
      await transaction.sendOffsets({
        consumerGroupId: groupId,
        topics: [{ topic, partitions: [{ partition, offset: String(offset) }] }],
      })
      await transaction.commit()
    })
    this.#state = 'fenced'
  }

  /** Closes the connections. Never throws. A transaction left open is aborted by the next fence, or by the broker in time. */
  async close(): Promise<void> {
    this.#state = 'spent'
    const closing = [this.#producer.disconnect(), this.#admin.close()]
    await within(Promise.all(closing), 3_000, 'closing').catch(() => undefined)
  }

  #expect(state: 'new' | 'fenced'): void {
    if (this.#state === state) return
    if (this.#state !== 'spent') throw new Error(`the producer is ${this.#state}, expected ${state}`)
    throw new OperatingError('publisher_spent', 'this producer has failed or was closed; make a new one', {
      retriable: true,
    })
  }

  async #guarded<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await within(work(), this.#callTimeoutMs, doing)
    } catch (error) {
      void this.close()
      throw publishError(error, doing)
    }
  }
}

function publishError(error: unknown, doing: string): OperatingError {
  if (isFenced(error)) {
    const message = `${doing}: another producer has taken the transactional id over`
    return new OperatingError('publisher_fenced', message, { cause: error })
  }
  if (isTooLarge(error)) {
    return new OperatingError(
      'publish_too_large',
      `${doing}: a record or batch is larger than the broker takes`,
      {
        cause: error,
      },
    )
  }
  const translated = asOperatingError(error, doing)
  // Whatever else it was, taking over again starts from a clean state and may succeed.
  return translated.retriable
    ? translated
    : new OperatingError(translated.code, translated.message, { retriable: true, cause: error })
}
