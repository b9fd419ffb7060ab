/** kafkajs' transactional producer as the engine uses it: what it sends to the broker, and how its state gets stuck. */

import type { SimulatedProcess } from '../scheduler/scheduler.ts'
import type { TransactionAnswer } from './broker.ts'
import { BrokerConnection, type KafkaPlace, ProtocolError } from './connection.ts'
import type { RecordToWrite } from './log.ts'

export interface Message {
  readonly key: Buffer | string | null
  readonly value: Buffer | null
  readonly headers?: Record<string, Buffer | string>
  readonly partition?: number
  readonly meaning?: unknown
}

interface ProducerConfig {
  readonly transactionalId?: string
  readonly transactionTimeout?: number
}

const RETRIES_MAX = 30

const toBuffer = (part: Buffer | string | null): Buffer | null =>
  typeof part === 'string' ? Buffer.from(part) : part

const recordOf = (message: Message): RecordToWrite => ({
  key: toBuffer(message.key),
  value: message.value,
  headers:
    message.headers === undefined
      ? undefined
      : Object.fromEntries(Object.entries(message.headers).map(([name, text]) => [name, toBuffer(text)!])),
  meaning: message.meaning,
})

const partitionOf = (message: Message, count: number): number => {
  if (message.partition !== undefined) return message.partition
  let sum = 0
  for (const byte of toBuffer(message.key) ?? []) sum = (sum * 31 + byte) >>> 0
  return sum % count
}

export class SimulatedProducer {
  private readonly connection: BrokerConnection
  private readonly config: ProducerConfig
  private readonly place: KafkaPlace
  private readonly process: SimulatedProcess
  private epoch: number | null = null

  constructor(place: KafkaPlace, process: SimulatedProcess, config: ProducerConfig) {
    this.place = place
    this.process = process
    this.config = config
    this.connection = new BrokerConnection(place, process)
  }

  async connect(): Promise<void> {
    await this.connection.request('kafka connect', (answer) => answer(null))
  }

  async disconnect(): Promise<void> {
    this.connection.close()
  }

  cut(): void {
    this.connection.cut()
  }

  /** Outside of transactions. */
  async sendBatch(batch: { topicMessages: readonly { topic: string; messages: readonly Message[] }[] }) {
    const answers: { topicName: string; partition: number; baseOffset: string }[] = []
    for (const { topic, partition, records } of this.spread(batch.topicMessages)) {
      const base = await this.connection.request<bigint>('produce', (answer) =>
        answer(this.place.broker.produce(topic, partition, records)),
      )
      answers.push({ topicName: topic, partition, baseOffset: String(base) })
    }
    return answers
  }

  /** The first one fences; later ones of the same producer go on with its epoch. */
  async transaction() {
    const { broker } = this.place
    const id = this.config.transactionalId!
    const timeoutMs = this.config.transactionTimeout ?? 60_000
    this.epoch ??= await this.initialised(id)
    const epoch = this.epoch
    let isBegun = false
    const ask = (label: string, work: () => TransactionAnswer): Promise<unknown> =>
      this.retried(label, work, (answer) => (answer === 'ok' ? null : answer))
    const begin = async (label: string): Promise<void> => {
      await ask(label, () => broker.join(id, epoch, timeoutMs))
      isBegun = true
    }
    return {
      sendBatch: async (batch: {
        topicMessages: readonly { topic: string; messages: readonly Message[] }[]
      }) => {
        await begin('AddPartitionsToTxn')
        for (const { topic, partition, records } of this.spread(batch.topicMessages)) {
          await ask('produce', () => broker.produceInTransaction(id, epoch, topic, partition, records))
        }
      },
      sendOffsets: async (given: {
        consumerGroupId: string
        topics: readonly { topic: string; partitions: readonly { partition: number; offset: string }[] }[]
      }) => {
        await begin('AddOffsetsToTxn')
        const offsets = given.topics.flatMap(({ topic, partitions }) =>
          partitions.map(({ partition, offset }) => ({
            groupId: given.consumerGroupId,
            topic,
            partition,
            offset: BigInt(offset),
          })),
        )
        await ask('TxnOffsetCommit', () => broker.commitOffsetsInTransaction(id, epoch, offsets))
      },
      commit: async () => {
        await ask('EndTxn', () => broker.endTransaction(id, epoch, true))
      },
      abort: async () => {
        if (isBegun) await ask('EndTxn', () => broker.endTransaction(id, epoch, false))
      },
    }
  }

  private async initialised(id: string): Promise<number> {
    const answer = await this.retried(
      'InitProducerId',
      () => this.place.broker.initProducer(id),
      (given) => (typeof given === 'string' ? given : null),
    )
    return (answer as { epoch: number }).epoch
  }

  /** CONCURRENT_TRANSACTIONS is waited for, as the client does; other refusals are thrown. */
  private async retried<T>(label: string, work: () => T, refusal: (answer: T) => string | null): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.connection.request<T>(label, (reply) => reply(work()))
      const word = refusal(answer)
      if (word === null) return answer
      if (word !== 'CONCURRENT_TRANSACTIONS' || attempt === RETRIES_MAX) {
        throw new ProtocolError(word, word === 'CONCURRENT_TRANSACTIONS')
      }
      await new Promise<void>((resolve) => {
        this.process.after(Math.min(500, 5 * 1.5 ** attempt), 'kafka retry', resolve)
      })
    }
  }

  private *spread(topicMessages: readonly { topic: string; messages: readonly Message[] }[]) {
    for (const { topic, messages } of topicMessages) {
      const count = this.place.broker.partitions(topic)!.length
      const byPartition = new Map<number, RecordToWrite[]>()
      for (const message of messages) {
        const partition = partitionOf(message, count)
        const list = byPartition.get(partition)
        if (list === undefined) byPartition.set(partition, [recordOf(message)])
        else list.push(recordOf(message))
      }
      for (const [partition, records] of byPartition) yield { topic, partition, records }
    }
  }
}
