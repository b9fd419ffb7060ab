/**
 * Watches what readers of committed records get: each Kafka transaction of the publisher must hold exactly the next batches'
 * messages, in their order, and the position behind them.
 */
import type { EndedTransaction } from '../kafka/broker.ts'
import type { CommitChecks } from './commits.ts'
import { TOPIC_OF_CODE } from './frames.ts'
import { must } from './violation.ts'

export class OutputChecks {
  /** The last batch that readers have. */
  position = 0n
  messages = 0
  /** When each position was reached: for what a cached balance may lack. */
  readonly reached: { readonly atMs: number; readonly position: bigint }[] = []
  private readonly commits: CommitChecks
  private readonly prefix: string
  /** Hash of each batch as it was published: a database that was restored may decide others under the same numbers. */
  private readonly publishedHashes = new Map<bigint, Buffer>()

  constructor(commits: CommitChecks, prefix: string) {
    this.commits = commits
    this.prefix = prefix
  }

  committed(ended: EndedTransaction, nowMs: number): void {
    must(
      ended.offsets.length === 1,
      'outputs and position are committed together',
      () => `${ended.offsets.length} positions`,
    )
    const next = ended.offsets[0]!.offset
    must(
      next <= this.commits.sequence,
      'nothing is published before it is committed',
      () => `position ${next}, the database ends at ${this.commits.sequence}`,
    )
    must(next > this.position, 'every output once', () => `position ${this.position} → ${next}`)
    const found = new Map<string, { key: string; value: Buffer }[]>()
    for (const { topic, entry } of ended.records) {
      const name = topic.slice(this.prefix.length)
      const list = found.get(name) ?? []
      list.push({ key: entry.key?.toString('utf8') ?? '', value: entry.value! })
      found.set(name, list)
      this.messages += 1
    }
    this.checkContinuation(this.position)
    this.compare(found, this.position, next)
    this.position = next
    this.reached.push({ atMs: nowMs, position: next })
  }

  /** The highest position that was reached a while ago. */
  positionBefore(atMs: number): bigint {
    for (let place = this.reached.length - 1; place >= 0; place -= 1) {
      if (this.reached[place]!.atMs <= atMs) return this.reached[place]!.position
    }
    return 0n
  }

  /** What was published last must be what the database still holds there. */
  private checkContinuation(position: bigint): void {
    if (position === 0n) return
    const batch = this.commits.batches[Number(position) - 1]
    const published = this.publishedHashes.get(position)
    must(
      batch !== undefined && published !== undefined && batch.hash.equals(published),
      'published batches are those of the database',
      () => `batch ${position} was published with another content`,
    )
  }

  private compare(found: Map<string, { key: string; value: Buffer }[]>, after: bigint, upTo: bigint): void {
    const expected = new Map<string, { key: string; value: Buffer }[]>()
    const balances = new Map<string, Buffer>()
    let entries = 0
    for (let sequence = after + 1n; sequence <= upTo; sequence += 1n) {
      const batch = this.commits.batches[Number(sequence) - 1]!
      this.publishedHashes.set(sequence, batch.hash)
      for (const frame of batch.frames) {
        const topic = TOPIC_OF_CODE[frame.code]!
        const key = frame.key.toString('utf8')
        if (topic === 'balances') balances.set(key, frame.value)
        else {
          const list = expected.get(topic) ?? []
          list.push({ key, value: frame.value })
          expected.set(topic, list)
        }
      }
    }
    if (balances.size > 0) {
      expected.set(
        'balances',
        [...balances].map(([key, value]) => ({ key, value })),
      )
    }
    const batches = (found.get('ledger.batches') ?? []).map(({ key }) => key).join(' ')
    const wanted = Array.from({ length: Number(upTo - after) }, (_, place) =>
      String(Number(after) + place + 1),
    )
    must(
      batches === wanted.join(' '),
      'every batch is told of once',
      () => `${batches}, expected ${wanted.join(' ')}`,
    )
    found.delete('ledger.batches')
    for (const [topic, list] of found) {
      if (topic === 'ledger.entries') {
        entries += list.length
        continue
      }
      this.compareTopic(topic, list, expected.get(topic) ?? [], `${after}..${upTo}`)
      expected.delete(topic)
    }
    must(
      expected.size === 0,
      'no output is missing',
      () => `${[...expected.keys()].join(' ')} of ${after}..${upTo}`,
    )
    must(entries % 2 === 0, 'entries come in pairs', () => String(entries))
  }

  private compareTopic(
    topic: string,
    found: readonly { key: string; value: Buffer }[],
    expected: readonly { key: string; value: Buffer }[],
    batches: string,
  ): void {
    must(
      found.length === expected.length,
      'every output once',
      () => `${topic}: ${found.length} messages of ${batches}, expected ${expected.length}`,
    )
    // Partitions are sent one after the other: the order counts for each key.
    const queues = new Map<string, Buffer[]>()
    for (const { key, value } of expected) {
      const queue = queues.get(key)
      if (queue === undefined) queues.set(key, [value])
      else queue.push(value)
    }
    for (const { key, value } of found) {
      const wanted = queues.get(key)?.shift()
      must(wanted?.equals(value) === true, 'outputs come in order', () => `${topic}: ${key} of ${batches}`)
    }
  }
}
