/**
 * Compares all output topics with the batch records, up to what was published. Batches are read once, in sequence; each topic's
 * partitions are read once, beside them.
 */
import type { StoredBatch } from '#platform/postgres/batch-store.ts'
import { type ContentOf, type ExpectedOutput, type OutputFinding, TopicComparison } from './compare.ts'
import { CompactedComparison } from './compare-compacted.ts'
import { type OutputRecord, type OutputTopic, TopicCursor } from './topic-cursor.ts'

export interface AuditedTopic {
  /** Name without the ledger's prefix. */
  readonly name: string
  readonly isCompacted: boolean
  readonly topic: OutputTopic
  readonly contentOf: ContentOf
  /** The partition that a message goes to. */
  partitionOf(output: ExpectedOutput): number
}

export interface OutputAuditOptions {
  readonly topics: readonly AuditedTopic[]
  /** Outputs of batches up to this one aren't on these topics (0 = all are). */
  readonly after: bigint
  /** The last batch that was published. */
  readonly published: bigint
  /** All batches between the two that are kept, in sequence. */
  readonly batches: AsyncIterable<StoredBatch>
  /** The last batch that is decided by now. Asked for when the ends of the topics are known: none of their messages can be newer. */
  decided(): Promise<bigint>
  /** What a batch must have sent, by topic without prefix. */
  expectedOf(batch: StoredBatch): Promise<ReadonlyMap<string, readonly ExpectedOutput[]>>
  readonly onBatch: (sequence: bigint) => void
  readonly signal: AbortSignal
}

/** A message to be published to mend the outputs. */
export interface MissingOutput {
  readonly topic: string
  readonly sequence: bigint
  readonly output: ExpectedOutput
}

export interface TopicReport {
  readonly topic: string
  readonly expected: number
  readonly found: number
  readonly missing: number
  readonly repeated: number
  readonly out_of_order: number
  readonly different: number
}

export interface OutputReport {
  readonly batches: number
  readonly topics: readonly TopicReport[]
  readonly findings: readonly OutputFinding[]
  readonly missing: readonly MissingOutput[]
}

/** @throws OperatingError of Kafka, Postgres or the registry; the signal's reason: half an audit says nothing */
export const auditOutputs = async (options: OutputAuditOptions): Promise<OutputReport> => {
  const watches: Watch[] = []
  for (const topic of options.topics) watches.push(await openWatch(topic))
  let batches = 0
  try {
    for (const watch of watches) await watch.skipBefore(options.after + 1n)
    for await (const batch of options.batches) {
      options.signal.throwIfAborted()
      const expected = await options.expectedOf(batch)
      for (const watch of watches) {
        if (batches === 0) await watch.skipBefore(batch.sequence)
        await watch.batch(batch.sequence, expected.get(watch.name) ?? [])
      }
      batches += 1
      options.onBatch(batch.sequence)
    }
    // What is of a published batch that isn't kept behind those that are, was taken away: it is of no batch.
    const stretch = { published: options.published, decided: await options.decided() }
    for (const watch of watches) await watch.end(stretch)
  } finally {
    for (const watch of watches) await watch.close()
  }
  return {
    batches,
    topics: watches.map((watch) => watch.report()),
    findings: watches.flatMap((watch) => watch.findings),
    missing: watches.flatMap((watch) => watch.missing),
  }
}

interface Stretch {
  readonly published: bigint
  readonly decided: bigint
}

/** What is of batches between the two may have been published meanwhile; what is of a later one is of none. */
const isCompared = ({ sequence }: OutputRecord, { published, decided }: Stretch): boolean =>
  sequence <= published || sequence > decided

/** One topic under comparison. */
interface Watch {
  readonly name: string
  readonly findings: readonly OutputFinding[]
  readonly missing: readonly MissingOutput[]
  /** Messages of batches that Postgres no longer has can't be compared. */
  skipBefore(sequence: bigint): Promise<void>
  batch(sequence: bigint, expected: readonly ExpectedOutput[]): Promise<void>
  /** The rest of the topic. */
  end(stretch: Stretch): Promise<void>
  report(): TopicReport
  close(): Promise<void>
}

const openWatch = async (audited: AuditedTopic): Promise<Watch> => {
  const cursor = new TopicCursor(audited.topic)
  return audited.isCompacted ? compactedWatch(audited, cursor) : await fullWatch(audited, cursor)
}

const fullWatch = async (audited: AuditedTopic, cursor: TopicCursor): Promise<Watch> => {
  const comparison = new TopicComparison(audited.name, audited.contentOf)
  const keptFrom = await firstKept(audited, cursor)
  return {
    name: audited.name,
    findings: comparison.findings,
    get missing() {
      return comparison.missing.map((each) => ({ topic: audited.name, ...each }))
    },
    skipBefore: async (sequence) => {
      comparison.comparedFrom = sequence
      await cursor.upTo(sequence - 1n)
    },
    batch: async (sequence, expected) => {
      const isKept = (output: ExpectedOutput): boolean =>
        sequence > (keptFrom.get(audited.partitionOf(output)) ?? 0n)
      comparison.batch(sequence, expected, await cursor.upTo(sequence), isKept)
    },
    end: async (stretch) => {
      // Late ones stand behind messages of newer batches.
      for await (const record of cursor.rest()) if (isCompared(record, stretch)) comparison.lateRecord(record)
      comparison.end()
    },
    report: () => reportOf(audited.name, comparison),
    close: () => cursor.close(),
  }
}

/** By partition whose beginning is gone: the batch of its first message, of which a part may be gone too. */
const firstKept = async (
  { topic }: AuditedTopic,
  cursor: TopicCursor,
): Promise<ReadonlyMap<number, bigint>> => {
  const kept = new Map<number, bigint>()
  const cut = topic.partitions.filter(({ start }) => start > 0n)
  if (cut.length === 0) return kept
  const firsts = await cursor.firsts()
  for (const { partition } of cut) {
    const first = firsts.find((record) => record.partition === partition)
    kept.set(partition, first?.sequence ?? ALL_GONE)
  }
  return kept
}

const ALL_GONE = 2n ** 63n - 1n

const compactedWatch = (audited: AuditedTopic, cursor: TopicCursor): Watch => {
  const comparison = new CompactedComparison(audited.name, audited.contentOf)
  return {
    name: audited.name,
    findings: comparison.findings,
    get missing() {
      return comparison.missing.map((each) => ({ topic: audited.name, ...each }))
    },
    skipBefore: async (sequence) => {
      comparison.comparedFrom = sequence
    },
    batch: async (sequence, expected) => {
      for (const output of expected) comparison.expect(sequence, output)
    },
    end: async (stretch) => {
      for await (const record of cursor.rest()) if (isCompared(record, stretch)) comparison.record(record)
      comparison.end()
    },
    report: () => reportOf(audited.name, comparison),
    close: () => cursor.close(),
  }
}

const reportOf = (
  topic: string,
  {
    expected,
    found,
    unlisted,
    findings,
  }: { expected: number; found: number; unlisted: number; findings: readonly OutputFinding[] },
): TopicReport => {
  const count = (kind: OutputFinding['kind']): number => findings.filter((each) => each.kind === kind).length
  return {
    topic,
    expected,
    found,
    missing: count('missing') + unlisted,
    repeated: count('repeated'),
    out_of_order: count('out_of_order'),
    different: count('different'),
  }
}
