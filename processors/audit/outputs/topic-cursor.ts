/** One output topic as a sequence of messages by batch: all its partitions, each read once from its beginning to its end. */
import { OperatingError } from '#platform/errors.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import { REPAIR_HEADER } from '../../runtime/repair.ts'

/** A message of an output topic, as a read_committed reader gets it. */
export interface OutputRecord {
  readonly partition: number
  readonly offset: bigint
  readonly key: Buffer
  readonly value: Buffer
  /** Of the batch that made it. */
  readonly sequence: bigint
  /** Published later than its turn, by a repair. */
  readonly isRepair: boolean
}

/** What a cursor needs of a topic. */
export interface OutputTopic {
  readonly partitions: readonly { readonly partition: number; readonly start: bigint; readonly end: bigint }[]
  read(partition: number, from: bigint, next: bigint): AsyncIterable<readonly IngestRecord[]>
  /** The sequence that a value names. Schemas must be there: see `prepare`. @throws OperatingError `avro_invalid` */
  sequenceOf(value: Buffer): bigint
  prepare(values: readonly Buffer[]): Promise<void>
}

class PartitionCursor {
  readonly partition: number
  private readonly topic: OutputTopic
  private readonly chunks: AsyncIterator<readonly IngestRecord[]>
  private records: OutputRecord[] = []
  private at = 0

  constructor(topic: OutputTopic, range: OutputTopic['partitions'][number]) {
    this.partition = range.partition
    this.topic = topic
    this.chunks = topic.read(range.partition, range.start, range.end)[Symbol.asyncIterator]()
  }

  async peek(): Promise<OutputRecord | undefined> {
    while (this.at === this.records.length) {
      const chunk = await this.chunks.next()
      if (chunk.done === true) return undefined
      this.records = await this.decoded(chunk.value)
      this.at = 0
    }
    return this.records[this.at]
  }

  take(): void {
    this.at += 1
  }

  async close(): Promise<void> {
    await this.chunks.return?.()
  }

  private async decoded(records: readonly IngestRecord[]): Promise<OutputRecord[]> {
    const known = records.filter(({ value }) => value !== null)
    await this.topic.prepare(known.map(({ value }) => value!))
    return known.map(({ partition, offset, key, value, headers }) => ({
      partition,
      offset,
      key: key ?? Buffer.alloc(0),
      value: value!,
      sequence: this.sequenceOf(value!),
      isRepair: headers?.[REPAIR_HEADER] !== undefined,
    }))
  }

  /** What can't be read is of no batch: 0. */
  private sequenceOf(value: Buffer): bigint {
    try {
      return this.topic.sequenceOf(value)
    } catch (error) {
      if (error instanceof OperatingError && !error.retriable) return 0n
      throw error
    }
  }
}

export class TopicCursor {
  private readonly cursors: readonly PartitionCursor[]

  constructor(topic: OutputTopic) {
    this.cursors = topic.partitions
      .filter(({ start, end }) => end > start)
      .map((range) => new PartitionCursor(topic, range))
  }

  /** The first message of each partition, where it has one. */
  async firsts(): Promise<OutputRecord[]> {
    const firsts = await Promise.all(this.cursors.map((cursor) => cursor.peek()))
    return firsts.filter((record) => record !== undefined)
  }

  /** Takes all messages up to a batch from the front of each partition, in the partitions' own order. */
  async upTo(sequence: bigint): Promise<OutputRecord[]> {
    const taken: OutputRecord[] = []
    for (const cursor of this.cursors) {
      for (let record = await cursor.peek(); record !== undefined; record = await cursor.peek()) {
        if (record.sequence > sequence) break
        taken.push(record)
        cursor.take()
      }
    }
    return taken
  }

  /** Everything that is left, partition by partition. */
  async *rest(): AsyncGenerator<OutputRecord> {
    for (const cursor of this.cursors) {
      for (let record = await cursor.peek(); record !== undefined; record = await cursor.peek()) {
        cursor.take()
        yield record
      }
    }
  }

  async close(): Promise<void> {
    for (const cursor of this.cursors) await cursor.close()
  }
}
