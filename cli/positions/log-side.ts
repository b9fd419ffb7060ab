/** What Kafka says of a ledger's positions: where its logs begin and end, and whether the last applied records are in them. */
import type { CommandContext } from '#cli/command.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { OperatingError } from '#platform/errors.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import type { PartitionRange } from '#platform/kafka/offset-ranges.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import type { StoredPosition } from '#platform/postgres/positions.ts'
import { lastPublishedBatch, publisherGroup } from '#processors/publish/position.ts'
import { lastRecord } from '#processors/runtime/last-record.ts'

const TIMEOUT_MS = 10_000

export interface LogSide {
  /** 'topic:partition' → its log; without those whose topic isn't there. */
  ranges(positions: readonly StoredPosition[]): Promise<Map<string, PartitionRange>>
  /** What the log has at the last applied record. */
  check(position: StoredPosition, range: PartitionRange | undefined): Promise<Verdict>
  /** The publisher's committed position, and the last batch whose outputs are visible. */
  publisher(): Promise<{ committed: bigint | undefined; seen: bigint | undefined }>
}

/** `gone`, `unknown`: retention has deleted the last applied record, or there is none; the topic is the one that was first read. */
export type Verdict = 'same' | 'other' | 'gone' | 'out_of_range' | 'unknown'

/** The command's end closes it. */
export function openLogSide(context: CommandContext, { kafka, ledger }: Configuration): LogSide {
  const client = makeKafka(kafka, { clientId: 'tallystream-cli' })
  const admin = new KafkaAdmin(client, { timeoutMs: TIMEOUT_MS })
  const reader = new RangeReader(client)
  context.onClose(() => Promise.all([admin.close(), reader.close()]).then(() => undefined))
  return {
    ranges: async (positions) => {
      const found = new Map<string, PartitionRange>()
      for (const topic of new Set(positions.map((position) => position.topic))) {
        const ranges = await admin.ranges(`${ledger.topicPrefix}${topic}`).catch(nothingThere)
        for (const range of ranges) found.set(`${topic}:${range.partition}`, range)
      }
      return found
    },
    check: async ({ topic, partition, nextOffset, last, topicId }, range) => {
      if (range === undefined || nextOffset < range.start || nextOffset > range.end) return 'out_of_range'
      if (last === null || last.offset < range.start) {
        const name = `${ledger.topicPrefix}${topic}`
        const found = (await admin.topicIds([name]))?.get(name)
        if (found !== undefined && topicId !== null && found !== topicId) return 'other'
        return last === null ? 'unknown' : 'gone'
      }
      for await (const records of reader.read(
        `${ledger.topicPrefix}${topic}`,
        partition,
        last.offset,
        last.offset + 1n,
      )) {
        const isSame = records.some((record) => lastRecord(record)!.hash.equals(last.hash))
        return isSame ? 'same' : 'other'
      }
      return 'other'
    },
    publisher: async () => ({
      committed: await admin.committedOffset(publisherGroup(ledger.topicPrefix, ledger.name)),
      seen: await lastPublishedBatch(admin, reader, ledger.topicPrefix),
    }),
  }
}

const nothingThere = (error: unknown): PartitionRange[] => {
  if (error instanceof OperatingError && error.code === 'topic_unknown') return []
  throw error
}
