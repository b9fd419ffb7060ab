/** What a stack's folder remembers: which processes are ours, their ports and addresses. */
import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isAlive, type ProcessIdentity } from '#infra/local/processes.ts'

export const serviceNames = ['kafka', 'registry', 'postgres', 'redis'] as const
export type ServiceName = (typeof serviceNames)[number]

/** Where the services of a stack are reached; absent ones were not asked for. */
export interface StackEndpoints {
  /** `host:port`, as kafkajs takes it. */
  kafkaBrokers?: string
  /** Confluent API v7. */
  schemaRegistryUrl?: string
  databaseUrl?: string
  redisUrl?: string
  /** The encrypted listener of a broker started with `kafkaOptions.sasl`. */
  kafkaSaslBrokers?: string
  /** The certificate to trust for that listener (PEM file). */
  kafkaSslCaFile?: string
}

/** One service as written down right after its launch, before it is ready. */
export interface ServiceRecord {
  process: ProcessIdentity
  ports: number[]
  endpoints: StackEndpoints
  stopSignal: NodeJS.Signals
  logFile: string
}

export interface StackState {
  version: 1
  /** `detached`: outlives its starter (`stack up`). `attached`: belongs to a process, and is a leftover once that is gone. */
  mode: 'detached' | 'attached'
  owner: ProcessIdentity
  services: Partial<Record<ServiceName, ServiceRecord>>
}

/** The folder of the stack that `tallystream stack up` starts; git-ignored. */
export const defaultStackFolder = fileURLToPath(new URL('../../.tallystream/stack', import.meta.url))

const stateFile = (folder: string) => join(folder, 'state.json')

/** The state of a folder, or undefined when there is none (also when the file is no longer readable as such). */
export function readState(folder: string): StackState | undefined {
  try {
    const state = JSON.parse(readFileSync(stateFile(folder), 'utf8')) as StackState
    return state.version === 1 ? state : undefined
  } catch {
    return undefined
  }
}

/** Replaces the state file at once, so that a reader never sees half of it. Readable by its owner alone: it holds passwords. */
export function writeState(folder: string, state: StackState): void {
  const temporaryFile = `${stateFile(folder)}.${randomBytes(4).toString('hex')}`
  writeFileSync(temporaryFile, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 })
  renameSync(temporaryFile, stateFile(folder))
}

/** Addresses of all services that run now; undefined when none does. */
export function readRunningEndpoints(folder = defaultStackFolder): StackEndpoints | undefined {
  const records = Object.values(readState(folder)?.services ?? {}).filter((record) => isAlive(record.process))
  if (records.length === 0) return undefined
  return Object.assign({}, ...records.map((record) => record.endpoints)) as StackEndpoints
}
