/** One partition of a topic of our own, read from a stored position without a consumer group. */
import { IncidentError, OperatingError } from '#platform/errors.ts'
import type { KafkaAdmin } from '#platform/kafka/admin.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { RangeReader } from '#platform/kafka/range-reader.ts'
import type { TopicPosition } from '#platform/postgres/reconciliation/store.ts'
import type { AvroDecoder } from '#platform/schema-registry/serde.ts'
import { writerIdOf } from '#platform/schema-registry/serde.ts'

export interface InputRecord<T> {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** The record, or why it can't be read. */
  readonly value: T | { readonly unreadable: string }
}

export interface InputPortion<T> {
  readonly records: readonly InputRecord<T>[]
  /** Null where nothing was read. */
  readonly position: TopicPosition | null
}

export interface InputTopicOptions<T> {
  readonly admin: Pick<KafkaAdmin, 'ranges'>
  readonly ranges: Pick<RangeReader, 'read'>
  readonly decoder: AvroDecoder<T>
  /** Name without the ledger's prefix. */
  readonly topic: string
  readonly topicPrefix: string
  /** Reads a record that says it is JSON, as gateways write it; null where it isn't one of the topic's. Absent: there are none. */
  readonly parseJson?: (text: string) => T | null
}

const isJson = ({ headers }: IngestRecord): boolean =>
  headers?.['content-type']?.toString().split(';')[0] === 'application/json'

export class InputTopic<T> {
  readonly #options: InputTopicOptions<T>

  constructor(options: InputTopicOptions<T>) {
    this.#options = options
  }

  /**
   * What stands behind a position, at least `recordsMax` records where there are so many, and no more than a fetch above it.
   * @param from null = from the log's beginning
   * @throws IncidentError `reconciliation_records_gone` where retention has passed the position; UnreachableError, OperatingError
   */
  async read(partition: number, from: bigint | null, recordsMax: number): Promise<InputPortion<T>> {
    const { topic, topicPrefix, admin, ranges } = this.#options
    const name = `${topicPrefix}${topic}`
    const range = (await admin.ranges(name)).find((entry) => entry.partition === partition)
    const end = range?.end ?? 0n
    const start = from ?? range?.start ?? 0n
    if (range !== undefined && (start < range.start || start > end)) {
      throw new IncidentError(
        'reconciliation_records_gone',
        `${name}:${partition} is read up to ${start}, but the log has ${range.start} to ${end}`,
      )
    }
    const records: InputRecord<T>[] = []
    let next = start
    for await (const chunk of ranges.read(name, partition, start, end)) {
      records.push(...(await this.#decode(topic, chunk)))
      next = chunk.at(-1)!.offset + 1n
      if (records.length >= recordsMax) break
    }
    // Behind the last record there may be markers only.
    if (records.length < recordsMax) next = end
    return { records, position: next === from ? null : { topic, partition, from, next } }
  }

  async #decode(topic: string, chunk: readonly IngestRecord[]): Promise<InputRecord<T>[]> {
    const { decoder } = this.#options
    const ids = chunk.flatMap((record) =>
      record.value === null || isJson(record) ? [] : (writerIdOf(record.value) ?? []),
    )
    await decoder.prepare([...new Set(ids)])
    return chunk.map((record) => ({
      topic,
      partition: record.partition,
      offset: record.offset,
      value: this.#valueOf(record),
    }))
  }

  #valueOf(record: IngestRecord): InputRecord<T>['value'] {
    const { value } = record
    const { parseJson } = this.#options
    if (value === null) return { unreadable: 'empty_record' }
    if (parseJson !== undefined && isJson(record)) {
      return parseJson(value.toString()) ?? { unreadable: 'json_invalid' }
    }
    try {
      return this.#options.decoder.decode(value)
    } catch (error) {
      if (error instanceof OperatingError) return { unreadable: error.code }
      throw error
    }
  }
}
