/**
 * Going on in another Kafka cluster, to which the ingest topics were copied. Its offsets mean something else, so a partition is
 * searched from the time of the last applied record, less a margin, for that record; where it isn't there, nothing is read.
 *
 * What follows in the copy was copied behind it, so reading goes on right there: reference data and rules told again would be
 * believed again. Transactions are told apart by their ids, so of them the whole overlap is read once more: a copy that changed
 * their order loses none.
 */
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { OperatingError } from '#platform/errors.ts'
import type { KafkaAdmin } from '#platform/kafka/admin.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { PartitionRange } from '#platform/kafka/offset-ranges.ts'
import type { IngestChunk } from '#platform/kafka/partition-inbox.ts'
import type { RangeReader } from '#platform/kafka/range-reader.ts'
import type { Adoption, Origin } from '#platform/postgres/clusters.ts'
import { TOPICS } from '#schemas/topics.ts'
import { lastRecord } from './last-record.ts'
import type { PartitionIncident } from './stopped-partitions.ts'

export interface OtherClusterOptions {
  readonly topicPrefix: string
  /** How much earlier than the last applied record the search begins, ms. */
  readonly overlapMs: number
  readonly admin: Pick<KafkaAdmin, 'ranges' | 'offsetsAt'>
  readonly reader: Pick<RangeReader, 'read'>
  readonly decode: (chunk: IngestChunk) => Promise<LedgerInput[]>
  /** Whether any of some transactions was taken with the same content. */
  readonly isAnyTaken: (transactions: readonly { key: string; content: string }[]) => Promise<boolean>
}

/** Transactions are looked up so many at a time, and no more than so many of one partition. */
const LOOK_UP = { recordsMax: 1_000, allMax: 100_000 }

export class OtherCluster {
  private readonly options: OtherClusterOptions

  constructor(options: OtherClusterOptions) {
    this.options = options
  }

  /** Where a partition goes on in this cluster, or why nobody can say. @throws OperatingError of Kafka and Postgres */
  async find(origin: Origin): Promise<Adoption | PartitionIncident> {
    const { topic, partition, last } = origin
    const fullName = `${this.options.topicPrefix}${topic}`
    const range = (await this.options.admin.ranges(fullName)).find((entry) => entry.partition === partition)
    if (range === undefined) return this.unknown(origin, 'the partition is not there')
    // Ticks say where the other cluster's logs ended; newer ones of this cluster will come.
    const isTicks = topic === TOPICS.ticks.name
    if (last === null || isTicks) {
      if (!origin.isKnown) return this.unknown(origin, 'no applied record of any partition was found yet')
      const nextOffset = isTicks ? range.end : larger(range.start, origin.readBefore)
      return {
        topic,
        partition,
        nextOffset,
        isProof: false,
        last: null,
        timestampMs: last?.timestampMs ?? null,
      }
    }
    const times = await this.options.admin.offsetsAt(fullName, last.timestampMs - this.options.overlapMs)
    const start = larger(times.get(partition) ?? range.end, range.start)
    return await this.findLast(origin, last, { ...range, start })
  }

  private async findLast(
    { topic, partition, readBefore, ...origin }: Origin,
    { hash, timestampMs }: NonNullable<Origin['last']>,
    range: PartitionRange,
  ): Promise<Adoption | PartitionIncident> {
    const adopted = { topic, partition, isProof: true, timestampMs }
    const found = await this.first(topic, range, (record) => lastRecord(record)!.hash.equals(hash))
    if (topic === TOPICS.transactions.name) {
      if (found !== undefined || (await this.isAnyTaken(topic, range))) {
        // The record found may be read once more: it isn't the last one below.
        return { ...adopted, nextOffset: larger(range.start, readBefore), last: null }
      }
    } else if (found !== undefined) {
      return { ...adopted, nextOffset: larger(found.offset + 1n, readBefore), last: lastRecord(found) }
    }
    const detail = `the last applied record is not between offsets ${range.start} and ${range.end}`
    return this.unknown({ topic, partition, readBefore, ...origin }, detail)
  }

  /** The first visible record that is so. */
  private async first(
    topic: string,
    range: PartitionRange,
    isIt: (record: IngestRecord) => boolean,
  ): Promise<IngestRecord | undefined> {
    for await (const records of this.chunks(topic, range)) {
      const found = records.find(isIt)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** Where the copy lacks the last records, an earlier transaction that was taken proves whose copy it is. */
  private async isAnyTaken(topic: string, range: PartitionRange): Promise<boolean> {
    let left = LOOK_UP.allMax
    for await (const chunk of this.chunks(topic, range)) {
      for (let at = 0; at < chunk.length && left > 0; at += LOOK_UP.recordsMax) {
        const records = chunk.slice(at, at + LOOK_UP.recordsMax)
        const inputs = await this.options.decode(this.chunkOf(topic, range, records))
        if (await this.options.isAnyTaken(inputs.filter((input) => input.type === 'transaction'))) return true
        left -= records.length
      }
      if (left <= 0) break
    }
    return false
  }

  private chunkOf(topic: string, { partition, end }: PartitionRange, records: IngestRecord[]): IngestChunk {
    const fullName = `${this.options.topicPrefix}${topic}`
    const offsets = {
      fetchedOffset: records[0]!.offset,
      nextOffset: records.at(-1)!.offset + 1n,
      highWatermark: end,
    }
    return { topic: fullName, partition, ...offsets, records, bytes: 0 }
  }

  private async *chunks(
    topic: string,
    { partition, start, end }: PartitionRange,
  ): AsyncGenerator<IngestRecord[]> {
    try {
      yield* this.options.reader.read(`${this.options.topicPrefix}${topic}`, partition, start, end)
    } catch (error) {
      // Behind a transaction that is still open nothing can be read, nor has anything been applied.
      if (!(error instanceof OperatingError && error.code === 'records_gone')) throw error
    }
  }

  private unknown({ topic, partition }: Origin, detail: string): PartitionIncident {
    return { topic, partition, code: 'cluster_unknown_history', detail }
  }
}

const larger = (a: bigint, b: bigint): bigint => (a < b ? b : a)

/** What a processor needs in order to go on in another cluster. */
export interface ClusterHistory {
  /** Those of some partitions whose history must be found before they are read; those with most to find first. */
  origins(partitions: readonly { topic: string; partition: number }[]): Promise<Origin[]>
  /** Finds it and keeps where the partition goes on; or says why nobody knows. */
  adopt(origin: Origin): Promise<PartitionIncident | null>
}

/** @throws OperatingError of Kafka and Postgres, from its calls */
export const makeClusterHistory = (
  options: OtherClusterOptions & {
    readonly readOrigins: ClusterHistory['origins']
    readonly keep: (adoption: Adoption) => Promise<void>
  },
): ClusterHistory => {
  const cluster = new OtherCluster(options)
  return {
    origins: async (partitions) => {
      const origins = await options.readOrigins(partitions)
      return origins.toSorted((a, b) => Number(a.last === null) - Number(b.last === null))
    },
    adopt: async (origin) => {
      const result = await cluster.find(origin)
      if ('code' in result) return result
      await options.keep(result)
      return null
    },
  }
}
