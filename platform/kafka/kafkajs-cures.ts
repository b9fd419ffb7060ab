/**
 * kafkajs with its defects cured. Everything in this folder takes kafkajs from here, never from the package itself.
 *
 * The cures replace internal modules before the client captures them, so they are bound to one exact version:
 * - read_committed delivered records of aborted transactions (its filter takes the broker's list as sorted by beginning and
 *   enters at most one transaction a record): decoding and filtering are replaced (record-batches.ts, fetched-batch.ts);
 * - a position outside the log was silently reset to the default offset, and that was committed: now an incident;
 * - a fetch whose records were all filtered or compacted away was hidden from the application: now delivered to a sink;
 * - snappy, lz4 and zstd were not there, and one such batch stopped the consumer for good;
 * - each connection woke up every millisecond for an empty queue, by a timer with a negative time (a warning on Node 24);
 * - a member's leaving waited behind a join on the same connection, which the broker answers only once the others have joined;
 * - grouping messages by partition was quadratic in the batch's size;
 * - encoding a record took a third of a publisher's time: buffers of 512 bytes, and one for every number (record-encoder.ts);
 * - topics are fetched by name only, so one that was deleted and made anew was read on as if it were the old one: a consumer with a
 *   sink fetches by the topic's id (fetch-by-id.ts).
 * Each has a test that fails without it.
 */
import { createRequire } from 'node:module'
import { crc32c } from '@node-rs/crc32'
import type * as KafkaClient from 'kafkajs'
import { ConfigurationError, IncidentError } from '#platform/errors.ts'
import { within } from './client-errors.ts'
import { CODEC_NUMBERS, type CodecName, compress, decompress } from './compression.ts'
import {
  type BrokerInside,
  clusterTopicIds,
  fetchById,
  type TopicIdOf,
  TopicIdRefused,
} from './fetch-by-id.ts'
import { FetchedBatch } from './fetched-batch.ts'
import { encodeRecord } from './record-encoder.ts'

const SUPPORTED_VERSION = '2.2.4'
const BATCH_MAGIC_POSITION = 16
const BATCH_MAGIC = 2
/** Numbers of requests in Kafka's protocol. The client keeps a connection for fetches, and one for all else. */
const FETCH = 1
const LEAVE_GROUP = 13
const require = createRequire(import.meta.url)

/** The part of the client's consumer group that the adapter steers. */
export interface ConsumerGroupInternals {
  readonly generationId: number
  readonly groupId: string
  /** The broker that looks after the group; there once the group was joined. */
  readonly coordinator?: { leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown> }
  /** null before the first join, and after the group has removed this member. */
  readonly memberId: string | null
  /** What the next join asks for, ms. */
  sessionTimeout: number
  rebalanceTimeout: number
  pause(list: { topic: string; partitions: number[] }[]): void
  resume(list: { topic: string; partitions: number[] }[]): void
  seek(position: { topic: string; partition: number; offset: string }): void
}

/** Takes what a consumer fetches, directly and synchronously. Given to a consumer by `assignersFor`. */
export interface FetchSink {
  /** The group is about to be joined (again): what was assigned is no longer. Joining waits for it, so it must be bounded. */
  joining(group: ConsumerGroupInternals): Promise<void>
  /** Whether nobody wants the consumer any more: it must not be a member of the group. */
  isOver(): boolean
  /**
   * One partition's part of a fetch, also when it is empty. Must not throw. True where the client's position may advance
   * behind it; false where the batch is refused (of an older assignment, or the sink has seeked).
   */
  deliver(batch: FetchedBatch): boolean
  /** The broker refused a position. The partition is paused already. */
  positionOutOfRange(topic: string, partition: number): void
  /** The id under which a partition is read; null: by its name; undefined: it isn't read. */
  topicIdOf(topic: string, partition: number): string | null | undefined
  /** The broker knows the topic no longer by its id. The partition is paused already. */
  topicIdRefused(topic: string, partition: number): void
}

