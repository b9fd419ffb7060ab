/** The stack as containers that stay (`STACK=containers npx tallystream stack up`): infra/compose/compose.yaml, on its fixed ports. */
import { fileURLToPath } from 'node:url'
import { containersUnavailable } from '#infra/local/containers.ts'
import type { OnProgress } from '#infra/local/downloads.ts'
import { runOrFail } from '#infra/local/programs.ts'
import type { StackEndpoints } from '#infra/local/state.ts'
import { UnreachableError } from '#platform/errors.ts'

const composeFile = fileURLToPath(new URL('../compose/compose.yaml', import.meta.url))
/** Images are pulled the first time. */
const COMPOSE_TIMEOUT_MS = 15 * 60_000

/** The addresses that the compose file gives its services. */
export const composeEndpoints: Required<
  Pick<StackEndpoints, 'kafkaBrokers' | 'schemaRegistryUrl' | 'databaseUrl' | 'redisUrl'>
> = {
  kafkaBrokers: '127.0.0.1:9092',
  schemaRegistryUrl: 'http://127.0.0.1:8081/apis/ccompat/v7',
  databaseUrl: 'postgres://tallystream:tallystream@127.0.0.1:5432/tallystream',
  redisUrl: 'redis://127.0.0.1:6379',
}

/**
 * Runs `docker compose` on the project's file.
 *
 * @throws UnreachableError when no container engine answers.
 */
export async function compose(
  composeArguments: readonly string[],
  options: { onProgress: OnProgress; signal?: AbortSignal | undefined },
): Promise<string> {
  const reason = await containersUnavailable()
  if (reason !== undefined) throw new UnreachableError('container_engine', `STACK=containers: ${reason}`)
  const result = await runOrFail('docker', ['compose', '-f', composeFile, ...composeArguments], {
    timeoutMs: COMPOSE_TIMEOUT_MS,
    onLine: options.onProgress,
    signal: options.signal,
  })
  return result.stdout
}
