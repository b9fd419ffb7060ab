/**
 * Many waiting requests, one poll: however many clients wait, each round asks once for all of them. Rounds follow quickly while
 * something is new and slow down while nothing happens.
 */
import { OperatingError } from '#platform/errors.ts'

export interface SharedPollerOptions<Wish, Result> {
  /** Results of those wishes that have come true; the others are asked for again. */
  poll: (wishes: readonly Wish[]) => Promise<Map<Wish, Result>>
  waitersMax: number
  intervalMinMs: number
  intervalMaxMs: number
  onPollFailed: (error: unknown) => void
  /** Told how many wait after each change. */
  onWaiters?: (count: number) => void
}

interface Waiter<Wish, Result> {
  wish: Wish
  finish(result: Result | undefined): void
}

const SLOWER = 1.5

export class SharedPoller<Wish, Result> {
  readonly #options: SharedPollerOptions<Wish, Result>
  readonly #waiters = new Set<Waiter<Wish, Result>>()
  #isPolling = false
  #isClosed = false
  #intervalMs: number
  #wake: (() => void) | undefined

  constructor(options: SharedPollerOptions<Wish, Result>) {
    this.#options = options
    this.#intervalMs = options.intervalMinMs
  }

  /** True where another wait would be refused: to be asked before anything is done that a refusal couldn't undo. */
  get isFull(): boolean {
    return this.#waiters.size >= this.#options.waitersMax
  }

  /**
   * Waits until the wish has come true.
   *
   * @returns its result, or undefined after `timeoutMs` or when the poller is closed.
   * @throws OperatingError `too_many_waiters`
   */
  wait(wish: Wish, timeoutMs: number): Promise<Result | undefined> {
    if (this.isFull) {
      const message = `${this.#waiters.size} requests wait already`
      return Promise.reject(new OperatingError('too_many_waiters', message, { retriable: true }))
    }
    if (this.#isClosed || timeoutMs <= 0) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const waiter: Waiter<Wish, Result> = {
        wish,
        finish: (result) => {
          clearTimeout(timer)
          this.#waiters.delete(waiter)
          this.#options.onWaiters?.(this.#waiters.size)
          resolve(result)
        },
      }
      const timer = setTimeout(() => waiter.finish(undefined), timeoutMs)
      this.#waiters.add(waiter)
      this.#options.onWaiters?.(this.#waiters.size)
      this.#intervalMs = this.#options.intervalMinMs
      this.#wake?.()
      void this.#run()
    })
  }

  /** Ends every wait, without a result. */
  close(): void {
    this.#isClosed = true
    this.#wake?.()
    for (const waiter of [...this.#waiters]) waiter.finish(undefined)
  }

  async #run(): Promise<void> {
    if (this.#isPolling) return
    this.#isPolling = true
    try {
      while (this.#waiters.size > 0) {
        const found = await this.#round()
        if (found) this.#intervalMs = this.#options.intervalMinMs
        else this.#intervalMs = Math.min(this.#intervalMs * SLOWER, this.#options.intervalMaxMs)
        if (this.#waiters.size > 0) await this.#pause()
      }
    } finally {
      this.#isPolling = false
    }
  }

  async #round(): Promise<boolean> {
    const waiting = [...this.#waiters]
    try {
      const results = await this.#options.poll(waiting.map((waiter) => waiter.wish))
      for (const waiter of waiting) {
        const result = results.get(waiter.wish)
        if (result !== undefined) waiter.finish(result)
      }
      return results.size > 0
    } catch (error) {
      this.#options.onPollFailed(error)
      return false
    }
  }

  async #pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#intervalMs)
      this.#wake = () => {
        // A newcomer's record needs a moment to be decided: soon, not at once.
        clearTimeout(timer)
        setTimeout(resolve, this.#options.intervalMinMs)
      }
    })
    this.#wake = undefined
  }
}
