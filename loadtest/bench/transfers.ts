/** Plain single-posting transfers, uniform over some accounts, preloaded into the topic: what throughput is measured on. */
import type { Configuration } from '#platform/config/configuration.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { BatchingProducer, type OutgoingRecord } from '#platform/kafka/producer.ts'
import { encoderOf, registerContracts } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'

export interface TransferOptions {
  readonly transfers: number
  readonly accounts: number
  /** Part of every id, so that a second load is new. */
  readonly label: string
  readonly nowMs: number
  /** Which two accounts a transfer is between. */
  readonly pair: (place: number) => readonly [debit: number, credit: number]
}

const CHUNK = 5_000

/** Spread evenly and reproducibly (multiplicative hashing), never an account with itself. */
export const uniformPairs =
  (accounts: number) =>
  (place: number): readonly [number, number] => {
    const debit = Math.imul(place, 2_654_435_761) >>> 0
    const step = Math.imul(place + 1, 2_246_822_519) >>> 0
    return [debit % accounts, ((debit % accounts) + 1 + (step % (accounts - 1))) % accounts]
  }

const accountId = (place: number): string => `account:${String(place).padStart(6, '0')}`

/** Opens the accounts and preloads the transfers. @returns how long producing took, ms */
export const loadTransfers = async (
  configuration: Configuration,
  options: TransferOptions,
  parts: { accounts: boolean; transfers: boolean },
): Promise<number> => {
  const { topicPrefix } = configuration.ledger
  const contracts = await registerContracts(new SchemaRegistry(configuration.schemaRegistry), topicPrefix)
  const producer = new BatchingProducer({
    kafka: makeKafka(configuration.kafka, { clientId: 'tallystream-bench' }),
  })
  const started = performance.now()
  try {
    if (parts.accounts) {
      const encoder = encoderOf<unknown>(contracts.accounts)
      await sendAll(producer, options.accounts, (place) => ({
        topic: `${topicPrefix}accounts`,
        key: accountId(place),
        value: encoder.encode(openingOf(place, options)),
      }))
    }
    if (parts.transfers) {
      const encoder = encoderOf<unknown>(contracts.transactions)
      await sendAll(producer, options.transfers, (place) => ({
        topic: `${topicPrefix}transactions`,
        key: `${options.label}-${place}`,
        value: encoder.encode(transferOf(place, options)),
      }))
    }
  } finally {
    await producer.close()
  }
  return performance.now() - started
}

const sendAll = async (
  producer: BatchingProducer,
  count: number,
  record: (place: number) => OutgoingRecord,
): Promise<void> => {
  for (let first = 0; first < count; first += CHUNK) {
    const size = Math.min(CHUNK, count - first)
    await producer.sendAll(Array.from({ length: size }, (_, place) => record(first + place)))
  }
}

const openingOf = (place: number, options: TransferOptions): unknown => ({
  action: 'open',
  accountId: accountId(place),
  currency: 'EUR',
  accountClass: 'customer',
  normalSide: 'credit',
  limited: true,
  overdraftLimit: 10n ** 14n,
  reversalMayOverdraw: false,
  actor: 'bench',
  occurredAt: BigInt(options.nowMs),
})

const transferOf = (place: number, options: TransferOptions): unknown => {
  const [debit, credit] = options.pair(place)
  return {
    id: `${options.label}-${place}`,
    source: 'bench',
    kind: 'post',
    postings: [
      {
        debit: accountId(debit),
        credit: accountId(credit),
        amount: BigInt(1 + (place % 9_973)),
        currency: 'EUR',
      },
    ],
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
    occurredAt: BigInt(options.nowMs),
    expiresAt: null,
    actor: 'bench',
    metadata: {},
    after: null,
  }
}
