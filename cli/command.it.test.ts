/** What every command promises, seen from outside the process: streams, exit codes, help, signals. */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { processEnvironment } from '#platform/config/environment.ts'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))
const frame = fileURLToPath(new URL('./command.ts', import.meta.url))
const errors = fileURLToPath(new URL('../platform/errors.ts', import.meta.url))
/** Dozens of processes load the same modules: compiled once they start in half the time. */
const compileCache = mkdtempSync(join(tmpdir(), 'tallystream-compile-cache-'))
const env = { ...processEnvironment(), NODE_COMPILE_CACHE: compileCache }

afterAll(() => rmSync(compileCache, { recursive: true, force: true }))

interface Outcome {
  exitCode: number | null
  stdout: string
  stderr: string
}

/** Runs Node; `onStderr` sees standard error as it grows and may send signals. */
function run(
  nodeArguments: string[],
  onStderr: (text: string, kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<Outcome> {
  const child = spawn(process.execPath, nodeArguments, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const outcome: Outcome = { exitCode: null, stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => (outcome.stdout += chunk))
  child.stderr.on('data', (chunk) => {
    outcome.stderr += chunk
    onStderr(outcome.stderr, (signal) => child.kill(signal))
  })
  return new Promise((resolve) => {
    child.once('close', (exitCode) => resolve({ ...outcome, exitCode }))
  })
}

/** A program with one command, `try`, whose body is `body`. */
function program(body: string, ...commandArguments: string[]): string[] {
  const code = `
    import { createRequire } from 'node:module'
    const { Command } = await import(createRequire(${JSON.stringify(main)}).resolve('commander'))
    const { addCommand } = await import(${JSON.stringify(frame)})
    const { ConfigurationError, UnreachableError } = await import(${JSON.stringify(errors)})
    const program = new Command('program')
    addCommand(program, { usage: 'try', summary: 's', example: 'try', run: async (context) => { ${body} } })
    await program.parseAsync(['node', 'program', 'try', ...${JSON.stringify(commandArguments)}])`
  return ['--input-type=module', '-e', code]
}

const says = (what: string) => `process.stderr.write(${JSON.stringify(`${what}\n`)});`

test('--json prints one document, with bigint as decimal strings, and progress stays on standard error', async () => {
  const body = "context.progress('working'); return { json: { sum: 9007199254740993n }, text: 'for people' }"
  const outcome = await run(program(body, '--json'))
  expect(JSON.parse(outcome.stdout)).toEqual({ sum: '9007199254740993' })
  expect(outcome.stderr).toContain('working')
  expect((await run(program(body))).stdout).toBe('for people\n')
})

test.each([
  ['return { json: 1 }', 0],
  ['return { json: 1, exitCode: 1 }', 1],
  ["throw new Error('unforeseen')", 1],
  ["throw new ConfigurationError('expected a, got b')", 2],
  ["throw new UnreachableError('kafka', 'no answer')", 3],
  ["context.onClose(() => { throw new Error('stuck') }); return { json: 1 }", 1],
])('%s ends with %i', async (body, exitCode) => {
  const outcome = await run(program(body, '--json'))
  expect(outcome.exitCode).toBe(exitCode)
  expect(() => JSON.parse(outcome.stdout)).not.toThrow()
})

test('SIGTERM ends a command that stays up, its closers run in reverse, and one Ctrl-C seen twice is one', async () => {
  const body = `
    context.onClose(() => { ${says('closed first')} })
    context.onClose(async () => { await new Promise((r) => setTimeout(r, 100)); ${says('closed second')} })
    ${says('up')}
    await context.untilStopped()
    return { json: {}, text: 'ended in order' }`
  let sent = false
  const outcome = await run(program(body), (stderr, kill) => {
    if (sent || !stderr.includes('up\n')) return
    sent = true
    kill('SIGTERM')
    setTimeout(() => kill('SIGTERM'), 20)
  })
  expect(outcome.exitCode).toBe(0)
  expect(outcome.stdout).toBe('ended in order\n')
  expect(outcome.stderr.indexOf('closed second')).toBeGreaterThan(-1)
  expect(outcome.stderr.indexOf('closed first')).toBeGreaterThan(outcome.stderr.indexOf('closed second'))
})

test('a command that stays up ends in order when the door that started it is killed, and not before', async () => {
  const body = `${says('up')}
    await context.untilStopped()
    return { json: {}, text: 'ended in order' }`
  const child = spawn(process.execPath, program(body), { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  let [stdout, stderr] = ['', '']
  child.stdout!.on('data', (chunk) => (stdout += chunk))
  child.stderr!.on('data', (chunk) => (stderr += chunk))
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  await expect.poll(() => stderr, { timeout: 15_000 }).toContain('up\n')
  expect(stdout).toBe('')
  // What the kernel does to the channel of a process that is killed.
  child.disconnect()
  expect(await ended).toBe(0)
  await expect.poll(() => stdout).toBe('ended in order\n')
})

test('a command that fails while another part of it waits for a signal ends', async () => {
  const body =
    "await Promise.race([context.untilStopped(), Promise.reject(new UnreachableError('kafka', 'away'))])"
  const outcome = await run(program(body))
  expect(outcome.exitCode).toBe(3)
})

test('a wait that Ctrl-C cuts off is told as a stop, without a stack', async () => {
  const body = `
    const { setTimeout: sleep } = await import('node:timers/promises')
    ${says('up')}
    await sleep(60_000, undefined, { signal: context.signal })`
  const outcome = await run(program(body, '--json'), (stderr, kill) => {
    if (stderr.includes('up\n') && !stderr.includes('stopping')) kill('SIGINT')
  })
  expect(outcome.exitCode).toBe(1)
  expect(JSON.parse(outcome.stdout)).toEqual({ error: { code: 'stopped', message: 'Stopped by SIGINT' } })
  expect(outcome.stderr).not.toContain('AbortError')
})

test('a second, later signal does not wait for closing', async () => {
  const body = `
    context.onClose(() => new Promise(() => setInterval(() => {}, 1000)))
    ${says('up')}
    await context.untilStopped()
    return { json: {} }`
  let sent = false
  const outcome = await run(program(body), (stderr, kill) => {
    if (sent || !stderr.includes('up\n')) return
    sent = true
    kill('SIGINT')
    setTimeout(() => kill('SIGINT'), 800)
  })
  expect(outcome.exitCode).toBe(130)
})

test('--help of a command is no error', async () => {
  const outcome = await run([main, 'accounts', 'show', '--help'])
  expect(outcome.exitCode).toBe(0)
  expect(outcome.stdout).toContain('Example:\n  npx tallystream accounts show')
})

test('a wrong command is a usage error, also as JSON', async () => {
  const outcome = await run([main, 'stack', 'sideways', '--json'])
  expect(outcome.exitCode).toBe(2)
  expect(JSON.parse(outcome.stdout)).toMatchObject({ error: { code: 'usage' } })
  expect((await run([main, 'stack', 'reset'])).exitCode).toBe(2)
})

test('before npm ci doctor says what is missing, and every other command what to run', async () => {
  const bare = mkdtempSync(join(tmpdir(), 'tallystream-bare-'))
  for (const file of ['cli/bin/tallystream.mjs', 'infra/local/doctor.mjs']) {
    cpSync(fileURLToPath(new URL(`../${file}`, import.meta.url)), join(bare, file))
  }
  const door = join(bare, 'cli/bin/tallystream.mjs')
  const doctor = await run([door, 'doctor', '--json'])
  expect(doctor.exitCode, doctor.stderr).toBe(1)
  const { findings } = JSON.parse(doctor.stdout) as { findings: { name: string; ok: boolean }[] }
  expect(findings).toContainEqual(expect.objectContaining({ name: 'packages of the project', ok: false }))
  expect((await run([door, 'doctor'])).stdout).toContain('make install')
  const other = await run([door, 'demo'])
  expect([other.exitCode, other.stdout]).toEqual([2, ''])
  expect(other.stderr).toContain('make install')
  rmSync(bare, { recursive: true, force: true })
})

test('a client that goes on by itself does not keep a command that has ended', async () => {
  const outcome = await run(program('setInterval(() => {}, 1000); return { json: 1 }'))
  expect(outcome.exitCode).toBe(0)
})

test('doctor names each need once, as text and as JSON', async () => {
  const { stdout } = await run([main, 'doctor', '--json'])
  const { findings } = JSON.parse(stdout) as { findings: { name: string; ok: boolean; remedy?: object }[] }
  expect(findings.map((finding) => finding.name)).toContain('Java 17 or newer')
  for (const finding of findings) expect(finding.remedy === undefined, finding.name).toBe(finding.ok)
})
