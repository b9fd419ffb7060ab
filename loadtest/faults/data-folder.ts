/** Where runs keep their services, and what killed runs leave behind. */
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isAlive } from '#infra/local/processes.ts'
import { resetStack } from '#infra/local/stack.ts'
import { defaultStackFolder, readState } from '#infra/local/state.ts'

const runsFolder = join(dirname(defaultStackFolder), 'faults')

/** The folder of this process's run. */
export const faultsDataDir = (): string => join(runsFolder, String(process.pid))

/** Ends and deletes the services of runs whose process is gone. */
export const removeLeftovers = async (onProgress: (message: string) => void): Promise<void> => {
  if (!existsSync(runsFolder)) return
  for (const name of readdirSync(runsFolder)) {
    const dataDir = join(runsFolder, name)
    const state = readState(dataDir)
    if (state === undefined || isAlive(state.owner)) continue
    onProgress(`removing what the killed run ${name} left behind`)
    await resetStack({ dataDir })
  }
}
