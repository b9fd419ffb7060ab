/** What every service of the local stack has in common: how it is prepared, started, asked whether it is ready, and ended. */
import type { OnProgress } from '#infra/local/downloads.ts'
import type { ProcessPlan } from '#infra/local/processes.ts'
import type { ServiceName, StackEndpoints } from '#infra/local/state.ts'

/** Settings of the broker that tests change. */
export interface KafkaOptions {
  /** Broker properties on top of (or instead of) the usual ones. */
  properties?: Readonly<Record<string, string>>
  /** Also opens a SASL_SSL listener on which this user may log in (SCRAM-SHA-256 and SCRAM-SHA-512). Made when the data folder is. */
  sasl?: { username: string; password: string }
  /** Further plain listeners, each advertised under another port of this machine: that of a proxy in front of it. */
  proxied?: readonly { port: number; advertisedPort: number }[]
}

export interface ServiceContext {
  /** The service's own folder; data in it outlives the process. */
  folder: string
  logFile: string
  /** Free ports on loopback, as many as `portsCount`. */
  ports: readonly number[]
  kafkaOptions: KafkaOptions
  onProgress: OnProgress
  signal?: AbortSignal | undefined
}

/** A service ready to be launched. */
export interface ServicePlan {
  process: ProcessPlan
  endpoints: StackEndpoints
  stopSignal: NodeJS.Signals
  isReady(): Promise<boolean>
  /** Once ready, before anybody is told so. */
  afterReady?(): Promise<void>
}

export interface ServiceDefinition {
  name: ServiceName
  portsCount: number
  prepare(context: ServiceContext): Promise<ServicePlan>
}

/** The n-th port; a missing one is a programming error. */
export function portAt(ports: readonly number[], index: number): number {
  const port = ports[index]
  if (port === undefined) throw new Error(`Expected port number ${index}, got ${ports.length} ports`)
  return port
}
