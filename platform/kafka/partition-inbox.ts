/**
 * What was fetched of one partition and not yet taken, and the proof that it was fetched without a gap:
 * each fetch must begin where the previous one ended, the first at the claimed position.
 */
import type { IngestRecord } from './ingest-record.ts'

/** Records of one partition that follow each other without a gap. */
export interface IngestChunk {
  topic: string
  partition: number
  /** Where this chunk begins. */
  fetchedOffset: bigint
  /** Where the next one begins; beyond the last record's offset + 1 where records were filtered or compacted away. */
  nextOffset: bigint
  highWatermark: bigint
  /** May be empty: the position advances all the same. */
  records: IngestRecord[]
  /** Sum of the records' sizes in bytes. */
  bytes: number
}

/** What the inbox makes of a fetch. `refused`: it didn't begin at the expected position. */
export type Acceptance = 'accepted' | 'nothing' | 'refused'

export interface TakeLimits {
  recordsMax: number
  bytesMax: number
}

/** What a record takes in memory beside its bytes on the wire, measured on Node 24: its object, two buffers, two bigints (360). */
export const RECORD_OVERHEAD_BYTES = 400

export class PartitionInbox {
  readonly topic: string
  readonly partition: number
  readonly #bytesMax: number
  #chunks: IngestChunk[] = []
  #bytes = 0
  #records = 0
  #expected: bigint
  #taken: bigint
  #highWatermark: bigint
  #refusedInARow = 0

  /** @param options.bytesMax above this many bytes in memory the inbox is full */
  constructor(options: { topic: string; partition: number; startOffset: bigint; bytesMax: number }) {
    this.topic = options.topic
    this.partition = options.partition
    this.#bytesMax = options.bytesMax
    this.#expected = options.startOffset
    this.#taken = options.startOffset
    this.#highWatermark = options.startOffset
  }

  /** Where the next fetch must begin. */
  get expectedOffset(): bigint {
    return this.#expected
  }

  /** How many fetches were refused since the last good one. */
  get refusedInARow(): number {
    return this.#refusedInARow
  }

  get isFull(): boolean {
    return this.#inMemory > this.#bytesMax
  }

  get isBelowHalf(): boolean {
    return this.#inMemory <= this.#bytesMax / 2
  }

  get #inMemory(): number {
    return this.#bytes + this.#records * RECORD_OVERHEAD_BYTES
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0
  }

  /** Records (and markers) between what was taken and the end of the log, as last seen. */
  get lag(): bigint {
    return this.#highWatermark > this.#taken ? this.#highWatermark - this.#taken : 0n
  }

  /** Takes a fetch in if it begins at the expected offset. */
  accept(chunk: IngestChunk): Acceptance {
    if (chunk.fetchedOffset !== this.#expected) {
      this.#refusedInARow++
      return 'refused'
    }
    this.#refusedInARow = 0
    this.#highWatermark = chunk.highWatermark
    if (chunk.nextOffset === chunk.fetchedOffset) return 'nothing'
    this.#expected = chunk.nextOffset
    const last = this.#chunks.at(-1)
    if (chunk.records.length === 0 && last !== undefined) {
      // Otherwise a long run of aborted transactions would fill the queue with empty chunks that cost no bytes.
      last.nextOffset = chunk.nextOffset
    } else {
      this.#chunks.push(chunk)
      this.#bytes += chunk.bytes
      this.#records += chunk.records.length
    }
    return 'accepted'
  }

  /**
   * Takes from the front up to the limits, as one chunk; undefined where nothing is there or nothing fits.
   * A single record larger than bytesMax is given only with `atLeastOne`.
   */
  take(limits: TakeLimits, atLeastOne: boolean): IngestChunk | undefined {
    let result: IngestChunk | undefined
    let { recordsMax, bytesMax } = limits
    for (let chunk = this.#chunks[0]; chunk !== undefined; chunk = this.#chunks[0]) {
      const count = countFitting(chunk, recordsMax, bytesMax, atLeastOne && result === undefined)
      if (count === 0 && chunk.records.length > 0) break
      const part = count === chunk.records.length ? this.#chunks.shift()! : splitFront(chunk, count)
      this.#bytes -= part.bytes
      this.#records -= part.records.length
      recordsMax -= part.records.length
      bytesMax -= part.bytes
      result = result === undefined ? part : append(result, part)
    }
    if (result !== undefined) this.#taken = result.nextOffset
    return result
  }
}

function countFitting(chunk: IngestChunk, recordsMax: number, bytesMax: number, atLeastOne: boolean): number {
  if (chunk.records.length <= recordsMax && chunk.bytes <= bytesMax) return chunk.records.length
  let bytes = 0
  let count = 0
  for (const record of chunk.records) {
    bytes += record.sizeBytes
    if (count >= recordsMax || bytes > bytesMax) break
    count++
  }
  return count === 0 && atLeastOne && recordsMax > 0 ? 1 : count
}

/** Cuts the first `count` records off; the first part ends where the second one's first record is. */
function splitFront(chunk: IngestChunk, count: number): IngestChunk {
  const records = chunk.records.slice(0, count)
  const bytes = records.reduce((sum, record) => sum + record.sizeBytes, 0)
  const part = { ...chunk, records, bytes, nextOffset: chunk.records[count]!.offset }
  chunk.records = chunk.records.slice(count)
  chunk.bytes -= bytes
  chunk.fetchedOffset = part.nextOffset
  return part
}

function append(front: IngestChunk, back: IngestChunk): IngestChunk {
  return {
    ...front,
    nextOffset: back.nextOffset,
    highWatermark: back.highWatermark,
    records: front.records.concat(back.records),
    bytes: front.bytes + back.bytes,
  }
}

/**
 * Takes from several inboxes fairly: each that has something gets an equal share of the limits, and what one leaves over the
 * others get. `startIndex` rotates who is first, so that the remainder doesn't always go to the same one.
 * A chunk for each partition at most, in offset order; empty where nothing is buffered.
 */
export function takeFairly(
  inboxes: readonly PartitionInbox[],
  limits: TakeLimits,
  startIndex: number,
): { inbox: PartitionInbox; chunk: IngestChunk }[] {
  const taken = new Map<PartitionInbox, IngestChunk>()
  let { recordsMax, bytesMax } = limits
  const start = inboxes.length === 0 ? 0 : startIndex % inboxes.length
  let waiting = [...inboxes.slice(start), ...inboxes.slice(0, start)].filter((inbox) => !inbox.isEmpty)
  while (waiting.length > 0 && recordsMax > 0 && bytesMax > 0) {
    const share = {
      recordsMax: Math.ceil(recordsMax / waiting.length),
      bytesMax: Math.ceil(bytesMax / waiting.length),
    }
    const next: PartitionInbox[] = []
    for (const inbox of waiting) {
      // Whoever is first gets a record even if it exceeds its share: as the first one rotates, nobody starves.
      const part = inbox.take(
        { recordsMax: Math.min(share.recordsMax, recordsMax), bytesMax: Math.min(share.bytesMax, bytesMax) },
        taken.size === 0,
      )
      if (part === undefined) continue
      recordsMax -= part.records.length
      bytesMax -= part.bytes
      const before = taken.get(inbox)
      taken.set(inbox, before === undefined ? part : append(before, part))
      if (!inbox.isEmpty) next.push(inbox)
    }
    waiting = next
  }
  return [...taken].map(([inbox, chunk]) => ({ inbox, chunk }))
}
