/**
 * Starts and stops the whole stack as private processes on loopback: broker, registry, Postgres, Redis. All start at once,
 * each is asked in its own protocol whether it answers, and whatever a killed run left behind is found and ended first.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { OnProgress } from '#infra/local/downloads.ts'
import { withFolderLock } from '#infra/local/folder-lock.ts'
import { findFreePorts, waitUntilFree } from '#infra/local/ports.ts'
import { identify, isAlive, launch, signalProcess, terminate } from '#infra/local/processes.ts'
import { kafkaService } from '#infra/local/services/kafka.ts'
import { fallbackFolder, postgresService } from '#infra/local/services/postgres.ts'
import { redisService } from '#infra/local/services/redis.ts'
import { registryService } from '#infra/local/services/registry.ts'
import type {
  KafkaOptions,
  ServiceContext,
  ServiceDefinition,
  ServicePlan,
} from '#infra/local/services/service.ts'
import {
  defaultStackFolder,
  readState,
  type ServiceName,
  type ServiceRecord,
  type StackEndpoints,
  type StackState,
  serviceNames,
  writeState,
} from '#infra/local/state.ts'
import { OperatingError } from '#platform/errors.ts'

const READY_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 15_000
/** Long enough for another process's first download. */
const LOCK_TIMEOUT_MS = 10 * 60_000
const PORT_TIMEOUT_MS = 3000
const START_ATTEMPTS_MAX = 3
const LOG_BYTES_MAX = 10 * 1024 * 1024
/** What a service says when its predecessor isn't quite gone, or its port was taken meanwhile: worth another attempt. */
const passingTrouble =
  /already in use|Address in use|still in use|shared memory block|Failed to bind|may be already/i

const definitions: Record<ServiceName, ServiceDefinition> = {
  kafka: kafkaService,
  registry: registryService,
  postgres: postgresService,
  redis: redisService,
}

export interface StartOptions {
  /** Where state, logs and data go. */
  dataDir?: string
  /** All by default. */
  services?: readonly ServiceName[]
  /** `detached` outlives this process; `attached` (the default) counts as a leftover once this process is gone. */
  mode?: StackState['mode']
  kafkaOptions?: KafkaOptions
  onProgress?: OnProgress
  /** Aborting ends what was started and rejects. */
  signal?: AbortSignal
}

/** One running service, for those who break things on purpose. */
export interface RunningService {
  readonly pid: number
  readonly logFile: string
  isAlive(): boolean
  /** Sends a signal to its main process; false when it was gone. */
  kill(signal: NodeJS.Signals): boolean
  /** Ends it in order (if it still runs) and starts it again on the same data and, if still free, the same ports. */
  restart(): Promise<void>
}

export interface RunningStack {
  readonly endpoints: StackEndpoints
  readonly dataDir: string
  /** What this call started; services that ran before are used and left alone. */
  readonly startedHere: readonly ServiceName[]
  service(name: ServiceName): RunningService
  /** Ends what this call started. */
  stop(): Promise<void>
}

/** Everything one start works with. */
interface Run {
  dataDir: string
  state: StackState
  kafkaOptions: KafkaOptions
  onProgress: OnProgress
  signal: AbortSignal | undefined
}

/**
 * Starts the wanted services, or joins those that already run.
 *
 * @throws OperatingError `service_start_failed` with the service's last log lines, after ending whatever had started.
 */
export async function startStack(options: StartOptions = {}): Promise<RunningStack> {
  const dataDir = options.dataDir ?? defaultStackFolder
  const onProgress = options.onProgress ?? (() => {})
  const lock = { timeoutMs: LOCK_TIMEOUT_MS, onProgress, signal: options.signal }
  return withFolderLock(dataDir, lock, async () => {
    const state = await takeOver(dataDir, options.mode ?? 'attached', onProgress)
    const kafkaOptions = options.kafkaOptions ?? {}
    const run: Run = { dataDir, state, kafkaOptions, onProgress, signal: options.signal }
    const wanted = options.services ?? serviceNames
    const missing = wanted.filter((name) => !isRunning(state, name))
    const release = options.mode === 'detached' ? () => {} : endWithThisProcess(state, missing)
    try {
      await startAll(run, missing)
    } catch (error) {
      release()
      throw error
    }
    return runningStack({ ...run, signal: undefined }, { startedHere: missing, release })
  })
}

