/**
 * Compares the messages of an output topic with what the batch records say must be there. A message belongs to a batch by the
 * sequence in it; within a batch messages are told apart by key and content. Pure: values in, findings out.
 */
import { createHash } from 'node:crypto'
import type { OutputRecord } from './topic-cursor.ts'

/** What a batch says must be on a topic. */
export interface ExpectedOutput {
  readonly key: Buffer
  readonly value: Buffer
}

export type OutputFindingKind = 'missing' | 'repeated' | 'out_of_order' | 'different'

export interface OutputFinding {
  readonly topic: string
  readonly kind: OutputFindingKind
  /** Batch. */
  readonly sequence: string
  readonly key: string
  /** Where the message is; null for one that is missing. */
  readonly partition: number | null
  readonly offset: string | null
}

/** What tells a message apart within its batch. */
export type ContentOf = (value: Buffer) => string

/** By its bytes. */
export const bytesOf: ContentOf = (value) => createHash('sha256').update(value).digest('base64')

/** Kept of one topic: for saying which, and for mending them. Where more are missing, the audit is run again after a repair. */
const MISSING_MAX = 50_000

interface Place {
  readonly output: ExpectedOutput
  readonly index: number
  found: boolean
}

/** The comparison of one topic over a stretch of batches, to be fed batch by batch. */
export class TopicComparison {
  readonly topic: string
  readonly missing: { readonly sequence: bigint; readonly output: ExpectedOutput }[] = []
  readonly findings: OutputFinding[] = []
  expected = 0
  found = 0
  /** Missing ones beyond those that are kept: counted only. */
  unlisted = 0
  /** The first batch that is compared: what a repair published of an older one is of no interest. */
  comparedFrom = 1n
  private readonly contentOf: ContentOf
  /** By key and content: outputs of batches that are passed and weren't found. A late one is found here. */
  private readonly late = new Map<string, { place: Place; sequence: bigint }>()

  constructor(topic: string, contentOf: ContentOf = bytesOf) {
    this.topic = topic
    this.contentOf = contentOf
  }

  /**
   * One batch: what it must have sent, and what the partitions hold up to it (in their order), not given before.
   * @param isKept false for outputs whose partition may have let go of them already
   */
  batch(
    sequence: bigint,
    expected: readonly ExpectedOutput[],
    records: readonly OutputRecord[],
    isKept: (output: ExpectedOutput) => boolean = () => true,
  ): void {
    const places = new Map<string, Place[]>()
    for (const [index, output] of expected.entries()) {
      const name = this.nameOf(output.key, output.value)
      const place = { output, index, found: false }
      const same = places.get(name)
      if (same === undefined) places.set(name, [place])
      else same.push(place)
      this.expected += 1
    }
    const reached = new Map<number, number>()
    const strangers: OutputRecord[] = []
    for (const record of records) {
      if (record.sequence !== sequence) this.lateRecord(record)
      else this.record(record, places, reached, strangers)
    }
    this.unfound(sequence, [...places.values()].flat(), strangers, isKept)
  }

  private record(
    record: OutputRecord,
    places: ReadonlyMap<string, Place[]>,
    reached: Map<number, number>,
    strangers: OutputRecord[],
  ): void {
    this.found += 1
    const same = places.get(this.nameOf(record.key, record.value))
    if (same === undefined) {
      strangers.push(record)
      return
    }
    const place = same.find((each) => !each.found)
    if (place === undefined) {
      this.find('repeated', record)
      return
    }
    place.found = true
    const before = reached.get(record.partition) ?? -1
    if (place.index < before && !record.isRepair) this.find('out_of_order', record)
    reached.set(record.partition, Math.max(before, place.index))
  }

  /** A message behind its turn: what a repair put there is as it should be. */
  lateRecord(record: OutputRecord): void {
    if (record.isRepair && record.sequence > 0n && record.sequence < this.comparedFrom) return
    this.found += 1
    const name = `${record.sequence} ${this.nameOf(record.key, record.value)}`
    const missing = this.late.get(name)
    if (missing === undefined) {
      this.find('repeated', record)
      return
    }
    this.late.delete(name)
    if (!record.isRepair) this.find('out_of_order', record)
  }

  private unfound(
    sequence: bigint,
    places: readonly Place[],
    strangers: readonly OutputRecord[],
    isKept: (output: ExpectedOutput) => boolean,
  ): void {
    for (const place of places) {
      if (place.found || !isKept(place.output)) continue
      if (this.late.size >= MISSING_MAX) {
        this.unlisted += 1
        continue
      }
      // A copy: the batch's other outputs need not stay in memory.
      const output = { key: Buffer.from(place.output.key), value: Buffer.from(place.output.value) }
      const name = this.nameOf(output.key, output.value)
      this.late.set(`${sequence} ${name}`, { place: { ...place, output }, sequence })
    }
    for (const record of strangers) this.find('different', record)
  }

  /** Ends it: what was not found by now is missing. */
  end(): void {
    const waiting = [...this.late.values()].sort((a, b) =>
      a.sequence === b.sequence ? a.place.index - b.place.index : a.sequence < b.sequence ? -1 : 1,
    )
    for (const { sequence, place } of waiting) {
      this.missing.push({ sequence, output: place.output })
      this.findings.push({
        topic: this.topic,
        kind: 'missing',
        sequence: String(sequence),
        key: place.output.key.toString('utf8'),
        partition: null,
        offset: null,
      })
    }
    this.late.clear()
  }

  private find(kind: OutputFindingKind, { sequence, key, partition, offset }: OutputRecord): void {
    this.findings.push({
      topic: this.topic,
      kind,
      sequence: String(sequence),
      key: key.toString('utf8'),
      partition,
      offset: String(offset),
    })
  }

  private nameOf(key: Buffer, value: Buffer): string {
    return `${key.toString('latin1')} ${this.contentOf(value)}`
  }
}
