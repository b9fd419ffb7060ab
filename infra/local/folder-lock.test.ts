/** The lock of a stack's folder: one at a time, also where what is found was left by a process that is gone. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { removalOf, removeStale, withFolderLock } from './folder-lock.ts'
import { identify } from './processes.ts'

const GONE = JSON.stringify({ pid: 2 ** 22 + 1, startTime: '1' })
const LIVING = JSON.stringify(identify(process.pid))

let folder: string
let lockFile: string
let said: string[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tallystream-lock-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  lockFile = join(folder, 'lock.json')
  said = []
})

const lock = <Result>(action: () => Promise<Result>, timeoutMs = 15_000) =>
  withFolderLock(folder, { timeoutMs, onProgress: (message) => said.push(message) }, action)

test('a lock that a killed process left, or one that says nothing, is no obstacle', async () => {
  for (const text of [GONE, '', 'null', '{']) {
    writeFileSync(lockFile, text)
    expect(await lock(async () => readFileSync(lockFile, 'utf8'))).toBe(LIVING)
    expect(readdirSync(folder)).toEqual([])
  }
  expect(said).toEqual([])
})

test('one that is held is waited for, and told once', async () => {
  writeFileSync(lockFile, LIVING)
  await expect(lock(async () => undefined, 250)).rejects.toMatchObject({ code: 'stack_locked' })
  expect(said).toEqual([`waiting for process ${process.pid}, which starts or stops this stack`])
  expect(readFileSync(lockFile, 'utf8')).toBe(LIVING)
})

test('it is given back when the action fails', async () => {
  await expect(
    lock(async () => {
      throw new Error('no')
    }),
  ).rejects.toThrow('no')
  expect(readdirSync(folder)).toEqual([])
})

test('a lock that another one has taken since it was found stale is left alone', () => {
  writeFileSync(lockFile, LIVING)
  expect(removeStale(lockFile, GONE)).toBe(true)
  expect(readFileSync(lockFile, 'utf8')).toBe(LIVING)
})

test('only one removes a stale lock, and one that died over it is followed by another', () => {
  writeFileSync(lockFile, GONE)
  removeStale(lockFile, GONE)
  expect(existsSync(lockFile)).toBe(false)
  writeFileSync(lockFile, GONE)
  const removal = removalOf(lockFile, GONE)
  writeFileSync(removal, LIVING)
  expect(removeStale(lockFile, GONE)).toBe(false)
  expect(readFileSync(lockFile, 'utf8')).toBe(GONE)
  writeFileSync(removal, GONE)
  removeStale(lockFile, GONE)
  removeStale(lockFile, GONE)
  expect(readdirSync(folder)).toEqual([])
})

test('while another one removes the stale lock, nobody goes on', async () => {
  writeFileSync(lockFile, GONE)
  writeFileSync(removalOf(lockFile, GONE), LIVING)
  await expect(lock(async () => undefined, 250)).rejects.toMatchObject({ code: 'stack_locked' })
  expect(readFileSync(lockFile, 'utf8')).toBe(GONE)
})
