/** Every record that was written to the ingest topics, kept also when the log has lost it: what the engine must decide, in order. */
import { isVisible, type LogEntry } from '../kafka/log.ts'
import type { IntendedTick, Intent } from './intents.ts'
import { must } from './violation.ts'

export class IngestedRecords {
  private readonly entries = new Map<string, LogEntry[]>()
  private readonly prefix: string
  private readonly position: (name: string) => bigint

  /** @param position how far a partition ('topic:partition') is decided */
  constructor(prefix: string, position: (name: string) => bigint) {
    this.prefix = prefix
    this.position = position
  }

  /** A record was written to a topic. */
  appended(topic: string, partition: number, entry: LogEntry): void {
    const name = `${topic.slice(this.prefix.length)}:${partition}`
    const list = this.entries.get(name)
    if (list === undefined) this.entries.set(name, [entry])
    else list.push(entry)
    const intent = entry.meaning as Intent
    if (intent.type === 'tick') this.checkTick(intent)
  }

  /** The topic was deleted: what comes now is another log. */
  forget(name: string): void {
    this.entries.delete(name)
  }

  /** About how many records are waiting to be decided; aborted ones count too. */
  get waiting(): number {
    let waiting = 0
    for (const [name, list] of this.entries) {
      const last = list.at(-1)
      if (last !== undefined) waiting += Math.max(0, Number(last.offset - this.position(name)))
    }
    return waiting
  }

  /** Partitions with records that are there to be decided and aren't yet. */
  undecided(): string[] {
    return [...this.entries].flatMap(([name, list]) => {
      const position = this.position(name)
      const waits = list.some((entry) => entry.offset >= position && isVisible(entry))
      return waits ? [name] : []
    })
  }

  /** The first visible record at or behind a position; undefined where there is none yet. */
  nextVisible(name: string, position: bigint): LogEntry | undefined {
    const list = this.entries.get(name)
    if (list === undefined) return undefined
    // Offsets rise; records that are gone from the log stay here.
    let low = 0
    let high = list.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (list[middle]!.offset < position) low = middle + 1
      else high = middle
    }
    for (; low < list.length; low += 1) {
      const entry = list[low]!
      if (isVisible(entry)) return entry
      // Behind a transaction that is open nobody may read yet.
      if (entry.transaction?.state === 'open') return undefined
    }
    return undefined
  }

  /** Whatever was written before a tick's time must lie below the ends that it names. */
  private checkTick(tick: IntendedTick): void {
    for (const [name, list] of this.entries) {
      if (name.startsWith('ticks:')) continue
      const end = tick.ends.find(({ topic, partition }) => `${topic}:${partition}` === name)?.end ?? 0n
      for (let place = list.length - 1; place >= 0 && list[place]!.offset >= end; place -= 1) {
        const { offset, timestampMs } = list[place]!
        must(
          Number(timestampMs) >= tick.time,
          'a tick names all that was there at its time',
          () =>
            `tick of ${tick.time} names the end ${end} of ${name}, ${offset} was written at ${timestampMs}`,
        )
      }
    }
  }
}
