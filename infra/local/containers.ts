/**
 * The same four services from container images, by testcontainers: for machines with a container engine and without Java.
 * Versions are those of infra/compose/compose.yaml. Imported lazily: the library takes half a second to load.
 */
import { randomBytes } from 'node:crypto'
import type { OnProgress } from '#infra/local/downloads.ts'
import { findProgram, runProgram } from '#infra/local/programs.ts'
import type { StackEndpoints } from '#infra/local/state.ts'
import { UnreachableError } from '#platform/errors.ts'

const START_TIMEOUT_MS = 5 * 60_000

export const images = {
  kafka: 'apache/kafka:4.3.1',
  registry: 'apicurio/apicurio-registry:2.6.13.Final',
  postgres: 'postgres:18',
  redis: 'redis:7',
} as const

/** Why containers can't be used here, or undefined when an engine answers. */
export async function containersUnavailable(): Promise<string | undefined> {
  if (findProgram('docker') === undefined) return 'no docker command on the search path'
  const result = await runProgram('docker', ['version', '--format', '{{.Server.Version}}'], {
    timeoutMs: 15_000,
  })
  return result.exitCode === 0
    ? undefined
    : result.stderr.trim().split('\n')[0] || 'the container engine does not answer'
}

export interface RunningContainers {
  endpoints: StackEndpoints
  stop(): Promise<void>
}

/**
 * Starts the four containers on free loopback ports.
 *
 * @throws UnreachableError when no container engine answers.
 */
export async function startContainers(options: { onProgress: OnProgress }): Promise<RunningContainers> {
  const reason = await containersUnavailable()
  if (reason !== undefined) throw new UnreachableError('container_engine', `STACK=containers: ${reason}`)
  options.onProgress(`starting containers: ${Object.values(images).join(', ')}`)
  const started: { stop(): Promise<unknown> }[] = []
  const stop = async () => {
    await Promise.all(started.map((container) => container.stop()))
  }
  const results = await Promise.allSettled([
    startKafka(started),
    startRegistry(started),
    startPostgres(started),
    startRedis(started),
  ])
  const failure = results.find((result) => result.status === 'rejected')
  if (failure !== undefined) {
    await stop()
    throw failure.reason
  }
  const endpoints = Object.assign(
    {},
    ...results.map((result) => (result.status === 'fulfilled' ? result.value : {})),
  )
  return { endpoints, stop }
}

type Started = { stop(): Promise<unknown> }[]

/** The broker must name its outside address before it starts, so its port is found first and fixed. */
async function startKafka(started: Started): Promise<StackEndpoints> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const { findFreePorts } = await import('#infra/local/ports.ts')
  const [port = 0] = await findFreePorts([0])
  const container = await new GenericContainer(images.kafka)
    .withEnvironment({
      KAFKA_NODE_ID: '1',
      KAFKA_PROCESS_ROLES: 'broker,controller',
      KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
      KAFKA_LISTENERS: `PLAINTEXT://:${port},CONTROLLER://localhost:9093`,
      KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${port}`,
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
      KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
      KAFKA_INTER_BROKER_LISTENER_NAME: 'PLAINTEXT',
      KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
      KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS: '1',
      KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
      KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
      KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS: '1',
      KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
      KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS: '1000',
    })
    .withExposedPorts({ container: port, host: port })
    .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
    .withStartupTimeout(START_TIMEOUT_MS)
    .start()
  started.push(container)
  return { kafkaBrokers: `127.0.0.1:${port}` }
}

async function startRegistry(started: Started): Promise<StackEndpoints> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const container = await new GenericContainer(images.registry)
    .withExposedPorts(8080)
    .withWaitStrategy(Wait.forHttp('/apis/ccompat/v7/subjects', 8080))
    .withStartupTimeout(START_TIMEOUT_MS)
    .start()
  started.push(container)
  const { requireBackwardCompatibility } = await import('#infra/local/services/registry.ts')
  const schemaRegistryUrl = `http://127.0.0.1:${container.getMappedPort(8080)}/apis/ccompat/v7`
  await requireBackwardCompatibility(schemaRegistryUrl)
  return { schemaRegistryUrl }
}

async function startPostgres(started: Started): Promise<StackEndpoints> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const password = randomBytes(18).toString('hex')
  const container = await new GenericContainer(images.postgres)
    .withEnvironment({
      POSTGRES_USER: 'tallystream',
      POSTGRES_PASSWORD: password,
      POSTGRES_DB: 'tallystream',
    })
    .withExposedPorts(5432)
    // Twice: the image starts a server for its own set-up first.
    .withWaitStrategy(Wait.forLogMessage(/database system is ready to accept connections/, 2))
    .withStartupTimeout(START_TIMEOUT_MS)
    .start()
  started.push(container)
  return {
    databaseUrl: `postgres://tallystream:${password}@127.0.0.1:${container.getMappedPort(5432)}/tallystream`,
  }
}

async function startRedis(started: Started): Promise<StackEndpoints> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const container = await new GenericContainer(images.redis)
    .withCommand(['redis-server', '--save', '', '--appendonly', 'no'])
    .withExposedPorts(6379)
    .withWaitStrategy(Wait.forLogMessage(/Ready to accept connections/))
    .withStartupTimeout(START_TIMEOUT_MS)
    .start()
  started.push(container)
  return { redisUrl: `redis://127.0.0.1:${container.getMappedPort(6379)}` }
}
