/** Objects in a folder: what every storage does, and what is particular to files. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { behavesAsStorage } from './conformance.fixtures.ts'
import { FolderStorage } from './folder-storage.ts'
import { readWhole } from './object-storage.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallystream-folder-storage-'))
const storage = new FolderStorage(join(folder, 'objects'))
afterAll(() => rmSync(folder, { recursive: true }))

behavesAsStorage('a folder', () => storage)

describe('files', () => {
  it('appear whole: no temporary one is left', () => {
    const names = readdirSync(join(folder, 'objects'), { recursive: true, encoding: 'utf8' })
    expect(names).toContain('large')
    expect(names.filter((name) => name.endsWith('.part'))).toEqual([])
  })

  it('of several writers of one key exactly one succeeds', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => storage.create('a/race', Buffer.from(String(n)))),
    )
    expect(answers.filter(Boolean)).toHaveLength(1)
    expect((await readWhole(storage, 'a/race')).toString()).toBe(String(answers.indexOf(true)))
  })

  it('outside of the folder are refused', async () => {
    await expect(storage.read('../content')).rejects.toMatchObject({ code: 'storage_refused' })
    await expect(storage.create('', Buffer.alloc(0))).rejects.toMatchObject({ code: 'storage_refused' })
  })
})
