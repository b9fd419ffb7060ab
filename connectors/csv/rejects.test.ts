/** The reject file where it can't be written. */
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { RejectWriter } from './rejects.ts'

const line = { line: 2, reason: 'column_count', text: 'broken' }

test('a path that cannot be opened is told with the first line', async () => {
  await expect(new RejectWriter(tmpdir()).add(line)).rejects.toMatchObject({ code: 'configuration_invalid' })
})

// A device that takes nothing, as a full disk does.
test.skipIf(!existsSync('/dev/full'))('a full disk ends the import with its reason, once', async () => {
  const writer = new RejectWriter('/dev/full')
  await writer.add(line)
  await expect(writer.close()).rejects.toThrow(/reject file: .*ENOSPC/)
  await writer.close()
})

test.skipIf(!existsSync('/dev/full'))('a full disk is told while lines still come', async () => {
  const writer = new RejectWriter('/dev/full')
  const addAll = async () => {
    for (let count = 0; count < 100_000; count += 1) await writer.add(line)
  }
  await expect(addAll()).rejects.toMatchObject({ code: 'configuration_invalid' })
  await writer.close()
})
