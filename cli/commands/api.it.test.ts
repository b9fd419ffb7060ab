/** `api` and `cache rebuild` as processes: what a shell and a supervisor see. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { commandOf, LedgerFixture } from '#platform/postgres/queries/fixtures.ts'

const program = fileURLToPath(new URL('../main.ts', import.meta.url))
let configuration: Configuration
let fixture: LedgerFixture
const children: ChildProcess[] = []

beforeAll(async () => {
  configuration = testConfiguration('commands')
  fixture = await LedgerFixture.open(configuration.postgres, configuration.ledger.name)
  await fixture.openAccount('bank', { limited: false })
  await fixture.openAccount('alice')
  await fixture.decide({
    command: commandOf({
      id: 'x',
      postings: [{ debit: 'bank', credit: 'alice', amount: 1250n, currency: 'EUR' }],
    }),
    status: 'applied',
  })
  const topics = start(['topics', 'apply'])
  expect(await topics.ended, topics.output.stderr).toBe(0)
})

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await fixture?.close()
})

function start(words: string[], environment: Record<string, string> = {}) {
  const {
    kafkaBrokers = '',
    schemaRegistryUrl = '',
    databaseUrl = '',
    redisUrl = '',
  } = inject('stackEndpoints')
  const child = spawn(process.execPath, [program, ...words], {
    env: {
      KAFKA_BROKERS: kafkaBrokers,
      SCHEMA_REGISTRY_URL: schemaRegistryUrl,
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      LEDGER: configuration.ledger.name,
      API_PORT: '0',
      ...environment,
    },
  })
  children.push(child)
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (bytes) => {
    output.stdout += String(bytes)
  })
  child.stderr.on('data', (bytes) => {
    output.stderr += String(bytes)
  })
  const ended = once(child, 'close').then(([exitCode]) => exitCode as number | null)
  return { child, output, ended }
}

async function urlOf(output: { stderr: string }): Promise<string> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const url = /listening on (http:\S+),/.exec(output.stderr)?.[1]
    if (url !== undefined) return url
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`the API does not listen:\n${output.stderr}`)
}

test('api serves and says how things stand, and SIGTERM ends it within five seconds', async () => {
  const { child, output, ended } = start(['api', '--json'])
  const url = await urlOf(output)
  expect(await (await fetch(`${url}/balance/alice`)).json()).toMatchObject({ balance: 12.5, cached: false })
  const health = await fetch(`${url}/health/ready`)
  // No engine runs, so the ledger's clock stands.
  expect(health.status).toBe(200)
  expect(await health.json()).toMatchObject({ postgres: 'up', kafka: 'up', redis: 'up', engine: 'stalled' })
  const startedMs = performance.now()
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
  expect(performance.now() - startedMs).toBeLessThan(5000)
  expect(JSON.parse(output.stdout)).toEqual({ url, stopped: true })
})

test('cache rebuild fills the cache', async () => {
  const { output, ended } = start(['cache', 'rebuild', '--json'])
  expect(await ended, output.stderr).toBe(0)
  expect(JSON.parse(output.stdout)).toEqual({ accounts: 2, planted: 2 })
})

test('without Redis cache rebuild says so with exit code 3', async () => {
  const { output, ended } = start(['cache', 'rebuild', '--json'], { REDIS_URL: 'redis://127.0.0.1:1' })
  expect(await ended).toBe(3)
  expect(JSON.parse(output.stdout)).toMatchObject({ error: { code: 'redis_unreachable' } })
})

test('without Postgres api says so with exit code 3', async () => {
  const { output, ended } = start(['api', '--json'], { DATABASE_URL: 'postgres://x@127.0.0.1:1/x' })
  expect(await ended).toBe(3)
  expect(JSON.parse(output.stdout)).toMatchObject({ error: { code: 'postgres_unreachable' } })
})
