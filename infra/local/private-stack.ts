/** Services of one run: those that the environment names (all four), else private ones in a folder of their own, deleted at the end. */
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isAlive } from '#infra/local/processes.ts'
import { type RunningStack, resetStack, startStack } from '#infra/local/stack.ts'
import { defaultStackFolder, readState, type StackEndpoints } from '#infra/local/state.ts'
import { processEnvironment } from '#platform/config/environment.ts'

/** The services that the environment names; undefined unless it names all four, so that a run never mixes two worlds. */
export function givenEndpoints(): StackEndpoints | undefined {
  const { KAFKA_BROKERS, SCHEMA_REGISTRY_URL, DATABASE_URL, REDIS_URL } = processEnvironment()
  if (!KAFKA_BROKERS || !SCHEMA_REGISTRY_URL || !DATABASE_URL || !REDIS_URL) return undefined
  return {
    kafkaBrokers: KAFKA_BROKERS,
    schemaRegistryUrl: SCHEMA_REGISTRY_URL,
    databaseUrl: DATABASE_URL,
    redisUrl: REDIS_URL,
  }
}

/**
 * Starts private services of this process, after those of killed runs of the same kind are ended and deleted.
 *
 * @param options.kind the folder beside the stack's own in which such runs live
 * @returns the stack, and `remove`, which ends and deletes it
 * @throws OperatingError `service_start_failed`; nothing is left behind then
 */
export async function startPrivateStack(options: {
  kind: 'bench' | 'tests'
  onProgress: (message: string) => void
  signal?: AbortSignal
}): Promise<{ stack: RunningStack; remove: () => Promise<void> }> {
  const { kind, ...others } = options
  const runsFolder = join(dirname(defaultStackFolder), kind)
  await removeLeftovers(runsFolder, options.onProgress)
  const dataDir = join(runsFolder, String(process.pid))
  const remove = () => resetStack({ dataDir })
  const stack = await startStack({ dataDir, ...others }).catch(async (error: unknown) => {
    await remove()
    throw error
  })
  return { stack, remove }
}

/**
 * Ends and deletes the services of runs whose process is gone: what was killed leaves processes and data behind.
 * @param runsFolder holds a folder for each run
 */
export async function removeLeftovers(
  runsFolder: string,
  onProgress: (message: string) => void,
): Promise<void> {
  if (!existsSync(runsFolder)) return
  for (const name of readdirSync(runsFolder)) {
    const dataDir = join(runsFolder, name)
    const state = readState(dataDir)
    if (state === undefined || isAlive(state.owner)) continue
    onProgress(`removing what the killed run ${name} left behind`)
    await resetStack({ dataDir })
  }
}
