/**
 * How long a member of the group may be silent before it counts as dead. Short, so that a dead one is replaced soon; but where a
 * machine is too busy for that, every member is taken for dead again and again, and the group does nothing but distribute its
 * partitions. So a member that was removed twice in a short time asks for more patience, and gives it back once it is left alone.
 */

const WINDOW_MS = 20_000
const FACTOR_MAX = 8

export class MembershipPatience {
  readonly #now: () => number
  #removals: number[] = []
  #factor = 1
  #changedAtMs: number

  /** @param now ms of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#changedAtMs = now()
  }

  /** The group has gone on without this member although it lives. */
  removed(): void {
    const now = this.#now()
    this.#removals = [...this.#removals.filter((atMs) => atMs > now - WINDOW_MS), now]
    if (this.#removals.length < 2) return
    this.#factor = Math.min(this.#settled(now) * 2, FACTOR_MAX)
    this.#changedAtMs = now
  }

  /** By how much the configured times are to be multiplied, from 1. */
  get factor(): number {
    return this.#settled(this.#now())
  }

  /** Halved for each stretch of time without a removal. */
  #settled(now: number): number {
    const stretches = Math.floor((now - this.#changedAtMs) / WINDOW_MS)
    return Math.max(1, this.#factor / 2 ** Math.min(stretches, 10))
  }
}
