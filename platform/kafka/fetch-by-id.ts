/** How the client's brokers and clusters come to name topics by their ids: what kafkajs-cures.ts puts in their place. */
import { createRequire } from 'node:module'
import {
  decodeFetchById,
  decodeTopicIds,
  encodeFetchById,
  encodeMetadata,
  FETCH_BY_ID,
  type FetchAnswer,
  type FetchedTopic,
  type PartitionToFetch,
  METADATA_WITH_IDS,
  type PartitionAnswer,
} from './topic-id-protocol.ts'

const require = createRequire(import.meta.url)

/** The id under which a partition is read; null: by its name; undefined: it isn't read. */
export type TopicIdOf = (topic: string, partition: number) => string | null | undefined

interface ClientFetch {
  readonly topics: readonly {
    readonly topic: string
    readonly partitions: readonly { partition: number; fetchOffset: string; maxBytes: number }[]
  }[]
  readonly maxWaitTime: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly isolationLevel: number
  readonly replicaId?: number
  readonly rackId?: string
}

interface Sent<T> {
  readonly request: { apiKey: number; apiVersion: number; apiName: string; encode(): Promise<unknown> }
  readonly response: { decode(bytes: Buffer): Promise<T>; parse(answer: T): Promise<T> }
  readonly requestTimeout?: number
}

/** The inside of the client's broker, as far as it is needed here. */
export interface BrokerInside {
  /** Which requests it takes, by their number. */
  readonly versions: Readonly<Record<number, { readonly maxVersion: number } | undefined>> | null
  readonly [send: symbol]: (<T>(sent: Sent<T>) => Promise<T>) | undefined
}

/** The broker knows no topic of an id, or another log under it. */
export class TopicIdRefused extends Error {
  override readonly name = 'TopicIdRefused'
  readonly partitions: readonly { readonly topic: string; readonly partition: number }[]

  constructor(partitions: TopicIdRefused['partitions']) {
    super(`no topic of that id: ${partitions.map((p) => `${p.topic}:${p.partition}`).join(', ')}`)
    this.partitions = partitions
  }
}

const OFFSET_OUT_OF_RANGE = 1
const UNKNOWN_TOPIC_ID = 100
const INCONSISTENT_TOPIC_ID = 103
/** A fetch takes up to its own time at the broker; beyond it, this is for the network, ms. As the client's own. */
const NETWORK_DELAY_MS = 100
const METADATA_TIMEOUT_MS = 5_000
const MAGIC_POSITION = 16

const takes = ({ versions }: BrokerInside, request: { apiKey: number; apiVersion: number }): boolean =>
  (versions?.[request.apiKey]?.maxVersion ?? 0) >= request.apiVersion

const sendTo = async <T>(broker: BrokerInside, sent: Sent<T>): Promise<T> => {
  const symbol = Object.getOwnPropertySymbols(Object.getPrototypeOf(broker)).find(
    ({ description }) => description === 'private:Broker:sendRequest',
  )
  const send = symbol === undefined ? undefined : broker[symbol]
  if (send === undefined) throw new Error("expected kafkajs' broker to have sendRequest, found none")
  return (await send.call(broker, sent)) as T
}

/** What the client's request encoder takes. */
const encoded = (bytes: Buffer) => ({ buf: bytes, buffer: bytes, size: () => bytes.length })

/** Names by their ids, of the topics that are there. undefined: the broker (before Kafka 3.1) doesn't say. */
export const topicIds = async (
  broker: BrokerInside,
  topics: readonly string[],
): Promise<Map<string, string> | undefined> => {
  if (!takes(broker, METADATA_WITH_IDS) || !takes(broker, FETCH_BY_ID)) return undefined
  return await sendTo(broker, {
    request: { ...METADATA_WITH_IDS, encode: async () => encoded(encodeMetadata(topics)) },
    response: { decode: async (bytes) => decodeTopicIds(bytes), parse: async (ids) => ids },
    requestTimeout: METADATA_TIMEOUT_MS,
  })
}

/**
 * The client's fetch, by ids. undefined where the broker doesn't take them or a partition has none (brokers may be of several
 * versions for a time): then it is to be asked by names.
 * @throws TopicIdRefused; the client's own errors
 */
