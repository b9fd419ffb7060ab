/** Time and timers as the engine's loops see them, so that a simulation can run them on a clock of its own. */

export interface Clock {
  /** Wall time, ms since 1970. Never compared with a duration: it may jump. */
  wallMs(): number
  /** For durations and deadlines, ms. */
  monotonicMs(): number
  /** Calls `run` once after `ms`. @returns what cancels it */
  after(ms: number, run: () => void): () => void
}

/** The machine's own. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
}

/** Settles after `ms`. */
export const pause = (clock: Clock, ms: number): Promise<void> =>
  new Promise((resolve) => {
    clock.after(ms, resolve)
  })

/** Settles when the work has, or after `ms` at the latest. @returns whether the work has; how it ended isn't told */
export const atMost = async (clock: Clock, ms: number, work: Promise<unknown>): Promise<boolean> => {
  let cancel = () => {}
  const limit = new Promise<boolean>((resolve) => {
    cancel = clock.after(ms, () => resolve(false))
  })
  const ended = () => true
  const isDone = await Promise.race([work.then(ended, ended), limit])
  cancel()
  return isDone
}
