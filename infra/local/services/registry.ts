/** The schema registry (Apicurio, Confluent API v7), persistent in an H2 file. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ensureJavaParts } from '#infra/local/downloads.ts'
import { registryAnswers } from '#infra/local/probes.ts'
import {
  portAt,
  type ServiceContext,
  type ServiceDefinition,
  type ServicePlan,
} from '#infra/local/services/service.ts'
import { OperatingError } from '#platform/errors.ts'

async function prepare(context: ServiceContext): Promise<ServicePlan> {
  const { registryJar } = await ensureJavaParts(context)
  const port = portAt(context.ports, 0)
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`
  mkdirSync(context.folder, { recursive: true })
  return {
    process: {
      command: 'java',
      arguments: [
        ...['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xmx384m', '-Dquarkus.http.host=127.0.0.1'],
        ...[`-Dquarkus.http.port=${port}`, '-Dquarkus.datasource.jdbc.initial-size=2'],
        ...[
          '-Dquarkus.datasource.jdbc.min-size=2',
          '-Dquarkus.datasource.jdbc.max-size=10',
          '-jar',
          registryJar,
        ],
      ],
      // WRITE_DELAY=0: by default H2 keeps half a second of commits in memory, and a schema lost by a kill leaves records that
      // nobody can decode. By the environment because the registry ignores the system property of the same meaning and would keep all in memory.
      environment: {
        REGISTRY_DATASOURCE_URL: `jdbc:h2:file:${join(context.folder, 'registry')};WRITE_DELAY=0`,
      },
      workingFolder: context.folder,
      logFile: context.logFile,
    },
    endpoints: { schemaRegistryUrl: url },
    stopSignal: 'SIGTERM',
    isReady: () => registryAnswers(url),
    afterReady: () => requireBackwardCompatibility(url),
  }
}

/** The registry's own default is NONE, under which a breaking schema would be taken without a word. */
export async function requireBackwardCompatibility(url: string): Promise<void> {
  const answer = await fetch(`${url}/config`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ compatibility: 'BACKWARD' }),
    signal: AbortSignal.timeout(10_000),
  })
  const text = await answer.text()
  if (!answer.ok) {
    throw new OperatingError(
      'registry_setup_failed',
      `Setting BACKWARD compatibility: expected 200, got ${answer.status} ${text}`,
    )
  }
}

export const registryService: ServiceDefinition = { name: 'registry', portsCount: 1, prepare }