export const fetchById = (
  broker: BrokerInside,
  request: ClientFetch,
  topicIdOf: TopicIdOf,
): Promise<unknown> | undefined => {
  if (!takes(broker, FETCH_BY_ID)) return undefined
  const wanted: { topic: string; topicId: string; partition: PartitionToFetch }[] = []
  for (const { topic, partitions } of request.topics) {
    for (const partition of partitions) {
      const topicId = topicIdOf(topic, partition.partition)
      if (topicId === null) return undefined
      // Suspended since the client made its list: what came of it would be dropped.
      if (topicId !== undefined) wanted.push({ topic, topicId, partition })
    }
  }
  if (wanted.length === 0) return undefined
  const names = new Map(wanted.map(({ topic, topicId }) => [topicId, topic]))
  const topics = inRandomOrder(wanted).reduce<FetchedTopic[]>((list, { topicId, partition }) => {
    const last = list.at(-1)
    if (last?.topicId === topicId)
      list.splice(-1, 1, { topicId, partitions: [...last.partitions, partition] })
    else list.push({ topicId, partitions: [partition] })
    return list
  }, [])
  return sendTo(broker, {
    request: { ...FETCH_BY_ID, encode: async () => encoded(encodeFetchById({ ...request, topics })) },
    response: {
      decode: async (bytes) => await asClientAnswer(decodeFetchById(bytes), names),
      parse: async (answer) => answer,
    },
    requestTimeout: request.maxWaitTime + NETWORK_DELAY_MS,
  })
}

/** Where the answer is bounded, the broker fills it in the order of the request: none must always be last. */
const inRandomOrder = <T>(list: readonly T[]): T[] =>
  list
    .map((value) => ({ value, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ value }) => value)

const asClientAnswer = async (answer: FetchAnswer, names: ReadonlyMap<string, string>) => {
  const topics = answer.topics.map(({ topicId, partitions }) => ({
    topicName: names.get(topicId)!,
    partitions,
  }))
  throwRefusals(answer.errorCode, topics)
  const responses = topics.map(async ({ topicName, partitions }) => ({
    topicName,
    partitions: await Promise.all(
      partitions.map(async (each) => ({ ...each, messages: await messagesOf(each.messages) })),
    ),
  }))
  // The broker answers before it throttles, and expects the client to wait (KIP-219).
  return {
    throttleTime: 0,
    clientSideThrottleTime: answer.throttleTimeMs,
    responses: await Promise.all(responses),
  }
}

const throwRefusals = (
  errorCode: number,
  topics: readonly { readonly topicName: string; readonly partitions: readonly PartitionAnswer[] }[],
): void => {
  const { createErrorFromCode } = require('kafkajs/src/protocol/error') as {
    createErrorFromCode(code: number): Error
  }
  if (errorCode !== 0) throw createErrorFromCode(errorCode)
  const refused = topics.flatMap(({ topicName: topic, partitions }) =>
    partitions
      .filter((each) => each.errorCode !== 0)
      .map(({ partition, errorCode }) => ({ topic, partition, errorCode })),
  )
  const ofIds = refused.filter((each) => [UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID].includes(each.errorCode))
  if (ofIds.length > 0) throw new TopicIdRefused(ofIds)
  const [first] = refused
  if (first === undefined) return
  const error = createErrorFromCode(first.errorCode)
  if (first.errorCode !== OFFSET_OUT_OF_RANGE) throw error
  const { KafkaJSOffsetOutOfRange } = require('kafkajs/src/errors') as {
    KafkaJSOffsetOutOfRange: new (cause: Error, where: object) => Error
  }
  throw new KafkaJSOffsetOutOfRange(error, { topic: first.topic, partition: first.partition })
}

/** Format 2 stays as it is; what was written before Kafka 0.11 is decoded by the client, which wants its length before it. */
const messagesOf = async (bytes: Buffer): Promise<unknown> => {
  if (bytes.length <= MAGIC_POSITION || bytes[MAGIC_POSITION]! >= 2) return bytes
  const decode = require('kafkajs/src/protocol/requests/fetch/v4/decodeMessages') as (
    d: object,
  ) => Promise<unknown>
  const Decoder = require('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => object
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return await decode(new Decoder(Buffer.concat([length, bytes])))
}

/** Asks any broker of the cluster. Set as a method of the client's cluster. */
export async function clusterTopicIds(
  this: { brokerPool: { findConnectedBroker(): Promise<BrokerInside> } },
  topics: readonly string[],
): Promise<Map<string, string> | undefined> {
  return await topicIds(await this.brokerPool.findConnectedBroker(), topics)
}
