/** The services of a run: those that the environment names (all four), else private ones that are deleted at the end. */
import { givenEndpoints, startPrivateStack } from '#infra/local/private-stack.ts'
import type { StackEndpoints } from '#infra/local/state.ts'

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
  const { stack, remove } = await startPrivateStack({ kind: 'bench', ...options })
  return {
    endpoints: stack.endpoints,
    restartBroker: () => stack.service('kafka').restart(),
    close: remove,
  }
}
