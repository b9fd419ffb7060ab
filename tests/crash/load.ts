/** The stream of a run: open loop, at a steady rate whatever the engine does, and what must become of every record. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Configuration } from '#platform/config/configuration.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { BatchingProducer, type RecordPosition } from '#platform/kafka/producer.ts'
import { encoderOf, registerContracts } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import type { SeededRandom } from './seeded-random.ts'

export interface SentPosting {
  readonly debit: string
  readonly credit: string
  /** Minor units. */
  readonly amount: bigint
}

/** A transaction as sent: once, or again with the same content under another key. */
export interface SentTransaction {
  readonly id: string
  readonly postings: readonly SentPosting[]
  /** What its first copy must become. */
  readonly outcome: 'applied' | 'rejected'
  /** Where its copies stand; the topic without the ledger's prefix. */
  readonly positions: { partition: number; offset: bigint }[]
}

export interface LoadOptions {
  readonly configuration: Configuration
  readonly accounts: number
  readonly transactions: number
  /** Transactions a second. */
  readonly rate: number
  readonly random: SeededRandom
}

const SLICE_MS = 50
const COPIED_SHARE = 0.02
const REJECTED_SHARE = 0.01
const SOURCE = 'crash'

/** Ids of the accounts that a load opens and uses. */
export const accountIds = (count: number): string[] =>
  Array.from({ length: count }, (_, place) => `account-${String(place).padStart(4, '0')}`)

export class Load {
  readonly sent: SentTransaction[] = []
  readonly #options: LoadOptions
  readonly #producer: BatchingProducer
  readonly #encodeAccount: (value: unknown) => Buffer
  readonly #encodeTransaction: (value: unknown) => Buffer
  readonly #accounts: readonly string[]
  readonly #acknowledged: Promise<void>[] = []
  /** What failed to be sent: then nothing can be said about the engine. */
  #failure: unknown

  private constructor(
    options: LoadOptions,
    encodeAccount: (value: unknown) => Buffer,
    encodeTransaction: (value: unknown) => Buffer,
  ) {
    this.#options = options
    this.#encodeAccount = encodeAccount
    this.#encodeTransaction = encodeTransaction
    this.#accounts = accountIds(options.accounts)
    this.#producer = new BatchingProducer({
      kafka: makeKafka(options.configuration.kafka, { clientId: 'crash-load' }),
    })
  }

  static async prepare(options: LoadOptions): Promise<Load> {
    const { schemaRegistry, ledger } = options.configuration
    const contracts = await registerContracts(new SchemaRegistry(schemaRegistry), ledger.topicPrefix)
    const account = encoderOf<unknown>(contracts.accounts)
    const transaction = encoderOf<unknown>(contracts.transactions)
    return new Load(
      options,
      (value) => account.encode(value),
      (value) => transaction.encode(value),
    )
  }

  /** Opens the accounts, without limits: then no order of transactions can change an outcome. @returns where the records end */
  async openAccounts(): Promise<bigint> {
    const positions = await this.#producer.sendAll(
      this.#accounts.map((accountId) => ({
        topic: this.#topic('accounts'),
        key: accountId,
        value: this.#encodeAccount({
          action: 'open',
          accountId,
          currency: 'EUR',
          accountClass: 'customer',
          normalSide: 'credit',
          limited: false,
          overdraftLimit: 0n,
          reversalMayOverdraw: false,
          actor: SOURCE,
          occurredAt: BigInt(Date.now()),
        }),
      })),
    )
    return positions.at(-1)!.offset + 1n
  }

  /**
   * Sends at the rate asked for: all transactions asked for, and on until it may end. Resolves when everything is acknowledged.
   * @throws what sending threw
   */
  async stream(mayEnd: () => boolean): Promise<void> {
    const { transactions, rate } = this.#options
    const startedAtMs = performance.now()
    while (this.sent.length < transactions || !mayEnd()) {
      const dueByTime = Math.ceil(((performance.now() - startedAtMs) / 1_000) * rate)
      const due = mayEnd() ? Math.min(dueByTime, Math.max(transactions, this.sent.length)) : dueByTime
      while (this.sent.length < due) this.#send(this.#next())
      if (this.#failure !== undefined) throw this.#failure
      await sleep(SLICE_MS)
    }
    await Promise.all(this.#acknowledged)
    if (this.#failure !== undefined) throw this.#failure
  }

  async close(): Promise<void> {
    await this.#producer.close()
  }

  #topic(name: string): string {
    return `${this.#options.configuration.ledger.topicPrefix}${name}`
  }

  #next(): SentTransaction {
    const { random } = this.#options
    const isRejected = random.fraction() < REJECTED_SHARE
    const count = random.fraction() < 0.9 ? 1 : 2 + random.below(2)
    const postings = Array.from({ length: count }, (_, place) => {
      const debit = random.below(this.#accounts.length)
      const credit = (debit + 1 + random.below(this.#accounts.length - 1)) % this.#accounts.length
      return {
        debit: this.#accounts[debit]!,
        credit: isRejected && place === 0 ? 'nobody' : this.#accounts[credit]!,
        amount: BigInt(1 + random.below(100_000)),
      }
    })
    const id = `t-${this.sent.length}`
    return { id, postings, outcome: isRejected ? 'rejected' : 'applied', positions: [] }
  }

  #send(transaction: SentTransaction): void {
    const { random } = this.#options
    this.sent.push(transaction)
    const value = this.#encodeTransaction(wireForm(transaction, BigInt(Date.now())))
    const copies = random.fraction() < COPIED_SHARE ? 2 : 1
    const records = Array.from({ length: copies }, () => ({
      topic: this.#topic('transactions'),
      // Another key, so often another partition and another processor: the copy may come first.
      key: `k-${random.below(1_000_000)}`,
      value,
    }))
    this.#acknowledged.push(
      this.#producer.sendAll(records).then(
        (positions: RecordPosition[]) => {
          transaction.positions.push(...positions.map(({ partition, offset }) => ({ partition, offset })))
        },
        (error: unknown) => {
          this.#failure ??= error
        },
      ),
    )
  }
}

const wireForm = ({ id, postings }: SentTransaction, occurredAt: bigint): unknown => ({
  id,
  source: SOURCE,
  kind: 'post',
  postings: postings.map((posting) => ({ ...posting, currency: 'EUR' })),
  parentId: null,
  parentSource: null,
  card: null,
  merchant: null,
  terminal: null,
  device: null,
  country: null,
  endToEndId: null,
  uetr: null,
  valueTime: null,
  occurredAt,
  expiresAt: null,
  actor: SOURCE,
  metadata: {},
  after: null,
})
