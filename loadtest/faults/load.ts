/**
 * Sends a run's transactions, and what changes accounts and rules in between. A broker that is killed under it may have taken a record without saying so: it is sent again, with
 * the same content, and what the topic holds at the end is what the engine has to answer for.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Configuration } from '#platform/config/configuration.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { BatchingProducer, type OutgoingRecord, type RecordPosition } from '#platform/kafka/producer.ts'
import { encoderOf, registerContracts } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import type { SeededRandom } from './seeded-random.ts'
import { accountChange, firstRules, type ReferenceRecord } from './reference-plan.ts'
import {
  CURRENCIES,
  type PlannedAccount,
  type PlannedRecord,
  type PlannedTransaction,
  planAccounts,
  type TransactionRecord,
  TransactionPlan,
} from './transactions.ts'

export interface LoadOptions {
  readonly configuration: Configuration
  readonly accounts: number
  readonly random: SeededRandom
}

type Encoders = Readonly<Record<PlannedRecord['topic'], { encode(value: unknown): Buffer }>>

const SOURCE = 'faults'
const SEND_AGAIN_AFTER_MS = 200
/** A broker that is gone for so long was not restarted: then nothing can be said about the engine. */
const SEND_ATTEMPTS_MAX = 10
const UNKNOWN_SCHEMA_ID = 99_999_999

export class Load {
  readonly accounts: readonly PlannedAccount[]
  /** Transactions handed to the producer. */
  sent = 0
  /** By `topic:partition`: the offsets that the broker said it has. */
  readonly acknowledged = new Map<string, number[]>()
  readonly #plan: TransactionPlan
  readonly #topicPrefix: string
  readonly #producer: BatchingProducer
  readonly #encode: Encoders
  readonly #underWay = new Set<Promise<void>>()
  #failure: unknown

  private constructor(options: LoadOptions, encode: Encoders) {
    const { configuration } = options
    this.accounts = planAccounts(options.accounts)
    this.#plan = new TransactionPlan(this.accounts, options.random)
    this.#topicPrefix = configuration.ledger.topicPrefix
    this.#encode = encode
    this.#producer = new BatchingProducer({
      kafka: makeKafka(configuration.kafka, { clientId: 'faults-load' }),
    })
  }

  static async prepare(options: LoadOptions): Promise<Load> {
    const { schemaRegistry, ledger } = options.configuration
    const contracts = await registerContracts(new SchemaRegistry(schemaRegistry), ledger.topicPrefix)
    return new Load(options, {
      accounts: encoderOf<unknown>(contracts.accounts),
      rules: encoderOf<unknown>(contracts.rules),
      reviews: encoderOf<unknown>(contracts.reviews),
      transactions: encoderOf<unknown>(contracts.transactions),
    })
  }

  /** Opens the accounts and sets the first rules, which everything after depends on. @returns where the logs end then */
  async prepareLedger(): Promise<Map<string, bigint>> {
    const opened = this.accounts.map(({ id, ...changes }) => accountChange('open', id, changes))
    const records = [...firstRules(CURRENCIES), ...opened]
    this.#acknowledge(await this.#producer.sendAll(records.map((record) => this.#outgoing(record))))
    return this.ends()
  }

  /** Sends the next transactions. @throws what sending threw earlier */
  send(count: number): void {
    if (this.#failure !== undefined) throw this.#failure
    for (let left = count; left > 0; left -= 1) {
      this.sent += 1
      const records = this.#plan.next().map((record) => this.#outgoing(record))
      const sending = this.#sendSurely(records).catch((error: unknown) => {
        this.#failure ??= error
      })
      this.#underWay.add(sending)
      void sending.then(() => this.#underWay.delete(sending))
    }
  }

  /** Waits until everything is acknowledged. @throws what sending threw */
  async flush(): Promise<void> {
    await Promise.all(this.#underWay)
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Where the log of each partition ends at least, by `topic:partition`. */
  ends(): Map<string, bigint> {
    const last = (offsets: readonly number[]) => offsets.reduce((most, offset) => Math.max(most, offset), -1)
    return new Map([...this.acknowledged].map(([name, offsets]) => [name, BigInt(last(offsets) + 1)]))
  }

  async close(): Promise<void> {
    await this.#producer.close()
  }

  async #sendSurely(records: readonly OutgoingRecord[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const positions = await this.#producer.sendAll(records)
        this.#acknowledge(positions)
        return
      } catch (error) {
        if (attempt === SEND_ATTEMPTS_MAX) throw error
        await sleep(SEND_AGAIN_AFTER_MS * attempt)
      }
    }
  }

  #acknowledge(positions: readonly RecordPosition[]): void {
    for (const { topic, partition, offset } of positions) {
      const name = `${topic.slice(this.#topicPrefix.length)}:${partition}`
      const offsets = this.acknowledged.get(name)
      if (offsets === undefined) this.acknowledged.set(name, [Number(offset)])
      else offsets.push(Number(offset))
    }
  }

  #outgoing(record: PlannedRecord): OutgoingRecord {
    const topic = `${this.#topicPrefix}${record.topic}`
    return { topic, key: record.key, value: this.#valueOf(record) }
  }

  #valueOf(record: PlannedRecord): Buffer {
    if (record.topic !== 'transactions') return this.#reference(record)
    const { transaction, poison } = record
    return transaction === undefined ? this.#poisoned(poison!) : this.#encoded(transaction)
  }

  #reference({ topic, value }: ReferenceRecord): Buffer {
    const source = topic === 'reviews' ? { source: SOURCE } : {}
    return this.#encode[topic].encode({ ...value, ...source, actor: SOURCE, occurredAt: OCCURRED_AT })
  }

  #encoded(transaction: PlannedTransaction): Buffer {
    return this.#encode.transactions.encode({ ...EMPTY, ...transaction, occurredAt: OCCURRED_AT })
  }

  #poisoned(poison: NonNullable<TransactionRecord['poison']>): Buffer {
    const whole = this.#encoded({ id: 'poison', kind: 'post', parentId: null, postings: [] })
    if (poison === 'cut short') return whole.subarray(0, whole.length - 3)
    whole.writeInt32BE(UNKNOWN_SCHEMA_ID, 1)
    return whole
  }
}

/** The same for all, so that a record sent again is the same to the byte. */
const OCCURRED_AT = BigInt(Date.now())

const EMPTY = {
  source: SOURCE,
  parentSource: null,
  card: null,
  merchant: null,
  terminal: null,
  device: null,
  country: null,
  endToEndId: null,
  uetr: null,
  valueTime: null,
  expiresAt: null,
  actor: SOURCE,
  metadata: {},
  after: null,
}
