/** What every object storage must do: the same calls against each kind. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ObjectStorage, readWhole } from './object-storage.ts'

/** Declares the tests of one kind. @param open called once, before them */
export const behavesAsStorage = (kind: string, open: () => Promise<ObjectStorage> | ObjectStorage): void => {
  const folder = mkdtempSync(join(tmpdir(), 'tallystream-storage-'))
  const file = join(folder, 'content')
  const large = Buffer.alloc(9 * 1024 * 1024, 'some bytes and more ')
  let storage: ObjectStorage

  beforeAll(async () => {
    storage = await open()
    writeFileSync(file, 'content')
    writeFileSync(join(folder, 'large'), large)
  })
  afterAll(async () => {
    await storage.close()
    rmSync(folder, { recursive: true })
  })

  const keys = async (prefix: string): Promise<string[]> => {
    const found: string[] = []
    for await (const { key } of storage.list(prefix)) found.push(key)
    return found
  }

  describe(`objects in ${kind}`, () => {
    it('are there as they were stored', async () => {
      await storage.putFile('a/b/one', file)
      await storage.putFile('a/b/one', file)
      expect((await readWhole(storage, 'a/b/one')).toString()).toBe('content')
      for await (const object of storage.list('a/b/')) expect(object).toEqual({ key: 'a/b/one', bytes: 7 })
    })

    it('may be larger than what is in memory at once', async () => {
      await storage.putFile('large', join(folder, 'large'))
      const hash = createHash('sha256')
      for await (const part of (await storage.read('large')) as AsyncIterable<Buffer>) hash.update(part)
      expect(hash.digest('hex')).toBe(createHash('sha256').update(large).digest('hex'))
    })

    it('are not replaced by create', async () => {
      expect(await storage.create('a/c', Buffer.from('first'))).toBe(true)
      expect(await storage.create('a/c', Buffer.from('second'))).toBe(false)
      expect((await readWhole(storage, 'a/c')).toString()).toBe('first')
    })

    it('are listed in the order of their keys', async () => {
      const sorted = ['l/a-b', 'l/a/b', 'l/a/z', 'l/a0', 'l/b']
      for (const key of [...sorted].reverse()) await storage.putFile(key, file)
      expect(await keys('l/')).toEqual(sorted)
      expect(await keys('l/a')).toEqual(sorted.slice(0, 4))
      expect(await keys('nothing/')).toEqual([])
    })

    it('that are missing are a coded error', async () => {
      await expect(storage.read('a/none')).rejects.toMatchObject({ code: 'object_missing' })
    })
  })
}
