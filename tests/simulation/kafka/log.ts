/** A partition's log: records, transactions that are open, committed or aborted, markers that take offsets, retention. */

export interface BrokerTransaction {
  state: 'open' | 'committed' | 'aborted'
}

export interface LogEntry {
  readonly offset: bigint
  /** false: a control record (a transaction's end), which no reader sees. */
  readonly isRecord: boolean
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Record<string, Buffer> | undefined
  readonly timestampMs: bigint
  /** null: written outside of a transaction. */
  readonly transaction: BrokerTransaction | null
  /** What the simulation's writer meant by it. */
  readonly meaning: unknown
}

export interface RecordToWrite {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: Record<string, Buffer> | undefined
  readonly meaning?: unknown
}

export interface FetchAnswer {
  readonly records: LogEntry[]
  readonly nextOffset: bigint
  readonly highWatermark: bigint
}

export class PartitionLog {
  readonly topic: string
  readonly partition: number
  private entries: LogEntry[] = []
  start = 0n
  end = 0n
  private readonly openFrom = new Map<BrokerTransaction, bigint>()

  constructor(topic: string, partition: number) {
    this.topic = topic
    this.partition = partition
  }

  append(record: RecordToWrite, transaction: BrokerTransaction | null, timestampMs: number): LogEntry {
    const entry: LogEntry = {
      offset: this.end,
      isRecord: true,
      key: record.key,
      value: record.value,
      headers: record.headers,
      timestampMs: BigInt(Math.floor(timestampMs)),
      transaction,
      meaning: record.meaning,
    }
    if (transaction !== null && !this.openFrom.has(transaction)) this.openFrom.set(transaction, this.end)
    this.entries.push(entry)
    this.end += 1n
    return entry
  }

  /** Writes a transaction's end. */
  mark(transaction: BrokerTransaction, timestampMs: number): void {
    this.openFrom.delete(transaction)
    this.entries.push({
      offset: this.end,
      isRecord: false,
      key: null,
      value: null,
      headers: undefined,
      timestampMs: BigInt(Math.floor(timestampMs)),
      transaction,
      meaning: null,
    })
    this.end += 1n
  }

  /** Below this every transaction has ended: read_committed readers see no further. */
  get lastStableOffset(): bigint {
    let lowest = this.end
    for (const from of this.openFrom.values()) if (from < lowest) lowest = from
    return lowest
  }

  /** An entry that is still kept. */
  at(offset: bigint): LogEntry | undefined {
    return this.entries[Number(offset - this.start)]
  }

  /** As a read_committed reader gets it; null where the position lies outside of the log. */
  fetch(from: bigint, recordsMax: number): FetchAnswer | null {
    if (from < this.start || from > this.end) return null
    const records: LogEntry[] = []
    const stable = this.lastStableOffset
    let next = from
    while (next < stable && records.length < recordsMax) {
      const entry = this.at(next)!
      next += 1n
      if (isVisible(entry)) records.push(entry)
    }
    return { records, nextOffset: next, highWatermark: this.end }
  }

  /** The last record that a read_committed reader finds. */
  lastVisible(): LogEntry | undefined {
    for (let offset = this.lastStableOffset - 1n; offset >= this.start; offset -= 1n) {
      const entry = this.at(offset)!
      if (isVisible(entry)) return entry
    }
    return undefined
  }

  /** Retention: what is below is gone. */
  deleteBelow(offset: bigint): void {
    if (offset <= this.start) return
    this.entries = this.entries.slice(Number(offset - this.start))
    this.start = offset
  }

  /** As Broker.recreate. */
  empty(): void {
    this.entries = []
    this.openFrom.clear()
    this.start = 0n
    this.end = 0n
  }
}

export const isVisible = (entry: LogEntry): boolean =>
  entry.isRecord && (entry.transaction === null || entry.transaction.state === 'committed')
