/**
 * Timers and clocks of the runtime, replaced while a simulation runs: code below platform/ that uses them directly then lives on
 * the virtual clock of the process whose code is running.
 */
import { type Scheduler, START_MS } from './scheduler.ts'

interface SimulatedTimer {
  cancel: () => void
  unref(): SimulatedTimer
  ref(): SimulatedTimer
  hasRef(): boolean
  [Symbol.toPrimitive](): number
}

/** Replaces them. @returns what puts the real ones back */
export const replaceGlobals = (scheduler: Scheduler): (() => void) => {
  const real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    setInterval: globalThis.setInterval,
    clearInterval: globalThis.clearInterval,
    now: Date.now,
    random: Math.random,
    performanceNow: performance.now,
  }
  const timer = (cancel: () => void): SimulatedTimer => {
    const made: SimulatedTimer = {
      cancel,
      unref: () => made,
      ref: () => made,
      hasRef: () => true,
      [Symbol.toPrimitive]: () => 0,
    }
    return made
  }
  const after = (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): SimulatedTimer =>
    timer(scheduler.schedule(ms, 'timer', scheduler.current, () => run(...args)))
  const every = (run: (...args: unknown[]) => void, ms = 1, ...args: unknown[]): SimulatedTimer => {
    const process = scheduler.current
    const made = timer(() => undefined)
    const next = (): void => {
      made.cancel = scheduler.schedule(Math.max(1, ms), 'interval', process, () => {
        next()
        run(...args)
      })
    }
    next()
    return made
  }
  // Timers of before the replacement are the runtime's own.
  const clear = (given: SimulatedTimer | undefined): void => {
    if (typeof given?.cancel === 'function') given.cancel()
    else real.clearTimeout(given as never)
  }
  Object.assign(globalThis, {
    setTimeout: after,
    clearTimeout: clear,
    setInterval: every,
    clearInterval: clear,
  })
  Date.now = () => START_MS + Math.floor(scheduler.nowMs)
  Math.random = () => scheduler.random.next()
  performance.now = () => scheduler.nowMs
  return () => {
    Object.assign(globalThis, {
      setTimeout: real.setTimeout,
      clearTimeout: real.clearTimeout,
      setInterval: real.setInterval,
      clearInterval: real.clearInterval,
    })
    Date.now = real.now
    Math.random = real.random
    performance.now = real.performanceNow
  }
}