interface GroupWithPrivates extends ConsumerGroupInternals {
  assigners: { sink?: FetchSink }[]
  cluster: { topicIdOf?: TopicIdOf }
  preferredReadReplicasPerTopicPartition: Record<string, Record<number, unknown> | undefined>
  resolveOffset(position: { topic: string; partition: number; offset: string }): void
}

interface RunnerWithPrivates {
  running: boolean
  consumerGroup: GroupWithPrivates
  heartbeat(): Promise<void>
}

interface RequestQueuePrivates {
  pending: unknown[]
  throttledUntil: number
}

interface ByteDecoder {
  readInt32(): number
  canReadBytes(length: number): boolean
  readBytes(length: number): Buffer
  offset: number
}

type Prototype = Record<string, (...args: never[]) => unknown>

/** The cured client. */
export const kafkajs: typeof KafkaClient = loadCured()

/**
 * The assigner list that binds a sink to one consumer: the client passes its assigners unchanged to the consumer group,
 * which is the one place where something of ours reaches its inside per consumer. Assignment itself stays round-robin.
 */
export function assignersFor(sink: FetchSink): KafkaClient.PartitionAssigner[] {
  return [(options) => Object.assign(kafkajs.PartitionAssigners.roundRobin(options), { sink })]
}

function loadCured(): typeof KafkaClient {
  const { version } = require('kafkajs/package.json') as { version: string }
  if (version !== SUPPORTED_VERSION) {
    throw new ConfigurationError(
      `expected kafkajs ${SUPPORTED_VERSION}, to which the cures are bound, found ${version}`,
    )
  }
  const batchModule = require.resolve('kafkajs/src/consumer/batch')
  const isCured = require.cache[batchModule]?.exports?.isTallystreamCure === true
  if (!isCured) {
    if (require.cache[require.resolve('kafkajs/src/consumer/consumerGroup')] !== undefined) {
      throw new ConfigurationError('expected kafkajs not to be loaded before its cures, found it loaded')
    }
    replaceModules(batchModule)
    patchPrototypes()
    registerCodecs()
  }
  return require('kafkajs') as typeof KafkaClient
}

/** @throws ConfigurationError where another module has it already, and would keep the original */
function replaceModule(id: string, make: (original: never) => unknown): void {
  const file = require.resolve(id)
  if (require.cache[file] !== undefined) {
    throw new ConfigurationError(`expected ${id} not to be loaded before its cure, found it loaded`)
  }
  const original = require(id) as never
  require.cache[file]!.exports = make(original)
}

function replaceModules(batchModule: string): void {
  // What others load comes before them.
  replaceModule('kafkajs/src/protocol/recordBatch/crc32C', () => (bytes: Buffer) => crc32c(bytes))
  replaceModule('kafkajs/src/protocol/recordBatch/record/v0', () => encodeRecord)
  replaceModule('kafkajs/src/protocol/requests/fetch/v4/decodeMessages', curedDecodeMessages)
  replaceModule('kafkajs/src/producer/groupMessagesPerPartition', () => groupMessagesPerPartition)
  require(batchModule)
  // A subclass, so that the mark can't leak onto the class that tests use by itself.
  const marked = class extends FetchedBatch {
    static readonly isTallystreamCure = true
  }
  require.cache[batchModule]!.exports = marked
}

type DecodeMessages = (decoder: ByteDecoder) => Promise<unknown>

/** Leaves format 2 undecoded for FetchedBatch, which alone knows the fetched offset and the aborted transactions. */
function curedDecodeMessages(original: DecodeMessages): DecodeMessages {
  return async (decoder) => {
    const start = decoder.offset
    const size = decoder.readInt32()
    if (size <= 0 || !decoder.canReadBytes(size)) return Buffer.alloc(0)
    const bytes = decoder.readBytes(size)
    if (size <= BATCH_MAGIC_POSITION || bytes[BATCH_MAGIC_POSITION]! >= BATCH_MAGIC) return bytes
    decoder.offset = start
    try {
      return await original(decoder)
    } catch {
      // Thrown on, it would stop the consumer with all of its partitions; as bytes it stops this one.
      decoder.offset = start + Int32Array.BYTES_PER_ELEMENT + size
      return bytes
    }
  }
}

const LEAVE_TIMEOUT_MS = 1_000

