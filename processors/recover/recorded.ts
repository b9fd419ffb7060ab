/** The recorded history, as far as it is known outside of Postgres: batch headers with their hashes, from the archive, then from the topic. */
import type { BatchHeader } from '#domain/ledger/batch-record.ts'
import { IncidentError } from '#platform/errors.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import { batchAlone, type BatchSpan } from '../runtime/batch-span.ts'
import { REPAIR_HEADER } from '../runtime/repair.ts'

/** A batch as it was committed. */
export interface RecordedBatch {
  readonly sequence: bigint
  readonly previousHash: Buffer
  readonly hash: Buffer
  readonly header: BatchHeader
  /** As it was hashed. */
  readonly headerBytes: Buffer
  readonly timeline: bigint
  readonly origin: 'archive' | 'topics'
}

/** What one partition gave to a stretch of the history. */
export interface RecordedRange {
  readonly cluster: string
  readonly topic: string
  readonly partition: number
  readonly from: bigint
  readonly next: bigint
  /** The batches that read it, or the segments that these are in. */
  readonly batches: BatchSpan
}

/** Where recorded batches come from. */
export interface RecordedHistory {
  /** All batches after a sequence that are known here, in sequence. @throws IncidentError `recover_gap` where some between them are not */
  after(sequence: bigint): AsyncIterable<RecordedBatch>
  /** What they read, by partition, in ledger order; and where they end. */
  plan(sequence: bigint): Promise<HistoryPlan>
}

export interface HistoryPlan {
  readonly ranges: readonly RecordedRange[]
  readonly last: bigint
  /** The last batch on the topic: published at least; 0 = none there. */
  readonly published: bigint
  /** The highest timeline that was seen. */
  readonly timeline: bigint
  readonly genesis: { readonly tickMs: number; readonly logicVersion: number } | null
}

/** Adds ranges that follow each other into one a partition. */
export class RangeCollector {
  private readonly all: { -readonly [key in keyof RecordedRange]: RecordedRange[key] }[] = []
  /** By name, the range that is read now; none behind a jump. */
  private readonly current = new Map<string, (typeof this.all)[number]>()

  /** The next range of a partition may begin anywhere: its position was set anew. */
  jump({ cluster, topic, partition }: Pick<RecordedRange, 'cluster' | 'topic' | 'partition'>): void {
    this.current.delete(`${cluster}/${topic}:${partition}`)
  }

  /** @throws IncidentError `recover_gap` where a range doesn't begin where the last one ended */
  add(range: RecordedRange): void {
    const name = `${range.cluster}/${range.topic}:${range.partition}`
    const known = this.current.get(name)
    if (known === undefined) {
      const added = { ...range }
      this.current.set(name, added)
      this.all.push(added)
      return
    }
    if (known.next !== range.from) {
      throw new IncidentError(
        'recover_gap',
        `${name}: expected a batch that reads from ${known.next}, found ${range.from}`,
      )
    }
    known.next = range.next
    known.batches = { first: known.batches.first, last: range.batches.last }
  }

  /** What one batch read. @throws IncidentError `recover_gap` as add */
  addBatch(sequence: bigint, { cluster, sources, jumps = [] }: BatchHeader): void {
    for (const jump of jumps) this.jump({ cluster, topic: jump.topic, partition: jump.partition })
    for (const { topic, partition, from, next } of sources) {
      this.add({
        cluster,
        topic,
        partition,
        from: BigInt(from),
        next: BigInt(next),
        batches: batchAlone(sequence),
      })
    }
  }

  /** A partition has several where its position was set anew, in the order in which they are read. */
  get ranges(): RecordedRange[] {
    return this.all
  }
}

/** A value of `ledger.batches` (schemas/avro/ledger-batch.avsc). */
export interface LedgerBatchValue {
  readonly sequence: bigint
  readonly previousHash: Buffer
  readonly hash: Buffer
  readonly header: Buffer
  readonly timeline: bigint
  readonly genesisTick: bigint | null
  readonly genesisLogic: number | bigint | null
}

/** The topic `ledger.batches` as it is now: read from its beginning. */
export interface BatchTopic {
  read(): AsyncIterable<readonly IngestRecord[]>
  decode(values: readonly Buffer[]): Promise<LedgerBatchValue[]>
}

/** What recovery needs of an archive (processors/archive/archive.ts). */
export interface ArchivedHistory {
  batches(from: bigint): AsyncIterable<{
    readonly sequence: bigint
    readonly previousHash: Buffer
    readonly hash: Buffer
    readonly header: Buffer
  }>
  manifests(): AsyncIterable<{
    readonly manifest: {
      readonly cluster: string
      readonly timeline: string
      readonly genesis: { readonly tick_ms: number; readonly logic_version: number } | null
      readonly batches: { readonly first: string; readonly last: string }
      readonly records: readonly {
        readonly topic: string
        readonly partition: number
        readonly from: string
        readonly next: string
      }[]
      /** By cluster and 'topic:partition': how far they are archived. */
      readonly positions: Readonly<Record<string, Readonly<Record<string, string>>>>
    }
  }>
}

