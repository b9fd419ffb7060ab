/** Remembers what this process has published a moment ago, so that asking for it says `pending` and not that it doesn't exist. */

const REMEMBERED_MAX = 100_000

export class RecentlyPublished {
  readonly #publishedAtMs = new Map<string, number>()
  readonly #lifeMs: number
  readonly #nowMs: () => number

  /** @param lifeMs Afterwards a transaction that isn't decided is no longer said to be pending. */
  constructor(options: { lifeMs: number; nowMs: () => number }) {
    this.#lifeMs = options.lifeMs
    this.#nowMs = options.nowMs
  }

  add(key: string): void {
    // A map keeps the order of insertion: the oldest goes first.
    if (this.#publishedAtMs.size >= REMEMBERED_MAX) {
      const oldest = this.#publishedAtMs.keys().next()
      if (!oldest.done) this.#publishedAtMs.delete(oldest.value)
    }
    this.#publishedAtMs.set(key, this.#nowMs())
  }

  has(key: string): boolean {
    const publishedAtMs = this.#publishedAtMs.get(key)
    if (publishedAtMs === undefined) return false
    if (this.#nowMs() - publishedAtMs < this.#lifeMs) return true
    this.#publishedAtMs.delete(key)
    return false
  }
}