/**
 * Disconnecting a consumer of the client doesn't end a join that is under way, nor a restart that is due after a failure: it would be a
 * member of the group for as long as the process lives, and its partitions would be read by nobody. An error that isn't retriable ends it.
 */
function refuseWhereOver(sink: FetchSink): void {
  if (sink.isOver()) throw new kafkajs.KafkaJSNonRetriableError('the consumer was stopped')
}

/** Never throws: a group that can't be told goes on without the member after its session timeout. */
async function leave({ coordinator, groupId, memberId }: ConsumerGroupInternals): Promise<void> {
  if (coordinator === undefined || memberId === null) return
  const leaving = coordinator.leaveGroup({ groupId, memberId })
  await within(leaving, LEAVE_TIMEOUT_MS, 'leaving the group').catch(() => undefined)
}

/** The same result as the original's, in linear time. */
function groupMessagesPerPartition(options: {
  topic: string
  partitionMetadata: KafkaClient.PartitionMetadata[]
  messages: KafkaClient.Message[]
  partitioner: (args: KafkaClient.PartitionerArgs) => number
}): Record<number, KafkaClient.Message[]> {
  const { topic, partitionMetadata, messages, partitioner } = options
  const groups: Record<number, KafkaClient.Message[]> = {}
  if (partitionMetadata.length === 0) return groups
  for (const message of messages) {
    const partition = partitioner({ topic, partitionMetadata, message })
    const group = groups[partition]
    if (group === undefined) groups[partition] = [message]
    else group.push(message)
  }
  return groups
}

function patch<This, Args extends unknown[], Result>(
  prototype: Prototype,
  name: string,
  make: (original: (this: This, ...args: Args) => Result) => (this: This, ...args: Args) => Result,
): void {
  const original = prototype[name]
  if (typeof original !== 'function')
    throw new ConfigurationError(`expected kafkajs to have ${name}, found nothing`)
  prototype[name] = make(original as never) as never
}

function patchPrototypes(): void {
  const ConsumerGroup = require('kafkajs/src/consumer/consumerGroup') as { prototype: Prototype }
  const OffsetManager = require('kafkajs/src/consumer/offsetManager') as { prototype: Prototype }
  const Runner = require('kafkajs/src/consumer/runner') as { prototype: Prototype }
  const ConnectionPool = require('kafkajs/src/network/connectionPool') as { prototype: Prototype }
  const RequestQueue = require('kafkajs/src/network/requestQueue') as { prototype: Prototype }
  patch<GroupWithPrivates, [], Promise<void>>(ConsumerGroup.prototype, 'joinAndSync', (original) => {
    return async function () {
      const sink = sinkOf(this)
      if (sink === undefined) return await original.call(this)
      this.cluster.topicIdOf = sink.topicIdOf
      refuseWhereOver(sink)
      await sink.joining(this)
      await original.call(this)
      if (sink.isOver()) await leave(this)
      refuseWhereOver(sink)
    }
  })
  fetchByTopicIds(ConsumerGroup)
  patch<GroupWithPrivates, [TopicPartition], Promise<void>>(
    ConsumerGroup.prototype,
    'recoverFromOffsetOutOfRange',
    () => recoverFromOffsetOutOfRange,
  )
  patch<unknown, [TopicPartition], Promise<void>>(OffsetManager.prototype, 'setDefaultOffset', () => {
    return (position) => Promise.reject(outOfRange(position))
  })
  patch<RequestQueuePrivates, [], void>(
    RequestQueue.prototype,
    'scheduleCheckPendingRequests',
    (original) => {
      return function () {
        if (this.pending.length > 0 || this.throttledUntil > Date.now()) original.call(this)
      }
    },
  )
  patch<unknown, [{ request: { apiKey: number } }], Promise<unknown>>(
    ConnectionPool.prototype,
    'getConnectionByRequest',
    (original) =>
      function (sent) {
        const { apiKey } = sent.request
        return original.call(this, apiKey === LEAVE_GROUP ? { request: { apiKey: FETCH } } : sent)
      },
  )
  patch<RunnerWithPrivates, [FetchedBatch], Promise<void>>(Runner.prototype, 'handleBatch', curedHandleBatch)
}

