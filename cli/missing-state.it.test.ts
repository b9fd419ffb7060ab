/** Whoever forgets a step of setting up is told the command that does it, at once and with exit code 2, by every command. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { commandEnvironment, freshLedgerName } from '#infra/local/test-names.ts'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))
const example = fileURLToPath(new URL('../connectors/csv/examples/card-history.json', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'tallystream-missing-state-'))
const csv = join(folder, 'history.csv')

function settingsOf(ledger: string): NodeJS.ProcessEnv {
  return commandEnvironment(ledger, {
    API_PORT: '0',
    METRICS_PORT: '0',
    NODE_COMPILE_CACHE: join(folder, 'compile-cache'),
  })
}

/** A command that neither starts nor stops must still end: then by force, without an exit code. */
const TIME_LIMIT_MS = 60_000

function run(
  line: string,
  ledger: string,
  changes: NodeJS.ProcessEnv = {},
): Promise<{ exitCode: number | null; stdout: string }> {
  const child = spawn(process.execPath, [main, ...line.split(' '), '--json'], {
    env: { ...settingsOf(ledger), ...changes },
    cwd: folder,
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: TIME_LIMIT_MS,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  child.stdout.on('data', (chunk) => (stdout += chunk))
  return new Promise((resolve) => child.once('close', (exitCode) => resolve({ exitCode, stdout })))
}

async function expectAdvice(lines: readonly string[], ledger: string, advice: string): Promise<void> {
  for (let at = 0; at < lines.length; at += 3) {
    const some = lines.slice(at, at + 3)
    const outcomes = await Promise.all(some.map((line) => run(line, ledger)))
    for (const [place, { exitCode, stdout }] of outcomes.entries()) {
      expect(exitCode, `${some[place]}\n${stdout}`).toBe(2)
      expect(JSON.parse(stdout), some[place]).toMatchObject({
        error: { code: 'configuration_invalid', message: expect.stringContaining(`Run: npx ${advice}`) },
      })
    }
  }
}

beforeAll(() => {
  writeFileSync(csv, 'tx_id,epoch,customer_id,terminal_id,amount_cents\n1,1522540818,1,2,100\n')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const needTopics = [
  'run',
  'api',
  'accounts open x --currency EUR',
  'transactions post --from a --to b --amount 1 --currency EUR',
  'rules set r --type velocity_count --threshold 1 --window 1h --action alert',
  'generate --transactions 10',
  `import csv ${csv} --mapping ${example}`,
]
const needTables = [
  ...needTopics,
  'accounts list',
  'accounts show x',
  'accounts entries x',
  'balances x',
  'transactions list',
  'transactions show x',
  'cards show x',
  'reviews list',
  'rules list',
  'cache rebuild',
]

test('before migrate', async () => {
  await expectAdvice(needTables, freshLedgerName('no tables'), 'tallystream migrate')
}, 300_000)

test('before topics apply', async () => {
  const ledger = freshLedgerName('no topics')
  expect((await run('migrate', ledger)).exitCode).toBe(0)
  await expectAdvice(needTopics, ledger, 'tallystream topics apply')
  expect((await run('topics check', ledger)).exitCode).toBe(1)
}, 300_000)

test('topics check looks at the registry too', async () => {
  const ledger = freshLedgerName('registry checked')
  const bare = await run('topics check', ledger)
  expect(bare.exitCode).toBe(1)
  expect(JSON.parse(bare.stdout).schemaDifferences).toContainEqual(
    expect.objectContaining({ property: 'schema', actual: null, expected: 'transaction.avsc' }),
  )
  expect((await run('topics apply', ledger)).exitCode).toBe(0)
  const good = await run('topics check', ledger)
  expect([good.exitCode, JSON.parse(good.stdout)]).toMatchObject([
    0,
    { differences: [], schemaDifferences: [] },
  ])
  // Nothing listens there.
  const away = await run('topics check', ledger, { SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' })
  expect([away.exitCode, JSON.parse(away.stdout)]).toMatchObject([
    3,
    { error: { code: 'registry_unreachable' } },
  ])
  const subject = `${ledger}.transactions-value`
  const reply = await fetch(`${inject('stackEndpoints').schemaRegistryUrl}/config/${subject}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ compatibility: 'NONE' }),
  })
  expect(reply.ok).toBe(true)
  const loose = await run('topics check', ledger)
  expect([loose.exitCode, JSON.parse(loose.stdout).schemaDifferences]).toEqual([
    1,
    [{ subject, property: 'compatibility', actual: 'NONE', expected: 'BACKWARD' }],
  ])
}, 300_000)

test('stack status says by its exit code whether everything runs', async () => {
  const { exitCode, stdout } = await run('stack status', freshLedgerName('status'))
  const { services } = JSON.parse(stdout) as { services: { running: boolean }[] }
  expect(services).toHaveLength(4)
  expect(exitCode).toBe(services.every(({ running }) => running) ? 0 : 3)
})
