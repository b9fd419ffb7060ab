/** The launcher on real processes: crashes of a service and of the launcher itself, data over restarts, nothing left behind. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { postgresAnswers, redisAnswers } from '#infra/local/probes.ts'
import { isAlive, type ProcessIdentity, waitUntilGone } from '#infra/local/processes.ts'
import { resetStack, type StartOptions, stackStatus, startStack, stopStack } from '#infra/local/stack.ts'
import { readState, serviceNames } from '#infra/local/state.ts'
import { OperatingError } from '#platform/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallystream-stack-test-'))
const dataDir = join(folder, 'stack')
const light: StartOptions = { dataDir, services: ['postgres', 'redis'] }

afterAll(async () => {
  await resetStack({ dataDir })
  rmSync(folder, { recursive: true, force: true })
})

function processesOf(dir: string): ProcessIdentity[] {
  return Object.values(readState(dir)?.services ?? {}).map((service) => service.process)
}

/** Runs code in a second Node that is killed, as a crashed launcher would be, once it says `ready`. */
async function runAndKill(code: string): Promise<void> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  for await (const chunk of child.stdout) if (String(chunk).includes('ready')) break
  child.kill('SIGKILL')
  await ended
}

test('all four services start, a killed broker and a killed Postgres come back, and stopping leaves nothing', async () => {
  const stack = await startStack({ dataDir: join(folder, 'whole') })
  try {
    expect(stack.startedHere).toEqual(serviceNames)
    for (const name of ['kafka', 'postgres'] as const) {
      const service = stack.service(name)
      const pid = service.pid
      const addresses = { ...stack.endpoints }
      expect(service.kill('SIGKILL')).toBe(true)
      await service.restart()
      expect(service.pid).not.toBe(pid)
      expect(service.isAlive()).toBe(true)
      expect(stack.endpoints, `${name} keeps its address`).toEqual(addresses)
    }
  } finally {
    await stack.stop()
  }
  const running = stackStatus(stack.dataDir).services.filter((service) => service.running)
  const alive = processesOf(stack.dataDir).filter(isAlive)
  await resetStack({ dataDir: stack.dataDir })
  expect(running).toEqual([])
  expect(alive).toEqual([])
})

test('what the registry was told survives its SIGKILL', async () => {
  const stack = await startStack({ dataDir: join(folder, 'registry'), services: ['registry'] })
  try {
    const url = stack.endpoints.schemaRegistryUrl
    const body = JSON.stringify({ schema: JSON.stringify({ type: 'record', name: 'Kept', fields: [] }) })
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${url}/subjects/kept-value/versions`, { method: 'POST', headers, body })
    expect(answer.status).toBe(200)
    stack.service('registry').kill('SIGKILL')
    await stack.service('registry').restart()
    expect(await (await fetch(`${url}/subjects`)).json()).toEqual(['kept-value'])
    expect(await (await fetch(`${url}/config`)).json()).toMatchObject({ compatibilityLevel: 'BACKWARD' })
  } finally {
    await stack.stop()
    await resetStack({ dataDir: stack.dataDir })
  }
})

test('a launcher that was killed does not block the next, and its leftovers are ended', async () => {
  const module = fileURLToPath(new URL('./stack.ts', import.meta.url))
  const options = JSON.stringify(light)
  await runAndKill(`
    const { startStack } = await import(${JSON.stringify(module)})
    await startStack(${options})
    console.log('ready')
    setInterval(() => {}, 1000)`)
  const leftovers = processesOf(dataDir)
  expect(leftovers.filter(isAlive)).toHaveLength(2)
  const messages: string[] = []
  const stack = await startStack({ ...light, onProgress: (message) => messages.push(message) })
  expect(messages).toContain('ending what an earlier run left behind: postgres, redis')
  for (const leftover of leftovers) expect(await waitUntilGone(leftover, 5000)).toBe(true)
  const { hostname, port, username } = new URL(stack.endpoints.databaseUrl ?? '')
  expect(await postgresAnswers(hostname, Number(port), username)).toBe(true)
  await stack.stop()
})

test('a launcher that exits without stopping its services takes them with it', async () => {
  const module = fileURLToPath(new URL('./stack.ts', import.meta.url))
  const code = `
    const { startStack } = await import(${JSON.stringify(module)})
    await startStack(${JSON.stringify(light)})
    process.exit(7)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'inherit' })
  expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(7)
  const processes = processesOf(dataDir)
  expect(processes).toHaveLength(2)
  for (const each of processes) expect(await waitUntilGone(each, 5000)).toBe(true)
})

test('a stack that is up stays up when somebody who joined it leaves', async () => {
  const first = await startStack({ ...light, mode: 'detached' })
  const second = await startStack(light)
  expect(second.startedHere).toEqual([])
  expect(second.endpoints).toEqual(first.endpoints)
  await second.stop()
  const { hostname, port, password } = new URL(first.endpoints.redisUrl ?? '')
  expect(await redisAnswers(hostname, Number(port), password)).toBe(true)
  expect(await stopStack({ dataDir })).toEqual(['postgres', 'redis'])
})

test('giving up during the start ends what had started', async () => {
  const controller = new AbortController()
  const starting = startStack({
    ...light,
    services: ['redis', 'kafka'],
    signal: controller.signal,
    onProgress: (message) => {
      if (message.startsWith('redis: ready')) controller.abort()
    },
  })
  await expect(starting).rejects.toMatchObject({ code: 'start_cancelled' })
  expect(processesOf(dataDir).filter(isAlive)).toEqual([])
})

test('a service that cannot start is told with its own last words, and the others go down again', async () => {
  const error: unknown = await startStack({
    dataDir: join(folder, 'broken'),
    services: ['redis', 'kafka'],
    kafkaOptions: { properties: { 'num.io.threads': 'many' } },
  }).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(OperatingError)
  expect((error as Error).message).toContain('num.io.threads')
  expect(processesOf(join(folder, 'broken')).filter(isAlive)).toEqual([])
})

test('a taken port is replaced by a free one', async () => {
  const before = await startStack(light)
  const port = Number(new URL(before.endpoints.redisUrl ?? '').port)
  await before.stop()
  const squatter = (await import('node:net')).createServer()
  await new Promise<void>((resolve) => squatter.listen(port, '127.0.0.1', resolve))
  try {
    const after = await startStack(light)
    expect(Number(new URL(after.endpoints.redisUrl ?? '').port)).not.toBe(port)
    await after.stop()
  } finally {
    await new Promise((resolve) => squatter.close(resolve))
  }
  await sleep(50)
  const refused = await new Promise((resolve) => {
    connect({ host: '127.0.0.1', port }).once('error', (error) =>
      resolve((error as NodeJS.ErrnoException).code),
    )
  })
  expect(refused).toBe('ECONNREFUSED')
})