/**
 * Should this process end without stopping its stack (a second Ctrl-C, an error that nobody caught), the services are at least
 * asked to end: an exit handler can't wait for them. Returns what takes the handler away again.
 */
function endWithThisProcess(state: StackState, names: readonly ServiceName[]): () => void {
  const onExit = () => {
    for (const name of names) {
      const record = state.services[name]
      if (record !== undefined) signalProcess(record.process, record.stopSignal)
    }
  }
  process.on('exit', onExit)
  return () => process.off('exit', onExit)
}

function isRunning(state: StackState, name: ServiceName): boolean {
  const record = state.services[name]
  return record !== undefined && isAlive(record.process)
}

/** Keeps services that somebody still answers for, ends leftovers, and returns the state to go on with (ports are remembered). */
async function takeOver(
  dataDir: string,
  mode: StackState['mode'],
  onProgress: OnProgress,
): Promise<StackState> {
  const found = readState(dataDir)
  const owner = identify(process.pid)
  if (found === undefined) return { version: 1, mode, owner, services: {} }
  const alive = serviceNames.filter((name) => isRunning(found, name))
  if (alive.length > 0 && (found.mode === 'detached' || isAlive(found.owner))) {
    onProgress(`using what already runs: ${alive.join(', ')}`)
    // A stack put up to stay keeps that promise, whoever joins it.
    return found.mode === 'detached' || mode === 'attached' ? found : { ...found, mode }
  }
  if (alive.length > 0) onProgress(`ending what an earlier run left behind: ${alive.join(', ')}`)
  await Promise.all(alive.map((name) => end(found.services[name])))
  return { ...found, mode, owner }
}

async function end(record: ServiceRecord | undefined): Promise<void> {
  if (record === undefined) return
  await terminate(record.process, { signal: record.stopSignal, timeoutMs: STOP_TIMEOUT_MS })
}

/** Starts several at once; if one fails, or the caller gives up, those that came up go down again. */
async function startAll(run: Run, names: readonly ServiceName[]): Promise<void> {
  const failed = new AbortController()
  const signal = run.signal === undefined ? failed.signal : AbortSignal.any([run.signal, failed.signal])
  const results = await Promise.allSettled(
    names.map((name) =>
      startService({ ...run, signal }, name).catch((error: unknown) => {
        // The first failure stops the others' waiting; its own reason is the one to tell.
        if (!failed.signal.aborted) failed.abort(error)
        throw error
      }),
    ),
  )
  if (results.every((result) => result.status === 'fulfilled')) return
  await Promise.all(names.map((name) => end(run.state.services[name])))
  if (run.signal?.aborted) throw new OperatingError('start_cancelled', 'The start of the stack was cancelled')
  throw failed.signal.reason
}

