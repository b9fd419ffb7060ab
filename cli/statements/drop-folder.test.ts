/** The drop folder: what is dropped is taken once, and moved by what became of it. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { watchDropFolder } from './drop-folder.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drop-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 15_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('not in time')
    await sleep(5)
  }
}

test('files are taken once each, in the order of their names, and moved', async () => {
  const stop = new AbortController()
  const taken: string[] = []
  for (const name of ['b.sta', 'a.xml', '.half']) writeFileSync(join(folder, name), name)
  mkdirSync(join(folder, 'other'))
  const done = watchDropFolder({
    folder,
    signal: stop.signal,
    pollMs: 5,
    take: async (path) => {
      taken.push(path.slice(folder.length + 1))
      return path.endsWith('.sta') ? 'refused' : 'imported'
    },
  })
  await until(() => taken.length === 2)
  writeFileSync(join(folder, 'c.xml'), 'later')
  await until(() => existsSync(join(folder, 'imported', 'c.xml')))
  stop.abort()
  await done
  expect(taken).toEqual(['a.xml', 'b.sta', 'c.xml'])
  expect(readdirSync(join(folder, 'imported'))).toEqual(['a.xml', 'c.xml'])
  expect(readdirSync(join(folder, 'refused'))).toEqual(['b.sta'])
  expect(readdirSync(folder).sort()).toEqual(['.half', 'imported', 'other', 'refused'])
})

test('an error leaves the file where it is', async () => {
  writeFileSync(join(folder, 'a.xml'), 'x')
  const take = async () => {
    throw new Error('broker away')
  }
  const watching = watchDropFolder({ folder, signal: new AbortController().signal, pollMs: 5, take })
  await expect(watching).rejects.toThrow('broker away')
  expect(existsSync(join(folder, 'a.xml'))).toBe(true)
})
