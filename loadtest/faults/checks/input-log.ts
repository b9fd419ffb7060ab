/** What came in: the ingest topics themselves, as Java's read_committed consumer has them, decoded by a reader of the checker's own. */
import { createHash } from 'node:crypto'
import type { Configuration } from '#platform/config/configuration.ts'
import type { Findings } from '../findings.ts'
import type { RegistryReader } from './avro-reader.ts'
import { type ReadRecord, readTopic } from './java-topic.ts'

export interface InputPosting {
  readonly debit: string
  readonly credit: string
  readonly amount: bigint
  readonly currency: string
}

export interface Input {
  readonly id: string
  readonly kind: string
  readonly parentId: string | null
  readonly postings: readonly InputPosting[]
  /** SHA-256 of its bytes: the same content is sent as the same bytes. */
  readonly content: string
}

export interface AccountInput {
  readonly action: string
  readonly accountId: string
  readonly currency: string | null
  readonly accountClass: string
  readonly normalSide: string
  readonly limited: boolean
  readonly overdraftLimit: bigint
  readonly reversalMayOverdraw: boolean
}

export interface RuleInput {
  readonly ruleId: string
  readonly type: string
  readonly currency: string | null
  readonly threshold: bigint
  readonly windowMs: bigint
  readonly action: string
  readonly enabled: boolean
}

export interface ReviewInput {
  readonly transactionId: string
  readonly decision: string
}

/** Records by offset of the topics with one partition; null for what can't be decoded. */
export interface ReferenceLogs {
  readonly accounts: ReadonlyMap<number, AccountInput | null>
  readonly rules: ReadonlyMap<number, RuleInput | null>
  readonly reviews: ReadonlyMap<number, ReviewInput | null>
}

/** Transactions by partition and offset; null for what can't be decoded. */
export class InputLog {
  // By numbers, which take no room of their own, where bigints would: a long run has a million of them.
  readonly #partitions = new Map<number, Map<number, Input | null>>()
  readonly references: ReferenceLogs
  size = 0

  constructor(references: ReferenceLogs) {
    this.references = references
  }

  add(partition: number, offset: bigint, input: Input | null): void {
    let records = this.#partitions.get(partition)
    if (records === undefined) {
      records = new Map()
      this.#partitions.set(partition, records)
    }
    records.set(Number(offset), input)
    this.size += 1
  }

  /** undefined where the log has no record. */
  at(partition: number, offset: bigint): Input | null | undefined {
    return this.#partitions.get(partition)?.get(Number(offset))
  }

  *places(): Generator<{ partition: number; offset: number; input: Input | null }> {
    for (const [partition, records] of this.#partitions) {
      for (const [offset, input] of records) yield { partition, offset, input }
    }
  }

  /** Whether a topic's log has a record there; false for topics that nobody sent to. */
  has(topic: string, partition: number, offset: bigint): boolean {
    if (topic === 'transactions') return this.at(partition, offset) !== undefined
    return isReference(topic) && this.references[topic].has(Number(offset))
  }
}

export const isReference = (topic: string): topic is keyof ReferenceLogs =>
  topic === 'accounts' || topic === 'rules' || topic === 'reviews'

/** Reads the topics to their ends. @param acknowledged by `topic:partition` the offsets that the broker said it has */
export const readInputs = async (
  findings: Findings,
  configuration: Configuration,
  options: { registry: RegistryReader; acknowledged: ReadonlyMap<string, readonly number[]> },
): Promise<InputLog> => {
  const { registry, acknowledged } = options
  const expected = (topic: string) =>
    [...acknowledged].reduce(
      (sum, [name, { length }]) => sum + (name.startsWith(`${topic}:`) ? length : 0),
      0,
    )
  const reference = async <Value>(topic: keyof ReferenceLogs) => {
    const records = new Map<number, Value | null>()
    const options = { topic, expected: expected(topic), partitions: 1 }
    for await (const { offset, value } of readTopic<Value>(configuration, registry, options)) {
      records.set(Number(offset), value ?? null)
    }
    return records
  }
  const [accounts, rules, reviews] = await Promise.all([
    reference<AccountInput>('accounts'),
    reference<RuleInput>('rules'),
    reference<ReviewInput>('reviews'),
  ])
  const log = new InputLog({ accounts, rules, reviews })
  const words = new Words()
  const transactions = { topic: 'transactions', expected: expected('transactions') }
  for await (const record of readTopic<Omit<Input, 'content'>>(configuration, registry, transactions)) {
    log.add(record.partition, record.offset, inputOf(record, words))
  }
  for (const [name, offsets] of acknowledged) {
    const [topic, partition] = name.split(':') as [string, string]
    for (const offset of offsets) {
      const isThere = log.has(topic, Number(partition), BigInt(offset))
      findings.check('what the broker acknowledged is in the topic', isThere, () => `${name}:${offset}`)
    }
  }
  return log
}

/** Keeps each word once, however many records have it. */
class Words {
  readonly #known = new Map<string, string>()

  once(word: string): string {
    const known = this.#known.get(word)
    if (known !== undefined) return known
    this.#known.set(word, word)
    return word
  }
}

const inputOf = ({ value, bytes }: ReadRecord<Omit<Input, 'content'>>, words: Words): Input | null => {
  if (value === undefined || bytes === undefined) return null
  const { id, kind, parentId, postings } = value
  return {
    id,
    kind: words.once(kind),
    parentId,
    postings: postings.map(({ debit, credit, amount, currency }) => ({
      debit: words.once(debit),
      credit: words.once(credit),
      amount,
      currency: words.once(currency),
    })),
    content: createHash('sha256').update(bytes).digest().toString('latin1'),
  }
}
