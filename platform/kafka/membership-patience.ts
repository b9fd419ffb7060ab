/**
 * How long a member of the group may be silent before it counts as dead. Short, so that a dead one is replaced soon; but where a
 * machine is too busy for that, every member is taken for dead again and again, and the group does nothing but distribute its
 * partitions. So a member that was removed twice in a short time asks for more patience, and gives it back once it is left alone.
 *
 * A process that stood still as a whole (a frozen one, a paused machine) asks for nothing: it would be dead for that long all the same,
 * and its partitions would wait longer next time.
 */

const WINDOW_MS = 20_000
const FACTOR_MAX = 8
const BEAT_MS = 200
/** Longer than a busy machine keeps a process from running, by far. */
const STANDSTILL_MS = 2_500
/** The group's answer to a member that it has removed comes within. */
const AFTER_STANDSTILL_MS = 2_000

export class MembershipPatience {
  readonly #now: () => number
  #removals: number[] = []
  #factor = 1
  #changedAtMs: number
  #beatAtMs: number
  #stoodStillUntilMs = Number.NEGATIVE_INFINITY
  #beating: NodeJS.Timeout | undefined

  /** @param now ms of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#changedAtMs = now()
    this.#beatAtMs = now()
  }

  /** Begins to notice standstills of the process. */
  start(): void {
    this.#beatAtMs = this.#now()
    this.#beating ??= setInterval(() => this.beat(), BEAT_MS).unref()
  }

  stop(): void {
    clearInterval(this.#beating)
    this.#beating = undefined
  }

  /** The process runs. */
  beat(): void {
    const now = this.#now()
    if (now - this.#beatAtMs > STANDSTILL_MS) this.#stoodStillUntilMs = now
    this.#beatAtMs = now
  }

  /** The group has gone on without this member although it lives. */
  removed(): void {
    const now = this.#now()
    this.beat()
    if (now - this.#stoodStillUntilMs < AFTER_STANDSTILL_MS) return
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
