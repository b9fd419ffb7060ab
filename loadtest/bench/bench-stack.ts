/** The services of a run: those that the environment names (all four), else private ones that are deleted at the end. */
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isAlive } from '#infra/local/processes.ts'
import { resetStack, startStack } from '#infra/local/stack.ts'
import { defaultStackFolder, readState, type StackEndpoints } from '#infra/local/state.ts'
import { processEnvironment } from '#platform/config/environment.ts'

const runsFolder = join(dirname(defaultStackFolder), 'bench')

export interface BenchStack {
  readonly endpoints: StackEndpoints
  /** Restarts the broker; undefined where it isn't ours. */
  readonly restartBroker?: () => Promise<void>
  close(): Promise<void>
}

/** Starts or joins them. @throws OperatingError `service_start_failed` */
export async function openBenchStack(options: {
  onProgress: (message: string) => void
  signal: AbortSignal
}): Promise<BenchStack> {
  const given = givenEndpoints()
  if (given !== undefined) return { endpoints: given, close: async () => {} }
  await removeLeftovers(options.onProgress)
  const dataDir = join(runsFolder, String(process.pid))
  const stack = await startStack({ dataDir, ...options }).catch(async (error: unknown) => {
    await resetStack({ dataDir })
    throw error
  })
  return {
    endpoints: stack.endpoints,
    restartBroker: () => stack.service('kafka').restart(),
    close: () => resetStack({ dataDir }),
  }
}

/** All four or none, so that a run never mixes two worlds. */
function givenEndpoints(): StackEndpoints | undefined {
  const { KAFKA_BROKERS, SCHEMA_REGISTRY_URL, DATABASE_URL, REDIS_URL } = processEnvironment()
  if (!KAFKA_BROKERS || !SCHEMA_REGISTRY_URL || !DATABASE_URL || !REDIS_URL) return undefined
  return {
    kafkaBrokers: KAFKA_BROKERS,
    schemaRegistryUrl: SCHEMA_REGISTRY_URL,
    databaseUrl: DATABASE_URL,
    redisUrl: REDIS_URL,
  }
}

/** Ends and deletes the services of runs whose process is gone. */
async function removeLeftovers(onProgress: (message: string) => void): Promise<void> {
  if (!existsSync(runsFolder)) return
  for (const name of readdirSync(runsFolder)) {
    const dataDir = join(runsFolder, name)
    const state = readState(dataDir)
    if (state === undefined || isAlive(state.owner)) continue
    onProgress(`removing what the killed run ${name} left behind`)
    await resetStack({ dataDir })
  }
}
