/** The door of the command line, where the installed packages are older than the program: it says so and what to run. */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { processEnvironment } from '#platform/config/environment.ts'

const door = fileURLToPath(new URL('./tallystream.mjs', import.meta.url))

/** A copy of the door in a project that wants these packages and has those; its program only says that it runs. */
const makeProject = (wanted: Record<string, string>, installed: Record<string, string>): string => {
  const root = mkdtempSync(join(tmpdir(), 'tallystream-door-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  mkdirSync(join(root, 'cli', 'bin'), { recursive: true })
  cpSync(door, join(root, 'cli', 'bin', 'tallystream.mjs'))
  writeFileSync(join(root, 'cli', 'main.ts'), "process.stdout.write('runs')\n")
  writeFileSync(join(root, 'package.json'), JSON.stringify({ type: 'module', dependencies: wanted }))
  for (const [name, version] of Object.entries(installed)) {
    mkdirSync(join(root, 'node_modules', name), { recursive: true })
    writeFileSync(join(root, 'node_modules', name, 'package.json'), JSON.stringify({ name, version }))
  }
  return root
}

const run = (root: string) =>
  new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
    const script = join(root, 'cli', 'bin', 'tallystream.mjs')
    const env = { ...processEnvironment(), NODE_COMPILE_CACHE: '' }
    execFile(process.execPath, [script, 'status'], { env }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, stdout, stderr })
    })
  })

const WANTED = { commander: '2.0.0', '@some/other': '1.0.0' }

test.each([
  [{ commander: '2.0.0' }, '@some/other 1.0.0 (found none)'],
  [{ commander: '2.0.0', '@some/other': '0.9.0' }, '@some/other 1.0.0 (found 0.9.0)'],
])('with %j it says what is missing', async (installed, stale) => {
  const root = makeProject(WANTED, installed)
  const { code, stdout, stderr } = await run(root)
  expect(stderr).toBe(
    `tallystream: the installed packages are not those of this version: ${stale}. Run in ${root}: make install\n`,
  )
  expect([code, stdout]).toEqual([2, ''])
})

test('with the packages that it wants it runs, and keeps what was compiled for the next time', async () => {
  const root = makeProject(WANTED, WANTED)
  expect(await run(root)).toEqual({ code: 0, stdout: 'runs', stderr: '' })
  expect(readdirSync(join(root, '.tallystream', 'compile-cache'))).toHaveLength(1)
  expect(await run(root)).toEqual({ code: 0, stdout: 'runs', stderr: '' })
})

test('where nothing can be kept it runs all the same', async () => {
  const root = makeProject(WANTED, WANTED)
  writeFileSync(join(root, '.tallystream'), 'not a folder')
  expect(await run(root)).toEqual({ code: 0, stdout: 'runs', stderr: '' })
})
