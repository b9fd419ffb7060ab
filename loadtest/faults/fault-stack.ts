/**
 * The services of one run: private ones, since they will be killed. The broker has a further listener for each slot, advertised
 * under the port of the slot's proxy; Postgres keeps the time of every commit, by which takeovers are measured.
 */
import { findFreePorts } from '#infra/local/ports.ts'
import { type RunningStack, resetStack, startStack } from '#infra/local/stack.ts'
import type { StackEndpoints } from '#infra/local/state.ts'
import { makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { Slot } from './slot.ts'

export interface FaultStack {
  readonly stack: RunningStack
  readonly slots: readonly Slot[]
  close(): Promise<void>
}

/** @param options.dataDir everything of the run; deleted at the end */
export const startFaultStack = async (options: {
  dataDir: string
  slots: number
  onProgress: (message: string) => void
  signal?: AbortSignal | undefined
}): Promise<FaultStack> => {
  const { dataDir, onProgress } = options
  const ports = await findFreePorts(Array.from({ length: options.slots * 2 }, () => 0))
  const listeners = Array.from({ length: options.slots }, (_, place) => ({
    port: ports[2 * place]!,
    advertisedPort: ports[2 * place + 1]!,
  }))
  const slots: Slot[] = []
  const close = async () => {
    await Promise.all(slots.map((slot) => slot.close()))
    await resetStack({ dataDir })
  }
  try {
    const stack = await startStack({
      dataDir,
      kafkaOptions: { proxied: listeners },
      onProgress,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    })
    await keepCommitTimes(stack)
    const { endpoints } = stack
    for (const { port, advertisedPort } of listeners) {
      const upstream = {
        kafka: () => port,
        registry: () => portOf(endpoints.schemaRegistryUrl),
        postgres: () => portOf(endpoints.databaseUrl),
        redis: () => portOf(endpoints.redisUrl),
      }
      slots.push(await Slot.open(upstream, advertisedPort))
    }
    return { stack, slots, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** A second Postgres for the scenarios that would disturb the run's own. */
export const startSidePostgres = (options: {
  dataDir: string
  onProgress: (message: string) => void
}): Promise<RunningStack> =>
  startStack({
    dataDir: `${options.dataDir}-side`,
    services: ['postgres'],
    onProgress: options.onProgress,
  })

/** The setting takes effect at a start only. */
const keepCommitTimes = async (stack: RunningStack): Promise<void> => {
  const pool = makeEnginePool(
    {
      url: stack.endpoints.databaseUrl!,
      schema: 'public',
      sslCa: undefined,
      transactionTimeoutMs: 10_000,
    },
    { applicationName: 'fault set-up', connectionsMax: 1 },
  )
  await pool.query('alter system set track_commit_timestamp = on')
  await pool.end()
  await stack.service('postgres').restart()
}

const portOf = (url: StackEndpoints['databaseUrl']): number => Number(new URL(url!).port)