async function startService(run: Run, name: ServiceName): Promise<void> {
  const definition = definitions[name]
  const startedAt = performance.now()
  const onProgress = (message: string) => run.onProgress(`${name}: ${message}`)
  const logFile = join(run.dataDir, `${name}.log`)
  rotateLog(logFile)
  for (let attempt = 1; ; attempt += 1) {
    const wanted = run.state.services[name]?.ports ?? []
    const ports = await findFreePorts(
      Array.from({ length: definition.portsCount }, (_, index) => wanted[index] ?? 0),
    )
    const { kafkaOptions, signal } = run
    const context: ServiceContext = {
      folder: join(run.dataDir, name),
      logFile,
      ports,
      kafkaOptions,
      onProgress,
      signal,
    }
    const plan = await definition.prepare(context)
    signal?.throwIfAborted()
    const logStart = existsSync(logFile) ? statSync(logFile).size : 0
    recordLaunch(run, name, { plan, ports })
    const trouble = await waitUntilReady(run, name, plan)
    if (trouble === undefined) {
      await plan.afterReady?.()
      onProgress(`ready after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
      return
    }
    await end(run.state.services[name])
    signal?.throwIfAborted()
    const tail = lastLines(logFile, logStart)
    if (attempt >= START_ATTEMPTS_MAX || !passingTrouble.test(tail)) {
      throw new OperatingError(
        'service_start_failed',
        `${name} ${trouble}. Its last log lines (${logFile}):\n${tail}`,
      )
    }
    onProgress(`${trouble}, trying again`)
    await sleep(300 * attempt)
  }
}

/** Launches and writes the process down in the same breath: a kill right after finds it again. */
function recordLaunch(
  run: Run,
  name: ServiceName,
  { plan, ports }: { plan: ServicePlan; ports: number[] },
): void {
  mkdirSync(run.dataDir, { recursive: true })
  run.state.services[name] = {
    process: launch(plan.process),
    ports,
    endpoints: plan.endpoints,
    stopSignal: plan.stopSignal,
    logFile: plan.process.logFile,
  }
  writeState(run.dataDir, run.state)
}

/** Undefined once ready; otherwise what went wrong. */
async function waitUntilReady(run: Run, name: ServiceName, plan: ServicePlan): Promise<string | undefined> {
  const deadline = performance.now() + READY_TIMEOUT_MS
  while (!run.signal?.aborted) {
    if (!isRunning(run.state, name)) return 'ended while starting'
    if (await plan.isReady()) return undefined
    if (performance.now() >= deadline) return `was not ready within ${READY_TIMEOUT_MS / 1000} s`
    await sleep(30)
  }
  return 'was not waited for'
}

function rotateLog(logFile: string): void {
  if (existsSync(logFile) && statSync(logFile).size > LOG_BYTES_MAX) renameSync(logFile, `${logFile}.old`)
}

function lastLines(logFile: string, fromByte: number): string {
  const text = existsSync(logFile) ? readFileSync(logFile).subarray(fromByte).toString('utf8').trim() : ''
  return text === '' ? '(nothing)' : text.split('\n').slice(-20).join('\n')
}

function runningStack(
  run: Run,
  { startedHere, release }: { startedHere: readonly ServiceName[]; release: () => void },
): RunningStack {
  const record = (name: ServiceName): ServiceRecord => {
    const found = run.state.services[name]
    if (found === undefined) throw new Error(`The stack in ${run.dataDir} has no ${name}`)
    return found
  }
  const endpoints = Object.assign(
    {},
    ...Object.values(run.state.services).map((service) => service.endpoints),
  )
  return {
    endpoints,
    dataDir: run.dataDir,
    startedHere,
    service: (name) => ({
      get pid() {
        return record(name).process.pid
      },
      logFile: record(name).logFile,
      isAlive: () => isAlive(record(name).process),
      kill: (signal) => signalProcess(record(name).process, signal),
      restart: async () => {
        await end(record(name))
        await waitUntilFree(record(name).ports, PORT_TIMEOUT_MS)
        await startService(run, name)
        Object.assign(endpoints, record(name).endpoints)
      },
    }),
    stop: async () => {
      await Promise.all(startedHere.map((name) => end(run.state.services[name])))
      release()
    },
  }
}

/** One line of `stack status`. */
export interface ServiceStatus {
  name: ServiceName
  running: boolean
  pid: number | undefined
  ports: number[]
  logFile: string | undefined
}

/** What runs of the stack in a folder, and where. */
export function stackStatus(dataDir = defaultStackFolder): {
  services: ServiceStatus[]
  endpoints: StackEndpoints
} {
  const state = readState(dataDir)
  const services = serviceNames.map((name): ServiceStatus => {
    const record = state?.services[name]
    const running = record !== undefined && isAlive(record.process)
    return {
      name,
      running,
      pid: running ? record.process.pid : undefined,
      ports: record?.ports ?? [],
      logFile: record?.logFile,
    }
  })
  const running = services.filter((service) => service.running)
  const endpoints = Object.assign({}, ...running.map(({ name }) => state?.services[name]?.endpoints))
  return { services, endpoints }
}

/** Ends every service of the stack in a folder and returns the names of those that ran. Data stays. */
export async function stopStack(
  options: { dataDir?: string; onProgress?: OnProgress } = {},
): Promise<ServiceName[]> {
  const dataDir = options.dataDir ?? defaultStackFolder
  if (!existsSync(dataDir)) return []
  const onProgress = options.onProgress ?? (() => {})
  return withFolderLock(dataDir, { timeoutMs: LOCK_TIMEOUT_MS, onProgress }, async () => {
    const state = readState(dataDir)
    if (state === undefined) return []
    const alive = serviceNames.filter((name) => isRunning(state, name))
    await Promise.all(alive.map((name) => end(state.services[name])))
    return alive
  })
}

/** Ends the stack and deletes all its data. */
export async function resetStack(options: { dataDir?: string; onProgress?: OnProgress } = {}): Promise<void> {
  const dataDir = options.dataDir ?? defaultStackFolder
  await stopStack(options)
  rmSync(dataDir, { recursive: true, force: true })
  rmSync(fallbackFolder(join(dataDir, 'postgres')), { recursive: true, force: true })
}
