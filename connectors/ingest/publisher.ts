/** Publishes commands to the ingest topics, in Avro, for importers, the generator and the command line. */
import type {
  AccountChange,
  CardChange,
  Label,
  RuleChange,
  TransactionCommand,
} from '#domain/transactions/command.ts'
import type { Kafka } from '#platform/kafka/client.ts'
import { BatchingProducer, type OutgoingRecord, type RecordPosition } from '#platform/kafka/producer.ts'
import { type Contracts, encoderOf, registerContracts } from '#platform/schema-registry/contracts.ts'
import type { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import type { AvroEncoder } from '#platform/schema-registry/serde.ts'
import { TOPICS, type TopicKey } from '#schemas/topics.ts'
import { accountValue, cardValue, labelValue, ruleValue, transactionValue } from './wire.ts'

export interface IngestPublisherOptions {
  readonly kafka: Kafka
  readonly registry: SchemaRegistry
  readonly topicPrefix: string
  /** Records that may wait in the producer. */
  readonly queueRecordsMax?: number
  /** How long a record waits for others to be sent with; the producer's own where absent. */
  readonly lingerMs?: number
}

type Encoders = Readonly<
  Record<'accounts' | 'cards' | 'transactions' | 'rules' | 'fraud.labels', AvroEncoder<unknown>>
>

/** A connected publisher. Errors of sending are those of BatchingProducer.sendAll. */
export class IngestPublisher {
  readonly contracts: Contracts
  readonly #producer: BatchingProducer
  readonly #topicPrefix: string
  readonly #encoders: Encoders

  private constructor(producer: BatchingProducer, topicPrefix: string, contracts: Contracts) {
    this.#producer = producer
    this.#topicPrefix = topicPrefix
    this.contracts = contracts
    this.#encoders = {
      accounts: encoderOf(contracts.accounts),
      cards: encoderOf(contracts.cards),
      transactions: encoderOf(contracts.transactions),
      rules: encoderOf(contracts.rules),
      'fraud.labels': encoderOf(contracts['fraud.labels']),
    }
  }

  /** Registers the schemas and connects. @throws OperatingError `kafka_unreachable`, `registry_unreachable`, `schema_incompatible` */
  static async open(options: IngestPublisherOptions): Promise<IngestPublisher> {
    const { kafka, registry, topicPrefix, queueRecordsMax, lingerMs } = options
    const contracts = await registerContracts(registry, topicPrefix)
    const producer = new BatchingProducer({
      kafka,
      ...(queueRecordsMax === undefined ? {} : { queueRecordsMax }),
      ...(lingerMs === undefined ? {} : { lingerMs }),
    })
    await producer.connect()
    return new IngestPublisher(producer, topicPrefix, contracts)
  }

  /** Name of a topic on the broker. */
  topicName(topic: TopicKey): string {
    return `${this.#topicPrefix}${TOPICS[topic].name}`
  }

  /** A transaction in the wire format of the topic. */
  encodeTransaction(command: TransactionCommand): Buffer {
    return this.#encoders.transactions.encode(transactionValue(command))
  }

  accounts(changes: readonly AccountChange[]): Promise<RecordPosition[]> {
    const encode = (change: AccountChange) => this.#encoders.accounts.encode(accountValue(change))
    return this.#send('accounts', changes, (change) => change.accountId, encode)
  }

  cards(changes: readonly CardChange[]): Promise<RecordPosition[]> {
    const encode = (change: CardChange) => this.#encoders.cards.encode(cardValue(change))
    return this.#send('cards', changes, (change) => change.card, encode)
  }

  rules(changes: readonly RuleChange[]): Promise<RecordPosition[]> {
    const encode = (change: RuleChange) => this.#encoders.rules.encode(ruleValue(change))
    return this.#send('rules', changes, (change) => change.ruleId, encode)
  }

  labels(labels: readonly Label[]): Promise<RecordPosition[]> {
    const encode = (label: Label) => this.#encoders['fraud.labels'].encode(labelValue(label))
    return this.#send('fraud.labels', labels, (label) => label.transactionId, encode)
  }

  /** Keyed by the first debit account (the payer), so that a payer's transactions keep their order; by the id where there is none. */
  transactions(commands: readonly TransactionCommand[]): Promise<RecordPosition[]> {
    const keyOf = (command: TransactionCommand) => command.postings[0]?.debit ?? command.id
    return this.#send('transactions', commands, keyOf, (command) => this.encodeTransaction(command))
  }

  /** Sends values that are encoded already. `topic` is the name on the broker. */
  encoded(records: readonly OutgoingRecord[]): Promise<RecordPosition[]> {
    return this.#producer.sendAll(records)
  }

  /** Sends what is queued (bounded) and disconnects. Never throws. */
  async close(): Promise<void> {
    await this.#producer.close()
  }

  #send<T>(
    topic: TopicKey,
    items: readonly T[],
    keyOf: (item: T) => string,
    encode: (item: T) => Buffer,
  ): Promise<RecordPosition[]> {
    const name = this.topicName(topic)
    return this.#producer.sendAll(
      items.map((item) => ({ topic: name, key: keyOf(item), value: encode(item) })),
    )
  }
}
