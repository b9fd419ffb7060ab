/** The Kafka broker: one node, KRaft, broker and controller in one process. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureJavaParts } from '#infra/local/downloads.ts'
import { kafkaAnswers, kafkaCoordinatorsAnswer } from '#infra/local/probes.ts'
import { runOrFail } from '#infra/local/programs.ts'
import {
  type KafkaOptions,
  portAt,
  type ServiceContext,
  type ServiceDefinition,
  type ServicePlan,
} from '#infra/local/services/service.ts'
import type { StackEndpoints } from '#infra/local/state.ts'

const loggingFile = fileURLToPath(new URL('../log4j2.properties', import.meta.url))
/** Only guards a key pair made for one machine and one test; the file itself is readable by its owner alone. */
const KEYSTORE_PASSWORD = 'tallystream-local'

/** Small heap and the quick compiler only: three Java services share a laptop with the engine, and starting matters more than the last per cent. */
const javaFlags = [
  '-Xmx512m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  `-Dlog4j2.configurationFile=${loggingFile}`,
]

/** The properties of a broker that is alone. */
function brokerProperties(
  context: ServiceContext,
  files: { logFolder: string; keystore: string },
): Record<string, string> {
  const [port, controllerPort, saslPort] = [0, 1, 2].map((index) => portAt(context.ports, index))
  const sasl = context.kafkaOptions.sasl
  const listeners = [`PLAINTEXT://127.0.0.1:${port}`]
  if (sasl !== undefined) listeners.push(`SASL_SSL://127.0.0.1:${saslPort}`)
  const proxied = context.kafkaOptions.proxied ?? []
  const behindProxies = (portOf: (of: (typeof proxied)[number]) => number) =>
    proxied.map((listener, index) => `PROXIED${index}://127.0.0.1:${portOf(listener)}`)
  const protocols = ['PLAINTEXT:PLAINTEXT', 'CONTROLLER:PLAINTEXT', 'SASL_SSL:SASL_SSL'].concat(
    proxied.map((_listener, index) => `PROXIED${index}:PLAINTEXT`),
  )
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: [
      ...[...listeners, ...behindProxies(({ port }) => port)],
      `CONTROLLER://127.0.0.1:${controllerPort}`,
    ].join(','),
    'advertised.listeners': [...listeners, ...behindProxies(({ advertisedPort }) => advertisedPort)].join(
      ',',
    ),
    'listener.security.protocol.map': protocols.join(','),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': files.logFolder,
    'auto.create.topics.enable': 'false',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.num.partitions': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    // 6000 by default: a dead processor's partitions would stay unread that long, and takeover is to happen within 3 seconds.
    'group.min.session.timeout.ms': '1000',
    // 9000 by default, and so long a broker that was killed is not let in again: the controller still sees its predecessor.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    'log.cleaner.dedupe.buffer.size': '16777216',
    ...(sasl === undefined ? {} : saslProperties(files.keystore)),
    ...context.kafkaOptions.properties,
  }
}

function saslProperties(keystore: string): Record<string, string> {
  return {
    'sasl.enabled.mechanisms': 'SCRAM-SHA-256,SCRAM-SHA-512',
    'ssl.keystore.type': 'PKCS12',
    'ssl.keystore.location': keystore,
    'ssl.keystore.password': KEYSTORE_PASSWORD,
    'ssl.key.password': KEYSTORE_PASSWORD,
  }
}

/** A key pair for 127.0.0.1 and its certificate, which clients trust by file. */
async function makeKeystore(keystore: string, certificateFile: string): Promise<void> {
  if (existsSync(certificateFile)) return
  rmSync(keystore, { force: true })
  const store = [
    '-keystore',
    keystore,
    '-storetype',
    'PKCS12',
    '-storepass',
    KEYSTORE_PASSWORD,
    '-alias',
    'broker',
  ]
  const options = { timeoutMs: 60_000 }
  await runOrFail(
    'keytool',
    [
      ...['-genkeypair', ...store, '-keyalg', 'EC', '-groupname', 'secp256r1', '-validity', '3650'],
      ...['-dname', 'CN=localhost', '-ext', 'san=ip:127.0.0.1,dns:localhost'],
    ],
    options,
  )
  await runOrFail('keytool', ['-exportcert', '-rfc', ...store, '-file', certificateFile], options)
}

