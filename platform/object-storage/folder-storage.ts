/**
 * Objects as files below a folder. An object appears by a rename (or a link, where it must not replace anything), after its
 * bytes are on the disk: a crash leaves at most a temporary file, which a later start removes.
 */
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { copyFile, link, mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import type { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { OperatingError, UnreachableError } from '#platform/errors.ts'
import { type ObjectStorage, objectMissing, type StoredObject } from './object-storage.ts'

const TEMPORARY = '.part'
/** A temporary file of this age was left by a crash. */
const TEMPORARY_AGE_MAX_MS = 24 * 60 * 60 * 1_000

const codeOf = (error: unknown): unknown => (error as NodeJS.ErrnoException | undefined)?.code

const storageError = (error: unknown, doing: string): OperatingError => {
  if (error instanceof OperatingError) return error
  const message = `${doing}: ${(error as Error).message}`
  // A full or absent disk may be there again later; a refusal stays one.
  const retriable = !['EACCES', 'EPERM', 'EROFS', 'ENAMETOOLONG', 'EINVAL'].includes(String(codeOf(error)))
  return retriable
    ? new UnreachableError('storage', message, { cause: error })
    : new OperatingError('storage_refused', message, { cause: error })
}

export class FolderStorage implements ObjectStorage {
  readonly location: string
  readonly #root: string

  /** @param root made where it isn't there */
  constructor(root: string) {
    this.#root = resolve(root)
    this.location = pathToFileURL(this.#root).href
  }

  async putFile(key: string, file: string): Promise<void> {
    await this.#store(key, (temporary) => copyFile(file, temporary), rename)
  }

  async create(key: string, content: Buffer): Promise<boolean> {
    try {
      await this.#store(key, (temporary) => writeFile(temporary, content), link)
      return true
    } catch (error) {
      if (codeOf((error as Error).cause) === 'EEXIST') return false
      throw error
    }
  }

  async read(key: string): Promise<Readable> {
    const path = this.#pathOf(key)
    try {
      await stat(path)
      return createReadStream(path)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') throw objectMissing(this.location, key)
      throw storageError(error, `reading ${key}`)
    }
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    // Only whole folders can be left out; the rest is compared.
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
    for await (const object of this.#walk(folder)) if (object.key.startsWith(prefix)) yield object
  }

  async close(): Promise<void> {}

  async *#walk(folder: string): AsyncGenerator<StoredObject> {
    const entries = await this.#entries(folder)
    for (const { name, isFolder } of entries) {
      const key = folder + name
      if (isFolder) yield* this.#walk(key)
      else if (name.endsWith(TEMPORARY)) await this.#removeOld(key)
      else {
        const found = await stat(this.#pathOf(key)).catch(() => undefined)
        if (found !== undefined) yield { key, bytes: found.size }
      }
    }
  }

  /** A folder's entries in the order of the keys below them: a folder's name counts with its slash. */
  async #entries(folder: string): Promise<{ name: string; isFolder: boolean }[]> {
    try {
      const entries = await readdir(folder === '' ? this.#root : this.#pathOf(folder.slice(0, -1)), {
        withFileTypes: true,
      })
      return entries
        .map((entry) => ({
          name: entry.name + (entry.isDirectory() ? '/' : ''),
          isFolder: entry.isDirectory(),
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1))
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return []
      throw storageError(error, `listing ${folder}`)
    }
  }

  async #removeOld(key: string): Promise<void> {
    const path = this.#pathOf(key)
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined && Date.now() - found.mtimeMs > TEMPORARY_AGE_MAX_MS)
      await rm(path, { force: true })
  }

  async #store(
    key: string,
    write: (temporary: string) => Promise<void>,
    publish: (temporary: string, path: string) => Promise<void>,
  ): Promise<void> {
    const path = this.#pathOf(key)
    const temporary = `${path}.${randomBytes(6).toString('hex')}${TEMPORARY}`
    try {
      await mkdir(dirname(path), { recursive: true })
      await write(temporary)
      await synced(temporary)
      await publish(temporary, path)
      await synced(dirname(path))
    } catch (error) {
      throw storageError(error, `storing ${key}`)
    } finally {
      await rm(temporary, { force: true }).catch(() => undefined)
    }
  }

  #pathOf(key: string): string {
    const path = join(this.#root, ...key.split('/'))
    if (key === '' || !path.startsWith(this.#root + sep)) {
      throw new OperatingError('storage_refused', `expected a key below the folder, found "${key}"`)
    }
    return path
  }
}

/** Waits until a file's bytes, or a folder's entries, are on the disk. */
const synced = async (path: string): Promise<void> => {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
