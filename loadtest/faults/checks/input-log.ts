/** What came in: the ingest topic itself, as Java's read_committed consumer has it, decoded by a reader of the checker's own. */
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

/** Records by partition and offset; null for what can't be decoded. */
export class InputLog {
  readonly #partitions = new Map<number, Map<bigint, Input | null>>()
  size = 0

  add(partition: number, offset: bigint, input: Input | null): void {
    let records = this.#partitions.get(partition)
    if (records === undefined) {
      records = new Map()
      this.#partitions.set(partition, records)
    }
    records.set(offset, input)
    this.size += 1
  }

  /** undefined where the log has no record. */
  at(partition: number, offset: bigint): Input | null | undefined {
    return this.#partitions.get(partition)?.get(offset)
  }

  *places(): Generator<{ partition: number; offset: bigint; input: Input | null }> {
    for (const [partition, records] of this.#partitions) {
      for (const [offset, input] of records) yield { partition, offset, input }
    }
  }
}

type TransactionValue = Omit<Input, 'content'>

/** Reads the whole topic. @param acknowledged `partition:offset` of every record that the broker said it has */
export const readInputs = async (
  findings: Findings,
  configuration: Configuration,
  options: { registry: RegistryReader; acknowledged: ReadonlySet<string> },
): Promise<InputLog> => {
  const log = new InputLog()
  const expected = options.acknowledged.size
  for await (const record of readTopic<TransactionValue>(configuration, options.registry, {
    topic: 'transactions',
    expected,
  })) {
    log.add(record.partition, record.offset, inputOf(record))
  }
  for (const place of options.acknowledged) {
    const [partition, offset] = place.split(':')
    const isThere = log.at(Number(partition), BigInt(offset!)) !== undefined
    findings.check('what the broker acknowledged is in the topic', isThere, () => place)
  }
  return log
}

const inputOf = ({ value, bytes }: ReadRecord<TransactionValue>): Input | null => {
  if (value === undefined || bytes === undefined) return null
  const { id, kind, parentId, postings } = value
  return { id, kind, parentId, postings, content: createHash('sha256').update(bytes).digest('base64') }
}