type Fetch = Parameters<typeof fetchById>[1]

/** A consumer's cluster, and its brokers, are its own: they know by its sink which ids its partitions have. */
function fetchByTopicIds(ConsumerGroup: { prototype: Prototype }): void {
  const Cluster = require('kafkajs/src/cluster') as { prototype: Prototype }
  const Broker = require('kafkajs/src/broker') as { prototype: Prototype }
  Cluster.prototype.topicIds = clusterTopicIds as never
  type Found = { topicIdOf?: TopicIdOf | undefined }
  patch<Found, [object], Promise<Found>>(Cluster.prototype, 'findBroker', (original) => {
    return async function (wanted) {
      return Object.assign(await original.call(this, wanted), { topicIdOf: this.topicIdOf })
    }
  })
  patch<BrokerInside & Found, [Fetch], Promise<unknown>>(Broker.prototype, 'fetch', (original) => {
    return function (request) {
      const { topicIdOf } = this
      const answer = topicIdOf === undefined ? undefined : fetchById(this, request, topicIdOf)
      return answer ?? original.call(this, request)
    }
  })
  patch<GroupWithPrivates, [unknown], Promise<void>>(
    ConsumerGroup.prototype,
    'recoverFromFetch',
    (original) =>
      async function (error) {
        if (!(error instanceof TopicIdRefused)) return await original.call(this, error)
        for (const { topic, partition } of error.partitions) {
          this.pause([{ topic, partitions: [partition] }])
          sinkOf(this)!.topicIdRefused(topic, partition)
        }
      },
  )
}

interface TopicPartition {
  topic: string
  partition: number
}

function sinkOf(group: GroupWithPrivates): FetchSink | undefined {
  return group.assigners.find(({ sink }) => sink !== undefined)?.sink
}

function outOfRange({ topic, partition }: TopicPartition): IncidentError {
  const message = `the position in ${topic}:${partition} is outside of the log; it is not reset by itself`
  return new IncidentError('position_out_of_range', message)
}

async function recoverFromOffsetOutOfRange(
  this: GroupWithPrivates,
  { topic, partition }: TopicPartition,
): Promise<void> {
  const replicas = this.preferredReadReplicasPerTopicPartition[topic]
  if (replicas?.[partition] !== undefined) {
    // A follower may be behind its leader: only the leader's answer counts.
    delete replicas[partition]
    return
  }
  const sink = sinkOf(this)
  if (sink === undefined) throw outOfRange({ topic, partition })
  this.pause([{ topic, partitions: [partition] }])
  sink.positionOutOfRange(topic, partition)
}

type HandleBatch = (this: RunnerWithPrivates, batch: FetchedBatch) => Promise<void>

/** With a sink, a fetch goes straight to it; without one, the client's own path, except that undecodable bytes throw. */
function curedHandleBatch(original: HandleBatch): HandleBatch {
  return async function (batch) {
    const sink = sinkOf(this.consumerGroup)
    if (sink === undefined) {
      if (batch.failure !== undefined) throw batch.failure
      return original.call(this, batch)
    }
    if (!this.running) return
    const { topic, partition } = batch
    if (sink.deliver(batch))
      this.consumerGroup.resolveOffset({ topic, partition, offset: batch.lastOffset() })
    await this.heartbeat()
  }
}

/** Used for writing, and for reading formats before Kafka 0.11. */
function registerCodecs(): void {
  const { Codecs } = require('kafkajs/src/protocol/message/compression') as {
    Codecs: Record<
      number,
      () => { compress(e: { buffer: Buffer }): Promise<Buffer>; decompress(b: Buffer): Promise<Buffer> }
    >
  }
  for (const name of ['gzip', 'snappy', 'lz4', 'zstd'] satisfies CodecName[]) {
    const codec = CODEC_NUMBERS[name]
    const implementation = {
      compress: async (encoder: { buffer: Buffer }) => compress(name, encoder.buffer),
      decompress: async (data: Buffer) => decompress(codec, data),
    }
    Codecs[codec] = () => implementation
  }
}
