/** Valid records of every ingest topic, in Avro and JSON, and seeded ways to spoil them. */
import { accountValue, cardValue, ruleValue, transactionValue } from '#connectors/ingest/wire.ts'
import {
  accountChange,
  cardChange,
  review,
  ruleChange,
  transactionCommand,
} from '#domain/transactions/testing/fixtures.ts'
import type { SeededRandom } from '#loadtest/faults/seeded-random.ts'
import type { OutgoingRecord } from '#platform/kafka/producer.ts'
import { type Contracts, encoderOf } from '#platform/schema-registry/contracts.ts'
import type { AvroEncoder } from '#platform/schema-registry/serde.ts'
import { TOPICS, type TopicKey } from '#schemas/topics.ts'

type FuzzedTopic = 'transactions' | 'accounts' | 'cards' | 'reviews' | 'rules' | 'commands'

/** Most of them transactions: they have most to lose. Ticks are the engine's own. */
const TOPIC_OF_TEN: readonly FuzzedTopic[] = [
  ...Array.from({ length: 5 }, () => 'transactions' as const),
  'accounts',
  'cards',
  'reviews',
  'rules',
  'commands',
]
/** Those that pay, most of them open; those that are opened, frozen and closed all the time. */
const PAYERS = ['alice', 'alice', 'bob', 'bob', 'carol', 'nobody'] as const
const CHANGING = ['carol', 'dave'] as const
const KINDS = ['post', 'authorize', 'capture', 'void', 'reverse', 'exchange'] as const
/** Ids are few, so that records meet: duplicates, conflicts, parents. */
const IDS = 2_000
/** A share stays as it is: what is spoiled must not take the good along. */
const UNSPOILED_SHARE = 0.15
/** And a share comes as it was sent a while ago. */
const AGAIN_SHARE = 0.03
const REMEMBERED = 50
const WIRE_HEADER_BYTES = 5

export interface FuzzOptions {
  readonly contracts: Contracts
  readonly random: SeededRandom
  /** Event time of the records, ms since 1970. */
  readonly nowMs: number
  /** Of the busy topic; the others have one. */
  readonly partitions: number
}

/** An endless source of records, most of them spoiled; the same for the same seed. */
export class Fuzzer {
  private readonly options: FuzzOptions
  private readonly encoders: Readonly<Record<FuzzedTopic, AvroEncoder<unknown>>>
  private readonly unspoiled: Readonly<Record<FuzzedTopic, Buffer[]>> = {
    transactions: [],
    accounts: [],
    cards: [],
    reviews: [],
    rules: [],
    commands: [],
  }
  private previous: Buffer = Buffer.from('{}')

  constructor(options: FuzzOptions) {
    this.options = options
    const { contracts } = options
    this.encoders = {
      transactions: encoderOf(contracts.transactions),
      accounts: encoderOf(contracts.accounts),
      cards: encoderOf(contracts.cards),
      reviews: encoderOf(contracts.reviews),
      rules: encoderOf(contracts.rules),
      commands: encoderOf(contracts.commands),
    }
  }

  next(): OutgoingRecord {
    const { random, partitions } = this.options
    const topic = this.pick(TOPIC_OF_TEN)
    const valid = this.validBytes(topic)
    const before = this.unspoiled[topic]
    let value: Buffer
    if (before.length > 0 && random.fraction() < AGAIN_SHARE) value = this.pick(before)
    else if (random.fraction() > UNSPOILED_SHARE) value = this.spoil(valid)
    else {
      value = valid
      before.push(valid)
      if (before.length > REMEMBERED) before.shift()
    }
    this.previous = valid
    return {
      topic: TOPICS[topic satisfies TopicKey].name,
      key: random.below(4) === 0 ? null : Buffer.from([random.below(256), random.below(256)]),
      value,
      partition: topic === 'transactions' ? random.below(partitions) : 0,
      headers: this.headers(),
    }
  }

  private pick<T>(list: readonly T[]): T {
    return list[this.options.random.below(list.length)]!
  }

  private validBytes(topic: FuzzedTopic): Buffer {
    const value = this.validValue(topic)
    if (this.options.random.below(2) === 0) return this.encoders[topic].encode(value)
    return Buffer.from(
      JSON.stringify(value, (_name, inner: unknown) =>
        typeof inner === 'bigint' ? inner.toString() : inner,
      ),
    )
  }

