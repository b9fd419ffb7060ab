/**
 * How far a ledger's outputs have left. Kafka says it twice: as the position that every transaction commits, which brokers forget a
 * week after the last commit, and in the outputs themselves, whose topic `ledger.batches` has one record for each batch.
 */
import { IncidentError } from '#platform/errors.ts'
import type { KafkaAdmin } from '#platform/kafka/admin.ts'
import type { GroupPosition } from '#platform/kafka/fenced-producer.ts'
import type { RangeReader } from '#platform/kafka/range-reader.ts'
import { tailOf } from '#platform/kafka/topic-tail.ts'
import type { BatchStore } from '#platform/postgres/batch-store.ts'
import { TOPICS } from '#schemas/topics.ts'
import { REPAIR_HEADER } from '../runtime/repair.ts'

/** Where the position is committed. Its offset is a sequence: no offset of any topic. */
export const publisherGroup = (topicPrefix: string, ledger: string): GroupPosition => ({
  groupId: `tallystream.publisher.${ledger}`,
  topic: `${topicPrefix}transactions.processed`,
  partition: 0,
})

/**
 * The sequence of the last batch whose outputs are visible; undefined where none is there. What a repair put behind its turn is
 * looked at together with what stands before it. @throws OperatingError of Kafka
 */
export const lastPublishedBatch = async (
  admin: Pick<KafkaAdmin, 'ranges'>,
  reader: Pick<RangeReader, 'read'>,
  topicPrefix: string,
): Promise<bigint | undefined> => {
  const place = { topic: `${topicPrefix}${TOPICS.batches.name}`, partition: 0 }
  const tail = await tailOf({ admin, reader }, place, ({ headers }) => headers?.[REPAIR_HEADER] !== undefined)
  let last: bigint | undefined
  for (const { key } of tail) {
    const sequence = sequenceOf(key)
    if (last === undefined || sequence > last) last = sequence
  }
  return last
}

const sequenceOf = (key: Buffer | null): bigint => {
  const text = key?.toString('utf8') ?? ''
  if (/^\d{1,18}$/.test(text)) return BigInt(text)
  throw new IncidentError('outputs_foreign', `the last record of ${TOPICS.batches.name} is not of a batch`)
}

/** So many batches at most are in one transaction: two answers that differ by more are not about the same outputs. */
const TRANSACTION_BATCHES_MAX = 64n

/**
 * Where publishing goes on: behind this batch.
 * @param committed the committed position; undefined where the brokers hold none
 * @param seen the last batch whose outputs are visible; undefined where there are none (or nobody looked)
 * @throws IncidentError `publisher_position_lost`, `database_behind_published`
 */
export const resumeAfter = (
  committed: bigint | undefined,
  seen: bigint | undefined,
  head: { readonly sequence: bigint; readonly publishedSequence: bigint; readonly publishedBefore?: bigint },
): bigint => {
  const { publishedSequence, publishedBefore = 0n } = head
  const position = agreed(committed, seen)
  expectNotBehind(position, head)
  // What left before the ledger changed its cluster need not be on this one; what is there was copied, and is not sent again.
  if (publishedSequence <= publishedBefore) return position ?? publishedBefore
  if ((position ?? 0n) < publishedSequence) {
    throw new IncidentError(
      'publisher_position_lost',
      `batches up to ${head.publishedSequence} were published, but Kafka ${position === undefined ? 'holds neither a position nor outputs' : `has them up to ${position}`}`,
    )
  }
  return position ?? 0n
}

/** A torn transaction may have left one without the other: what is sent twice can be told by its sequence, what isn't sent can't. */
const agreed = (committed: bigint | undefined, seen: bigint | undefined): bigint | undefined => {
  if (committed === undefined || seen === undefined) return committed ?? seen
  const [less, more] = committed < seen ? [committed, seen] : [seen, committed]
  return more - less <= TRANSACTION_BATCHES_MAX ? less : seen
}

/**
 * Nobody may decide on a database that ends before what was published: its next batches would be other ones than those that left.
 * @throws IncidentError `database_behind_published`, OperatingError of Kafka or Postgres
 */
export const expectNotRestored = async (options: {
  readonly committed: () => Promise<bigint | undefined>
  readonly seen: () => Promise<bigint | undefined>
  readonly store: Pick<BatchStore, 'readHead'>
}): Promise<void> => {
  // Kafka first: the head only grows.
  const position = agreed(await options.committed(), await options.seen())
  expectNotBehind(position, await options.store.readHead())
}

const expectNotBehind = (position: bigint | undefined, head: { readonly sequence: bigint }): void => {
  if (position === undefined || position <= head.sequence) return
  throw new IncidentError(
    'database_behind_published',
    `batch ${position} was published, but the database ends at ${head.sequence}: it was restored to an earlier moment. Stop the engine and run: npx tallystream recover`,
  )
}
