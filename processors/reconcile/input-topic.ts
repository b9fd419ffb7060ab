/** One partition of a topic of our own, read from a stored position without a consumer group. */
import { IncidentError, OperatingError } from '#platform/errors.ts'
import type { KafkaAdmin } from '#platform/kafka/admin.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { RangeReader } from '#platform/kafka/range-reader.ts'
import type { TopicPosition } from '#platform/postgres/reconciliation/commit.ts'
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

/** A reading that can go on: where it stands, and the log's end when it began. */
interface Going {
  readonly chunks: AsyncGenerator<IngestRecord[]>
  readonly partition: number
  readonly start: bigint
  readonly end: bigint
}

export class InputTopic<T> {
  readonly #options: InputTopicOptions<T>
  #going: Going | null = null

  constructor(options: InputTopicOptions<T>) {
    this.#options = options
  }

  /**
   * What stands behind a position, at least `recordsMax` records where there are so many, and no more than a fetch above it.
   * @param from null = from the log's beginning
   * @throws IncidentError `reconciliation_records_gone` where retention has passed the position; UnreachableError, OperatingError
   */
  async read(partition: number, from: bigint | null, recordsMax: number): Promise<InputPortion<T>> {
    const { topic } = this.#options
    // Whoever reads on where it has stopped gets what was fetched meanwhile.
    const known = this.#going
    this.#going = null
    const isKnown = known !== null && known.partition === partition && known.start === from
    let going = isKnown ? known : await this.#begin(partition, from)
    const records: InputRecord<T>[] = []
    let next = going.start
    while (records.length < recordsMax) {
      const chunk = await going.chunks.next()
      if (chunk.done === true) {
        // Behind the last record there may be markers only; or more has come since.
        next = going.end
        const later = await this.#begin(partition, next)
        if (later.end === next) break
        going = later
        continue
      }
      records.push(...(await this.#decode(topic, chunk.value)))
      next = chunk.value.at(-1)!.offset + 1n
    }
    if (next < going.end) this.#going = { ...going, start: next }
    return { records, position: next === from ? null : { topic, partition, from, next } }
  }

  async #begin(partition: number, from: bigint | null): Promise<Going> {
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
    return { chunks: ranges.read(name, partition, start, end), partition, start, end }
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
