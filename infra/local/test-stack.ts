/**
 * The one stack of an integration run, as vitest's global set-up: the services that the environment names, else containers
 * where asked for (STACK=containers), else private processes in a data folder of this run. Addresses reach the tests by
 * `inject('stackEndpoints')`; see test-names.ts.
 */
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { startContainers } from '#infra/local/containers.ts'
import { isAlive } from '#infra/local/processes.ts'
import { resetStack, startStack } from '#infra/local/stack.ts'
import { defaultStackFolder, readState } from '#infra/local/state.ts'
import type { LocalEndpoints } from '#platform/config/configuration.ts'
import { processEnvironment, resolveLocalSettings } from '#platform/config/environment.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    stackEndpoints: LocalEndpoints
  }
}

const testsFolder = join(dirname(defaultStackFolder), 'tests')

/** Starts the stack before the first test file; what it returns stops it after the last. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const onProgress = (message: string) => void process.stderr.write(`stack: ${message}\n`)
  const given = endpointsFromEnvironment()
  if (given !== undefined) {
    project.provide('stackEndpoints', given)
    return async () => {}
  }
  if (resolveLocalSettings().containers) {
    const containers = await startContainers({ onProgress })
    project.provide('stackEndpoints', containers.endpoints)
    return containers.stop
  }
  await removeLeftovers(onProgress)
  const dataDir = join(testsFolder, String(process.pid))
  const stack = await startStack({ dataDir, onProgress })
  project.provide('stackEndpoints', stack.endpoints)
  return () => resetStack({ dataDir })
}

/** Services that the environment names; all four or none, so that a run never mixes two worlds. */
function endpointsFromEnvironment(): LocalEndpoints | undefined {
  const { KAFKA_BROKERS, SCHEMA_REGISTRY_URL, DATABASE_URL, REDIS_URL } = processEnvironment()
  if (!KAFKA_BROKERS || !SCHEMA_REGISTRY_URL || !DATABASE_URL || !REDIS_URL) return undefined
  return {
    kafkaBrokers: KAFKA_BROKERS,
    schemaRegistryUrl: SCHEMA_REGISTRY_URL,
    databaseUrl: DATABASE_URL,
    redisUrl: REDIS_URL,
  }
}

/** Runs that were killed leave processes and data behind; those whose owner is gone are removed. */
async function removeLeftovers(onProgress: (message: string) => void): Promise<void> {
  if (!existsSync(testsFolder)) return
  for (const name of readdirSync(testsFolder)) {
    const dataDir = join(testsFolder, name)
    const state = readState(dataDir)
    if (state === undefined || isAlive(state.owner)) continue
    onProgress(`removing what the killed test run ${name} left behind`)
    await resetStack({ dataDir })
  }
}
