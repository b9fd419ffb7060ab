/**
 * Completes package-lock.json with the binary packages of other platforms. npm leaves out those that it could not or need not
 * fetch where the lock file was written; `npm ci` then refuses to run (npm 11 and newer) or leaves another platform without its
 * binaries. Run after each change of a dependency: `node infra/local/complete-lockfile.ts`; tests/lockfile.test.ts checks it.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface LockedPackage {
  version?: string
  dev?: boolean
  optional?: boolean
  os?: string[]
  cpu?: string[]
  libc?: string[]
  optionalDependencies?: Record<string, string>
}

export interface Lockfile {
  packages: Record<string, LockedPackage>
}

/** An optional dependency that the lock file names but doesn't hold. */
export interface MissingPackage {
  name: string
  version: string
  dev: boolean
}

export const lockFile = fileURLToPath(new URL('../../package-lock.json', import.meta.url))

export function readLockfile(): Lockfile {
  return JSON.parse(readFileSync(lockFile, 'utf8')) as Lockfile
}

/** Where Node would find `name` from the package at `from`: the nearest node_modules upwards. */
function isLocked(packages: Lockfile['packages'], from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`] !== undefined) return true
    if (folder === '') return false
  }
}

/** Every optional dependency without an entry. */
export function missingPackages({ packages }: Lockfile): MissingPackage[] {
  return Object.entries(packages).flatMap(([path, locked]) =>
    Object.entries(locked.optionalDependencies ?? {})
      .filter(([name]) => !isLocked(packages, path, name))
      .map(([name, version]) => ({ name, version, dev: locked.dev === true })),
  )
}

const platformPattern =
  /[-/](android|darwin|freebsd|linux|openharmony|win32)-(arm64|arm|ia32|ppc64|riscv64|s390x|x64)(?:-(\w+))?$/

/**
 * The entry of a binary package, read off its name (`…-linux-x64-musl`). Without a hash: what can't be fetched here can't be
 * hashed here, and npm takes an entry without one.
 */
export function entryOf({ name, version, dev }: MissingPackage): LockedPackage {
  const match = platformPattern.exec(name)
  if (match === null || !/^\d+\.\d+\.\d+/.test(version)) {
    throw new Error(`Expected a platform's binary package with an exact version, got ${name}@${version}`)
  }
  const [, os = '', cpu = '', abi = ''] = match
  const libc =
    os !== 'linux' ? [] : abi.startsWith('musl') ? ['musl'] : abi.startsWith('gnu') ? ['glibc'] : []
  return {
    version,
    cpu: [cpu],
    ...(dev ? { dev } : {}),
    ...(libc.length > 0 ? { libc } : {}),
    optional: true,
    os: [os],
  }
}

function complete(): void {
  const lock = readLockfile()
  const missing = missingPackages(lock)
  for (const each of missing) lock.packages[`node_modules/${each.name}`] = entryOf(each)
  const sorted = Object.entries(lock.packages).sort(([left], [right]) => left.localeCompare(right, 'en'))
  const text = JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)
  if (missing.length > 0) writeFileSync(lockFile, `${text}\n`)
  process.stdout.write(`${missing.length} packages of other platforms added to package-lock.json\n`)
}

if (import.meta.main) complete()
