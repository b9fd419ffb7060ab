/** Verifying where no archive is. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { FolderStorage } from '#platform/object-storage/folder-storage.ts'
import { Archive } from './archive.ts'
import { verifyArchive } from './verify.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallystream-no-archive-'))
afterAll(() => rmSync(folder, { recursive: true }))

it.each(['', 'nowhere'])(
  'is an error that names the place, not an archive that is as it was written (%j)',
  async (name) => {
    const storage = new FolderStorage(join(folder, name))
    await expect(verifyArchive(new Archive(storage, 'retail'))).rejects.toMatchObject({
      code: 'archive_empty',
      message: `there is no archive of the ledger retail in ${storage.location}`,
    })
    expect(readdirSync(folder)).toEqual([])
  },
)
