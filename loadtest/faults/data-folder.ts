/** Where runs keep their services, and what killed runs leave behind. */
import { dirname, join } from 'node:path'
import { removeLeftovers as removeLeftoversOf } from '#infra/local/private-stack.ts'
import { defaultStackFolder } from '#infra/local/state.ts'

const runsFolder = join(dirname(defaultStackFolder), 'faults')

/** The folder of this process's run. */
export const faultsDataDir = (): string => join(runsFolder, String(process.pid))

/** Ends and deletes the services of fault runs whose process is gone. */
export const removeLeftovers = (onProgress: (message: string) => void): Promise<void> =>
  removeLeftoversOf(runsFolder, onProgress)
