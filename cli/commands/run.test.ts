/** `run` where its address is taken: it must end before it takes anything from the processors that are at work. */
import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

const program = fileURLToPath(new URL('../main.ts', import.meta.url))
/** Nobody listens there: asked for, any of them would end the command with exit code 3. */
const NOWHERE = {
  KAFKA_BROKERS: '127.0.0.1:1',
  SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1',
  DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
  REDIS_URL: 'redis://127.0.0.1:1',
}

const run = (environment: Record<string, string>) =>
  new Promise<{ code: unknown; stdout: string }>((resolve) => {
    const env = { ...NOWHERE, ...environment }
    execFile(process.execPath, [program, 'run', '--json'], { env, timeout: 60_000 }, (error, stdout) => {
      resolve({ code: error?.code ?? 0, stdout })
    })
  })

test('a taken METRICS_PORT is said before any service is asked', { timeout: 60_000 }, async () => {
  const other = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void other.close())
  await expect.poll(() => other.listening).toBe(true)
  const { port } = other.address() as AddressInfo
  const { code, stdout } = await run({ METRICS_PORT: String(port) })
  expect(JSON.parse(stdout)).toEqual({
    error: {
      code: 'address_unavailable',
      message: `expected METRICS_PORT to name an address to listen on, found 127.0.0.1:${port}: another program (or another one of ours) listens there`,
    },
  })
  expect(code).toBe(2)
})
