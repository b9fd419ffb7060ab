/** Looks at the ledger's head, the publisher's position and every partition many times a second: how long does each stand still? */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ReadPool } from '#platform/postgres/pool.ts'

const LOOK_EVERY_MS = 40

const LOOK = `select (select sequence from ledger_head) as sequence,
  (select published_sequence from publisher_progress) as published,
  array(select next_offset from ingest_offsets where topic = 'transactions' order by partition) as offsets`

interface Look {
  sequence: bigint
  published: bigint
  offsets: bigint[]
}

/** The longest stand-stills that touch a stretch of time, ms. */
export interface Gaps {
  /** Between two commits of any processor. */
  readonly commitsMs: number
  /** Between two advances of one partition of the transactions; the slowest partition. */
  readonly partitionMs: number
  /** Between two advances of what was published. */
  readonly publishedMs: number
}

export class ProgressWatch {
  readonly #pool: ReadPool
  /** By what is watched: when it was seen to advance, ms. */
  readonly #advances = new Map<string, number[]>()
  readonly #values = new Map<string, bigint>()
  #isStopped = false
  #loop: Promise<void> = Promise.resolve()

  constructor(pool: ReadPool) {
    this.#pool = pool
  }

  start(): void {
    this.#loop = this.#run()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#loop
  }

  /** Stand-stills that ended, and overlap the stretch; times as of `performance.now()`. */
  gaps(fromMs: number, toMs: number): Gaps {
    const longest = (name: string): number => {
      let most = 0
      const times = this.#advances.get(name) ?? []
      for (let place = 1; place < times.length; place += 1) {
        const [start, end] = [times[place - 1]!, times[place]!]
        if (end > fromMs && start < toMs) most = Math.max(most, end - start)
      }
      return Math.round(most)
    }
    const partitions = [...this.#advances.keys()].filter((name) => name.startsWith('partition'))
    return {
      commitsMs: longest('sequence'),
      partitionMs: Math.max(0, ...partitions.map(longest)),
      publishedMs: longest('published'),
    }
  }

  /** Whether every partition and the publisher have advanced since then. */
  hasRecovered(sinceMs: number): boolean {
    const names = [...this.#advances.keys()].filter((name) => name !== 'sequence')
    return names.every((name) => (this.#advances.get(name)?.at(-1) ?? 0) > sinceMs)
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const look = await this.#pool.query<Look>({ name: 'look', text: LOOK }).catch(() => [])
      const atMs = performance.now()
      const row = look[0]
      if (row !== undefined) {
        this.#note('sequence', row.sequence, atMs)
        this.#note('published', row.published, atMs)
        for (const [partition, offset] of row.offsets.entries()) {
          this.#note(`partition ${partition}`, offset, atMs)
        }
      }
      await sleep(LOOK_EVERY_MS)
    }
  }

  #note(name: string, value: bigint, atMs: number): void {
    if (this.#values.get(name) === value) return
    this.#values.set(name, value)
    const times = this.#advances.get(name)
    if (times === undefined) this.#advances.set(name, [atMs])
    else times.push(atMs)
  }
}
