/**
 * Load by the clock alone: each transfer is due at a moment, whether or not those before it were answered, and its latency counts from
 * that moment. So a system that stalls doesn't slow down what measures it (no coordinated omission).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { IngestPublisher } from '#connectors/ingest/publisher.ts'
import type { OutgoingRecord, RecordPosition } from '#platform/kafka/producer.ts'
import { encodeRecord } from '../generator/encode.ts'
import type { GeneratedRecord } from '../generator/records.ts'

/** What was sent: when each transfer was due, and where it stands once that is known. */
export class SentLog {
  /** By number of the transfer, ms of `performance.now`. */
  readonly dueMs: number[] = []
  /** Partition → for each of its records in order, its offset and the transfer's number. */
  readonly partitions = new Map<number, { offset: bigint; transfer: number }[]>()

  place(first: number, positions: readonly RecordPosition[]): void {
    for (const [index, { partition, offset }] of positions.entries()) {
      let list = this.partitions.get(partition)
      if (list === undefined) {
        list = []
        this.partitions.set(partition, list)
      }
      list.push({ offset, transfer: first + index })
    }
  }
}

export interface OpenLoopOptions {
  readonly publisher: IngestPublisher
  readonly records: Iterator<GeneratedRecord>
  readonly log: SentLog
  readonly signal: AbortSignal
  /** Goes on where sending fails, as producers do: what was lost then is nobody's to count. */
  readonly isPatient?: boolean
}

/** How many transfers are due by then. */
export const dueBy = (elapsedMs: number, ratePerSecond: number): number =>
  Math.floor((elapsedMs * ratePerSecond) / 1_000)

export class OpenLoop {
  readonly #options: OpenLoopOptions
  #failure: unknown

  constructor(options: OpenLoopOptions) {
    this.#options = options
  }

  /**
   * Sends at a rate for a time. @returns the numbers of the first transfer and of the one behind the last; all are acknowledged
   * @throws as IngestPublisher.encoded; RangeError where the records run out
   */
  async run(ratePerSecond: number, seconds: number): Promise<{ first: number; next: number }> {
    const { log, signal } = this.#options
    const first = log.dueMs.length
    const total = dueBy(seconds * 1_000, ratePerSecond)
    const startMs = performance.now()
    const sending = new Set<Promise<void>>()
    let sent = 0
    while (sent < total) {
      signal.throwIfAborted()
      if (this.#failure !== undefined) throw this.#failure
      const due = Math.min(total, dueBy(performance.now() - startMs, ratePerSecond))
      if (due > sent) {
        const block = this.#send(due - sent, (place) => startMs + ((sent + place) * 1_000) / ratePerSecond)
        sent = due
        sending.add(block)
        void block.finally(() => sending.delete(block))
      }
      await sleep(1)
    }
    await Promise.all(sending)
    if (this.#failure !== undefined) throw this.#failure
    return { first, next: log.dueMs.length }
  }

  async #send(count: number, dueMs: (place: number) => number): Promise<void> {
    const { publisher, records, log } = this.#options
    const topic = publisher.topicName('transactions')
    const outgoing: OutgoingRecord[] = []
    const first = log.dueMs.length
    for (let place = 0; place < count; place += 1) {
      const { value, done } = records.next()
      if (done === true) throw new RangeError('no more records to send')
      outgoing.push({ topic, ...encodeRecord(value, (command) => publisher.encodeTransaction(command)) })
      log.dueMs.push(dueMs(place))
    }
    try {
      log.place(first, await publisher.encoded(outgoing))
    } catch (error) {
      if (this.#options.isPatient !== true) this.#failure ??= error
    }
  }
}
