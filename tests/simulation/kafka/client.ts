/** A kafkajs-shaped client of the simulated broker: what the adapters in platform/kafka are given instead of the real one. */
import { UnreachableError } from '#platform/errors.ts'
import type { Kafka } from '#platform/kafka/client.ts'
import type { SimulatedProcess } from '../scheduler/scheduler.ts'
import { SimulatedCluster } from './cluster.ts'
import { BrokerConnection, ConnectedClient, type KafkaPlace, ProtocolError } from './connection.ts'
import { SimulatedConsumer } from './consumer.ts'
import { SimulatedProducer } from './producer.ts'

/** Makes the client of one process. Its open connections are listed, so that a fault may cut them. */
export const makeSimulatedKafka = (
  place: KafkaPlace,
  process: SimulatedProcess,
): { kafka: Kafka; cuttable: { cut(): void }[] } => {
  const cuttable: { cut(): void }[] = []
  const keep = <T extends { cut(): void }>(made: T): T => {
    cuttable.push(made)
    if (cuttable.length > 8) cuttable.shift()
    return made
  }
  const kafka = {
    consumer: (config: never) => keep(new SimulatedConsumer(place, process, config)),
    producer: (config: never) => keep(new SimulatedProducer(place, process, config)),
    admin: () => keep(new SimulatedAdmin(place, process)),
    // What platform/kafka/cluster.ts looks for.
    [Symbol('private:Kafka:createCluster')]: () => keep(new SimulatedCluster(place, process)),
  }
  return { kafka: kafka as unknown as Kafka, cuttable }
}

class SimulatedAdmin extends ConnectedClient {
  async fetchTopicMetadata({ topics }: { topics: readonly string[] }) {
    return this.connection.request<object>('Metadata', (answer) => {
      const unknown = topics.find((topic) => this.place.broker.partitions(topic) === undefined)
      if (unknown !== undefined) {
        answer(new ProtocolError('UNKNOWN_TOPIC_OR_PARTITION'))
        return
      }
      answer({
        topics: topics.map((name) => ({
          name,
          partitions: this.place.broker
            .partitions(name)!
            .map(({ partition }) => ({ partitionId: partition })),
        })),
      })
    })
  }

  async fetchTopicOffsets(topic: string) {
    return this.connection.request<object[]>('ListOffsets', (answer) =>
      answer(
        this.place.broker.partitions(topic)!.map((log) => ({
          partition: log.partition,
          offset: String(log.end),
          low: String(log.start),
          high: String(log.end),
        })),
      ),
    )
  }

  /** Without requireStable, as kafkajs: a transaction whose end is decided but not yet written isn't waited for. */
  async fetchOffsets({ groupId, topics }: { groupId: string; topics: readonly string[] }) {
    return this.connection.request<object[]>('OffsetFetch', (answer) =>
      answer(
        topics.map((topic) => ({
          topic,
          partitions: (this.place.broker.partitions(topic) ?? []).map(({ partition }) => ({
            partition,
            offset: String(this.place.broker.committedOffset(groupId, topic, partition) ?? -1n),
          })),
        })),
      ),
    )
  }
}

/**
 * What platform/kafka/topic-tail.ts finds of a topic of one partition whose keys are numbers: the last visible record's, undefined
 * where there is none.
 */
export const lastKeyOf = (
  place: KafkaPlace,
  process: SimulatedProcess,
  topic: string,
): (() => Promise<bigint | undefined>) => {
  const connection = new BrokerConnection(place, process)
  return async () => {
    try {
      const key = await connection.request<string | null>('last record', (answer) =>
        answer(place.broker.log(topic, 0)?.lastVisible()?.key?.toString('utf8') ?? null),
      )
      return key === null ? undefined : BigInt(key)
    } catch (error) {
      throw new UnreachableError('kafka', (error as Error).message, { cause: error })
    }
  }
}
