/**
 * A folder into which somebody drops files: each is taken once it has stopped growing, and moved away afterwards, so what is left in
 * the folder is what still has to be done. A file that is taken again (a crash between taking and moving) must do no harm.
 */
import { mkdir, readdir, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigurationError } from '#platform/errors.ts'

export interface DropFolderOptions {
  readonly folder: string
  readonly signal: AbortSignal
  /** Between two looks; a file must be the same in two of them. */
  readonly pollMs: number
  /** What a file is worth: it goes to the subfolder `imported` or `refused`. Errors leave it where it is and are thrown. */
  readonly take: (path: string) => Promise<'imported' | 'refused'>
}

/** Runs until the signal. @throws ConfigurationError where the folder can't be used; what `take` throws */
export async function watchDropFolder(options: DropFolderOptions): Promise<void> {
  const { folder, signal, pollMs, take } = options
  await makeFolders(folder)
  let seen = new Map<string, string>()
  while (!signal.aborted) {
    const now = await filesIn(folder)
    for (const [name, state] of now) {
      if (signal.aborted) return
      if (seen.get(name) !== state) continue
      const path = join(folder, name)
      await rename(path, join(folder, await take(path), name))
      now.delete(name)
    }
    seen = now
    await sleep(pollMs, undefined, { signal }).catch(() => undefined)
  }
}

async function makeFolders(folder: string): Promise<void> {
  try {
    for (const name of ['imported', 'refused']) await mkdir(join(folder, name), { recursive: true })
  } catch (error) {
    throw new ConfigurationError(`expected a folder, found ${folder} (${(error as Error).message})`, {
      cause: error,
    })
  }
}

/** Size and time of every file, by its name; in the order of names. Hidden files are somebody's half-written ones. */
async function filesIn(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const entries = await readdir(folder, { withFileTypes: true })
  const names = entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map(({ name }) => name)
  for (const name of names.sort()) {
    const { size, mtimeMs } = await stat(join(folder, name)).catch(() => ({ size: -1, mtimeMs: 0 }))
    if (size >= 0) found.set(name, `${size} ${mtimeMs}`)
  }
  return found
}