/** Formats the log folder once. The marker is written last, so a format that was cut short is done again. */
async function formatOnce(
  context: ServiceContext,
  files: { logFolder: string; propertiesFile: string; classPath: string },
): Promise<void> {
  const marker = join(context.folder, 'formatted')
  if (existsSync(marker)) return
  context.onProgress('formatting')
  rmSync(files.logFolder, { recursive: true, force: true })
  // The tool takes an id that begins with a dash for an option: one in sixty-four would.
  const clusterId = `A${randomBytes(16).toString('base64url').slice(1)}`
  await runOrFail(
    'java',
    [
      ...[...javaFlags, '-cp', files.classPath, 'kafka.tools.StorageTool', 'format'],
      ...[
        '--cluster-id',
        clusterId,
        '--config',
        files.propertiesFile,
        ...scramArguments(context.kafkaOptions),
      ],
    ],
    { timeoutMs: 60_000, signal: context.signal },
  )
  writeFileSync(marker, `${clusterId}\n`)
}

function scramArguments({ sasl }: KafkaOptions): string[] {
  if (sasl === undefined) return []
  return ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
    '--add-scram',
    `${mechanism}=[name=${sasl.username},password=${sasl.password}]`,
  ])
}

/** Properties-file text; the mechanism's login module needs a line of its own. */
function propertiesText(properties: Record<string, string>, withSasl: boolean): string {
  const lines = Object.entries(properties).map(([key, value]) => `${key}=${value.replaceAll('\\', '\\\\')}`)
  if (withSasl) {
    for (const mechanism of ['scram-sha-256', 'scram-sha-512']) {
      const module = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
      lines.push(`listener.name.sasl_ssl.${mechanism}.sasl.jaas.config=${module}`)
    }
  }
  return `${lines.join('\n')}\n`
}

async function prepare(context: ServiceContext): Promise<ServicePlan> {
  const { classPath } = await ensureJavaParts(context)
  mkdirSync(context.folder, { recursive: true })
  const logFolder = join(context.folder, 'log')
  const propertiesFile = join(context.folder, 'server.properties')
  const keystore = join(context.folder, 'broker.p12')
  const certificateFile = join(context.folder, 'broker.pem')
  const sasl = context.kafkaOptions.sasl
  if (sasl !== undefined) await makeKeystore(keystore, certificateFile)
  const properties = brokerProperties(context, { logFolder, keystore })
  writeFileSync(propertiesFile, propertiesText(properties, sasl !== undefined), { mode: 0o600 })
  await formatOnce(context, { logFolder, propertiesFile, classPath })
  const port = portAt(context.ports, 0)
  const endpoints: StackEndpoints = { kafkaBrokers: `127.0.0.1:${port}` }
  if (sasl !== undefined) {
    endpoints.kafkaSaslBrokers = `127.0.0.1:${portAt(context.ports, 2)}`
    endpoints.kafkaSslCaFile = certificateFile
  }
  return {
    process: {
      command: 'java',
      arguments: [...javaFlags, '-cp', classPath, 'kafka.Kafka', propertiesFile],
      workingFolder: context.folder,
      logFile: context.logFile,
    },
    endpoints,
    stopSignal: 'SIGTERM',
    isReady: async () =>
      (await kafkaAnswers('127.0.0.1', port)) && (await kafkaCoordinatorsAnswer('127.0.0.1', port)),
  }
}

export const kafkaService: ServiceDefinition = { name: 'kafka', portsCount: 3, prepare }
