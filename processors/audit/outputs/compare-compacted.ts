/** A compacted topic: only the newest message of each key counts, and it must be the newest that a batch made. */
import { bytesOf, type ContentOf, type ExpectedOutput, type OutputFinding } from './compare.ts'
import type { OutputRecord } from './topic-cursor.ts'

interface Newest {
  readonly record: OutputRecord
  readonly content: string
}

export class CompactedComparison {
  readonly topic: string
  readonly missing: { readonly sequence: bigint; readonly output: ExpectedOutput }[] = []
  readonly findings: OutputFinding[] = []
  found = 0
  readonly unlisted = 0
  /** The first batch that is compared: keys that only older ones sent may be there. */
  comparedFrom = 1n
  private readonly contentOf: ContentOf
  /** By key; the value itself isn't kept. */
  private readonly newest = new Map<string, Newest>()
  /** The highest batch that was seen of each key. */
  private readonly highest = new Map<string, bigint>()
  private readonly wanted = new Map<string, { sequence: bigint; output: ExpectedOutput }>()

  constructor(topic: string, contentOf: ContentOf = bytesOf) {
    this.topic = topic
    this.contentOf = contentOf
  }

  /** Keys that must be there. */
  get expected(): number {
    return this.wanted.size
  }

  /** A message, in its partition's order. */
  record(record: OutputRecord): void {
    this.found += 1
    const key = record.key.toString('latin1')
    const before = this.highest.get(key) ?? 0n
    if (record.sequence > before) this.highest.set(key, record.sequence)
    this.newest.set(key, {
      record: { ...record, value: Buffer.alloc(0) },
      content: this.contentOf(record.value),
    })
  }

  /** What a batch sent; in ledger order. */
  expect(sequence: bigint, output: ExpectedOutput): void {
    this.wanted.set(output.key.toString('latin1'), { sequence, output })
  }

  /** Ends it. */
  end(): void {
    for (const [key, { sequence, output }] of this.wanted) this.compare(key, sequence, output)
    for (const [key, { record }] of this.newest) {
      const isOlder = record.sequence < this.comparedFrom
      if (!this.wanted.has(key) && !isOlder) this.find('different', record.sequence, record.key, record)
    }
  }

  private compare(key: string, sequence: bigint, output: ExpectedOutput): void {
    const newest = this.newest.get(key)
    if (newest?.content === this.contentOf(output.value)) return
    // Of a batch that isn't kept, or of none: an older message behind it would mislead readers.
    if (newest !== undefined && newest.record.sequence > sequence) {
      this.find('different', newest.record.sequence, output.key, newest.record)
      return
    }
    this.missing.push({ sequence, output })
    if (newest === undefined) this.find('missing', sequence, output.key, null)
    else if (newest.record.sequence === sequence) this.find('different', sequence, output.key, newest.record)
    else this.older(sequence, output, newest.record)
  }

  /** An older one is the newest there: what should have followed isn't there, or came before it. */
  private older(sequence: bigint, output: ExpectedOutput, record: OutputRecord): void {
    const isBehind = this.highest.get(record.key.toString('latin1')) === sequence
    if (isBehind) this.find('out_of_order', record.sequence, output.key, record)
    else this.find('missing', sequence, output.key, null)
  }

  private find(
    kind: OutputFinding['kind'],
    sequence: bigint,
    key: Buffer,
    record: OutputRecord | null,
  ): void {
    this.findings.push({
      topic: this.topic,
      kind,
      sequence: String(sequence),
      key: key.toString('utf8'),
      partition: record?.partition ?? null,
      offset: record === null ? null : String(record.offset),
    })
  }
}
