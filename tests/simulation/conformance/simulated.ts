/** Runs something on the simulation's clock, as one of its processes, with a network on which nothing goes wrong. */
import { replaceGlobals } from '../scheduler/globals.ts'
import type { NetworkWeather } from '../scheduler/link.ts'
import { Scheduler, SimulatedProcess } from '../scheduler/scheduler.ts'

const SEED = 1
const STEPS_MAX = 1_000_000

export const CALM: NetworkWeather = { delayMs: () => 1, noticeMs: () => 5 }

/** @throws what the work throws; Error where it waits for something that never happens */
export const inSimulation = async <T>(
  work: (scheduler: Scheduler, process: SimulatedProcess) => Promise<T>,
): Promise<T> => {
  const scheduler = new Scheduler(SEED)
  const restore = replaceGlobals(scheduler)
  try {
    const process = new SimulatedProcess(scheduler, 1, 'conformance')
    let outcome: (() => T) | null = null
    process.after(0, 'case', () => {
      work(scheduler, process).then(
        (value) => {
          outcome = () => value
        },
        (error: unknown) => {
          outcome = () => {
            throw error
          }
        },
      )
    })
    await scheduler.run(() => outcome !== null || scheduler.steps > STEPS_MAX)
    if (outcome === null) {
      throw new Error(`the simulated case never ends:\n${scheduler.lately().slice(-20).join('\n')}`)
    }
    return (outcome as () => T)()
  } finally {
    restore()
  }
}

/** A pause on the virtual clock. */
export const simulatedPause = (process: SimulatedProcess, ms: number): Promise<void> =>
  new Promise((resolve) => {
    process.after(ms, 'case waits', resolve)
  })
