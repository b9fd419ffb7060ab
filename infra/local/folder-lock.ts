/**
 * The lock that keeps two starts of a stack apart, and the removal of one that a killed process left: two that find it at the same
 * time must not both win.
 */
import { createHash, randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { OnProgress } from '#infra/local/downloads.ts'
import { identify, isAlive, type ProcessIdentity } from '#infra/local/processes.ts'
import { OperatingError } from '#platform/errors.ts'

/**
 * Runs `action` while no other process of ours does the same in this folder. Waits for it, at most `timeoutMs`.
 * @throws OperatingError `stack_locked`
 */
export async function withFolderLock<Result>(
  folder: string,
  options: { timeoutMs: number; onProgress: OnProgress; signal?: AbortSignal | undefined },
  action: () => Promise<Result>,
): Promise<Result> {
  mkdirSync(folder, { recursive: true })
  const lockFile = join(folder, 'lock.json')
  const deadline = performance.now() + options.timeoutMs
  let told = false
  while (!tryLock(lockFile)) {
    const text = readLock(lockFile)
    if (text === undefined) continue
    const holder = holderOf(text)
    if (!isHeld(holder) && removeStale(lockFile, text)) continue
    const name = holder === undefined ? 'another process' : `process ${holder.pid}`
    if (!told) options.onProgress(`waiting for ${name}, which starts or stops this stack`)
    told = true
    if (performance.now() >= deadline) {
      throw new OperatingError('stack_locked', `expected ${lockFile} to be free, found it held by ${name}`)
    }
    await sleep(100, undefined, { signal: options.signal })
  }
  try {
    return await action()
  } finally {
    rmSync(lockFile, { force: true })
  }
}

/**
 * Removes a lock whose holder is gone. Whoever removes it holds a lock of its own, named after what the stale one says, and looks
 * again first: a lock that somebody has taken meanwhile says something else, and nobody but its holder touches it.
 *
 * @param staleText What the lock said when its holder was found to be gone.
 * @returns whether the lock may be free now; false where another process is removing it
 */
export function removeStale(lockFile: string, staleText: string): boolean {
  const removal = removalOf(lockFile, staleText)
  if (!tryLock(removal)) {
    const text = readLock(removal)
    // Whoever was removing it may be gone, too.
    return text === undefined || (!isHeld(holderOf(text)) && removeStale(removal, text))
  }
  try {
    if (readLock(lockFile) === staleText) rmSync(lockFile, { force: true })
    return true
  } finally {
    rmSync(removal, { force: true })
  }
}

/** The lock of whoever removes a stale one. */
export const removalOf = (lockFile: string, staleText: string): string =>
  `${lockFile}.${createHash('sha256').update(staleText).digest('hex').slice(0, 16)}`

/** Takes a lock: the file is there at once and whole, or somebody else's is. */
function tryLock(lockFile: string): boolean {
  const ownFile = `${lockFile}.${process.pid}.${randomBytes(4).toString('hex')}`
  writeFileSync(ownFile, JSON.stringify(identify(process.pid)), { flag: 'wx' })
  try {
    linkSync(ownFile, lockFile)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(ownFile, { force: true })
  }
}

/** What a lock says; undefined where there is none. */
function readLock(lockFile: string): string | undefined {
  try {
    return readFileSync(lockFile, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Who holds it; undefined where the file doesn't say: then it isn't one of ours that lives. */
function holderOf(text: string): ProcessIdentity | undefined {
  try {
    const holder = JSON.parse(text) as Partial<ProcessIdentity> | null
    return typeof holder?.pid === 'number' ? (holder as ProcessIdentity) : undefined
  } catch {
    return undefined
  }
}

const isHeld = (holder: ProcessIdentity | undefined): boolean => holder !== undefined && isAlive(holder)
