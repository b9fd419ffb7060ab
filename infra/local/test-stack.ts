/**
 * The one stack of an integration run, as vitest's global set-up: the services that the environment names, else containers
 * where asked for (STACK=containers), else private processes in a data folder of this run. Addresses reach the tests by
 * `inject('stackEndpoints')`; see test-names.ts.
 */
import type { TestProject } from 'vitest/node'
import { startContainers } from '#infra/local/containers.ts'
import { givenEndpoints, startPrivateStack } from '#infra/local/private-stack.ts'
import type { LocalEndpoints } from '#platform/config/configuration.ts'
import { resolveLocalSettings } from '#platform/config/environment.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    stackEndpoints: LocalEndpoints
  }
}

/** Starts the stack before the first test file; what it returns stops it after the last. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const onProgress = (message: string) => void process.stderr.write(`stack: ${message}\n`)
  const given = givenEndpoints()
  if (given !== undefined) {
    project.provide('stackEndpoints', given)
    return async () => {}
  }
  if (resolveLocalSettings().containers) {
    const containers = await startContainers({ onProgress })
    project.provide('stackEndpoints', containers.endpoints)
    return containers.stop
  }
  const { stack, remove } = await startPrivateStack({ kind: 'tests', onProgress })
  project.provide('stackEndpoints', stack.endpoints)
  return remove
}