/** The archive first, the topic behind it. @param archive as of its last refresh; null = there is none */
export const recordedHistory = (archive: ArchivedHistory | null, topic: BatchTopic): RecordedHistory => ({
  async *after(sequence) {
    let last = sequence
    if (archive !== null) {
      for await (const batch of archive.batches(sequence + 1n)) {
        last = batch.sequence
        yield recorded(batch, 0n, 'archive')
      }
    }
    for await (const value of valuesAfter(topic, last)) {
      yield recorded(value, value.timeline, 'topics')
      last = value.sequence
    }
  },
  async plan(sequence) {
    const collector = new RangeCollector()
    let last = sequence
    let timeline = 0n
    let genesis: HistoryPlan['genesis'] = null
    let archived: Readonly<Record<string, Readonly<Record<string, string>>>> = {}
    for await (const { manifest } of archive?.manifests() ?? []) {
      const before = archived
      archived = manifest.positions
      timeline = timeline < BigInt(manifest.timeline) ? BigInt(manifest.timeline) : timeline
      if (manifest.genesis !== null) {
        genesis = { tickMs: manifest.genesis.tick_ms, logicVersion: manifest.genesis.logic_version }
      }
      if (BigInt(manifest.batches.last) <= sequence) continue
      last = BigInt(manifest.batches.last)
      // Some of its batches are there already: the others say what they read.
      if (BigInt(manifest.batches.first) <= sequence) {
        for await (const batch of archive!.batches(sequence + 1n)) {
          if (batch.sequence > last) break
          collector.addBatch(batch.sequence, JSON.parse(batch.header.toString('utf8')) as BatchHeader)
        }
        continue
      }
      for (const { topic: name, partition, from, next } of manifest.records) {
        const range = {
          cluster: manifest.cluster,
          topic: name,
          partition,
          from: BigInt(from),
          next: BigInt(next),
          batches: { first: BigInt(manifest.batches.first), last },
        }
        // Its batches say that the position was set anew, and are believed by their hashes.
        if (before[manifest.cluster]?.[`${name}:${partition}`] !== from) collector.jump(range)
        collector.add(range)
      }
    }
    let published = 0n
    const onSeen = (seen: bigint): void => {
      if (seen > published) published = seen
    }
    for await (const value of valuesAfter(topic, last, onSeen)) {
      if (timeline < value.timeline) timeline = value.timeline
      if (value.genesisTick !== null) {
        genesis = { tickMs: Number(value.genesisTick), logicVersion: Number(value.genesisLogic) }
      }
      last = value.sequence
      collector.addBatch(value.sequence, JSON.parse(value.header.toString('utf8')) as BatchHeader)
    }
    return { ranges: collector.ranges, last, published, timeline, genesis }
  },
})

const recorded = (
  batch: { sequence: bigint; previousHash: Buffer; hash: Buffer; header: Buffer },
  timeline: bigint,
  origin: RecordedBatch['origin'],
): RecordedBatch => ({
  sequence: batch.sequence,
  previousHash: batch.previousHash,
  hash: batch.hash,
  header: JSON.parse(batch.header.toString('utf8')) as BatchHeader,
  headerBytes: batch.header,
  timeline,
  origin,
})

/**
 * The topic's batches after a sequence, without a gap. One that is there twice (as after a repair) counts once; one that a repair put
 * behind its turn is looked for where it is missed.
 */
async function* valuesAfter(
  topic: BatchTopic,
  sequence: bigint,
  onSeen: (sequence: bigint) => void = () => undefined,
): AsyncGenerator<LedgerBatchValue> {
  let last = sequence
  let repaired: Map<bigint, LedgerBatchValue> | undefined
  for await (const chunk of topic.read()) {
    for (const value of await topic.decode(chunk.map((record) => record.value!))) {
      onSeen(value.sequence)
      if (value.sequence > last + 1n) repaired ??= await repairedAfter(topic, last)
      for (; last + 1n < value.sequence; last += 1n) {
        const mended = repaired?.get(last + 1n)
        if (mended === undefined) {
          throw new IncidentError(
            'recover_gap',
            `expected batch ${last + 1n} behind what is there or archived, the topic goes on with ${value.sequence}`,
          )
        }
        yield mended
      }
      if (value.sequence <= last) continue
      last = value.sequence
      yield value
    }
  }
}

/** What repairs have published of batches after a sequence: few, or the topic is one repair. */
const repairedAfter = async (topic: BatchTopic, sequence: bigint): Promise<Map<bigint, LedgerBatchValue>> => {
  const found = new Map<bigint, LedgerBatchValue>()
  for await (const chunk of topic.read()) {
    const marked = chunk.filter(({ headers }) => headers?.[REPAIR_HEADER] !== undefined)
    for (const value of await topic.decode(marked.map((record) => record.value!))) {
      if (value.sequence > sequence) found.set(value.sequence, value)
    }
  }
  return found
}