  private validValue(topic: FuzzedTopic): Record<string, unknown> {
    const { random, nowMs } = this.options
    const occurredAt = nowMs - random.below(10_000)
    const id = `fuzz-${random.below(IDS)}`
    switch (topic) {
      case 'transactions':
        return this.transaction(id, occurredAt)
      case 'accounts':
        return accountValue(
          accountChange({
            accountId: this.pick(CHANGING),
            action: this.pick(['open', 'freeze', 'unfreeze', 'close', 'set_limit']),
            limited: random.below(2) === 0,
            overdraftLimit: BigInt(random.below(10_000)),
            occurredAt,
          }),
        )
      case 'cards':
        return cardValue(
          cardChange({
            card: `tok_${random.below(5)}`,
            action: this.pick(['issue', 'block', 'unblock', 'cancel', 'set_limits']),
            accountId: this.pick(PAYERS),
            occurredAt,
          }),
        )
      case 'reviews': {
        const decision = this.pick(['release', 'decline'] as const)
        return { ...review({ transactionId: id, decision }), occurredAt: BigInt(occurredAt) }
      }
      case 'rules':
        return ruleValue(
          ruleChange({
            ruleId: `rule-${random.below(5)}`,
            action: this.pick(['alert', 'hold', 'reject']),
            threshold: BigInt(random.below(100_000)),
            enabled: random.below(2) === 0,
            occurredAt,
          }),
        )
      case 'commands':
        return {
          id: `command-${random.below(IDS)}`,
          kind: this.pick(['dead_letter.discard', 'dead_letter.retried', 'burn']),
          subject: `transactions:${random.below(8)}:${random.below(500)}`,
          parameters: { topic: 'transactions', partition: '0', offset: String(random.below(500)) },
          actor: 'fuzzer',
          reason: null,
          occurredAt: BigInt(occurredAt),
        }
      default:
        throw new Error(`nothing for ${topic satisfies never}`)
    }
  }

  private transaction(id: string, occurredAt: number): Record<string, unknown> {
    const { random } = this.options
    const kind = this.pick(KINDS)
    const needsParent = kind === 'capture' || kind === 'void' || kind === 'reverse'
    const postings = Array.from({ length: kind === 'void' ? 0 : 1 + random.below(3) }, () => ({
      debit: this.pick(PAYERS),
      credit: this.pick(PAYERS),
      amount: BigInt(random.below(10_000)),
      currency: 'EUR',
    }))
    const parentId = needsParent ? `fuzz-${random.below(IDS)}` : null
    return transactionValue(transactionCommand({ id, kind, postings, parentId, occurredAt }))
  }

  private headers(): Record<string, Buffer | string> {
    const { random } = this.options
    switch (random.below(20)) {
      case 0:
        return { 'content-type': 'application/json' }
      case 1:
        return { 'content-type': 'application/avro' }
      case 2:
        return { 'content-type': Buffer.from([random.below(256), random.below(256)]) }
      default:
        return {}
    }
  }

  /** One to three changes of the bytes. */
  private spoil(valid: Buffer): Buffer {
    let bytes: Buffer = Buffer.from(valid)
    for (let left = 1 + this.options.random.below(3); left > 0; left -= 1) bytes = this.spoilOnce(bytes)
    return bytes
  }

  private spoilOnce(bytes: Buffer): Buffer {
    const { random } = this.options
    if (bytes.length === 0) return Buffer.from([random.below(256)])
    const at = this.place(bytes)
    const to = at + random.below(Math.min(40, bytes.length - at) + 1)
    switch (random.below(10)) {
      case 0: // a bit flipped
        bytes[at]! ^= 1 << random.below(8)
        return bytes
      case 1: // a byte anew
        bytes[at] = random.below(256)
        return bytes
      case 2: // cut off
        return bytes.subarray(0, at)
      case 3: // a stretch left out
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(to)])
      case 4: // a stretch twice
        return Buffer.concat([bytes.subarray(0, to), bytes.subarray(at)])
      case 5: // noise put in
        return Buffer.concat([bytes.subarray(0, at), this.noise(), bytes.subarray(at)])
      case 6: // a large number, as Avro writes one
        return Buffer.concat([bytes.subarray(0, at), LARGE_VARINT, bytes.subarray(at + 1)])
      case 7: // words that parsers stumble over
        return Buffer.concat([bytes.subarray(0, at), Buffer.from(this.pick(WORDS)), bytes.subarray(to)])
      case 8: // the end of another record
        return Buffer.concat([
          bytes.subarray(0, at),
          this.previous.subarray(random.below(this.previous.length)),
        ])
      default: // two bytes change places
        return swapped(bytes, at, this.place(bytes))
    }
  }

  /** The wire header now and then only: each new schema id is a question to the registry, which isn't what is tested here. */
  private place(bytes: Buffer): number {
    const { random } = this.options
    const skipped = bytes.length > WIRE_HEADER_BYTES && random.below(10) > 0 ? WIRE_HEADER_BYTES : 0
    return skipped + random.below(bytes.length - skipped)
  }

  private noise(): Buffer {
    const { random } = this.options
    return Buffer.from(Array.from({ length: 1 + random.below(8) }, () => random.below(256)))
  }
}

const LARGE_VARINT = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])
const WORDS = [
  'null',
  '1e999',
  '-0',
  '{',
  '[[[[',
  '"',
  '\\u0000',
  '\\ud800',
  '__proto__',
  '4111111111111111',
  '9'.repeat(30),
]

const swapped = (bytes: Buffer, one: number, other: number): Buffer => {
  const kept = bytes[one]!
  bytes[one] = bytes[other]!
  bytes[other] = kept
  return bytes
}
