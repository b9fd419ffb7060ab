/**
 * Sends a run's transactions. A broker that is killed under it may have taken a record without saying so: it is sent again, with
 * the same content, and what the topic holds at the end is what the engine has to answer for.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Configuration } from '#platform/config/configuration.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { BatchingProducer, type OutgoingRecord } from '#platform/kafka/producer.ts'
import { encoderOf, registerContracts } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import type { SeededRandom } from './seeded-random.ts'
import { type PlannedAccount, type PlannedRecord, planAccounts, TransactionPlan } from './transactions.ts'

export interface LoadOptions {
  readonly configuration: Configuration
  readonly accounts: number
  readonly random: SeededRandom
}

interface Encoders {
  account(value: unknown): Buffer
  transaction(value: unknown): Buffer
}

const SOURCE = 'faults'
const SEND_AGAIN_AFTER_MS = 200
/** A broker that is gone for so long was not restarted: then nothing can be said about the engine. */
const SEND_ATTEMPTS_MAX = 10
const UNKNOWN_SCHEMA_ID = 99_999_999

export class Load {
  readonly accounts: readonly PlannedAccount[]
  /** Transactions handed to the producer. */
  sent = 0
  /** By `partition:offset`: what the broker said it has. */
  readonly acknowledged = new Set<string>()
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
    const account = encoderOf<unknown>(contracts.accounts)
    const transaction = encoderOf<unknown>(contracts.transactions)
    return new Load(options, {
      account: (value) => account.encode(value),
      transaction: (value) => transaction.encode(value),
    })
  }

  /** @returns where the records end */
  async openAccounts(): Promise<bigint> {
    const positions = await this.#producer.sendAll(
      this.accounts.map(({ id, currency, limited, overdraftLimit }) => ({
        topic: `${this.#topicPrefix}accounts`,
        key: id,
        value: this.#encode.account({
          action: 'open',
          accountId: id,
          currency,
          accountClass: 'customer',
          normalSide: 'credit',
          limited,
          overdraftLimit,
          reversalMayOverdraw: false,
          actor: SOURCE,
          occurredAt: BigInt(Date.now()),
        }),
      })),
    )
    return positions.at(-1)!.offset + 1n
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

  /** Where the log of each partition ends at least, by `transactions:partition`. */
  ends(): Map<string, bigint> {
    const ends = new Map<string, bigint>()
    for (const place of this.acknowledged) {
      const [partition, offset] = place.split(':')
      const name = `transactions:${partition}`
      const end = BigInt(offset!) + 1n
      if (end > (ends.get(name) ?? 0n)) ends.set(name, end)
    }
    return ends
  }

  async close(): Promise<void> {
    await this.#producer.close()
  }

  async #sendSurely(records: readonly OutgoingRecord[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const positions = await this.#producer.sendAll(records)
        for (const { partition, offset } of positions) this.acknowledged.add(`${partition}:${offset}`)
        return
      } catch (error) {
        if (attempt === SEND_ATTEMPTS_MAX) throw error
        await sleep(SEND_AGAIN_AFTER_MS * attempt)
      }
    }
  }

  #outgoing({ key, transaction, poison }: PlannedRecord): OutgoingRecord {
    return {
      topic: `${this.#topicPrefix}transactions`,
      key,
      value: transaction === undefined ? this.#poisoned(poison!) : this.#encoded(transaction),
    }
  }

  #encoded(transaction: NonNullable<PlannedRecord['transaction']>): Buffer {
    return this.#encode.transaction({ ...EMPTY, ...transaction, occurredAt: OCCURRED_AT })
  }

  #poisoned(poison: NonNullable<PlannedRecord['poison']>): Buffer {
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
