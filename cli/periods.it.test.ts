/** `periods`, each command as a process of its own on a ledger of some months: documents, exit codes, and what they did. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  account,
  external,
  posting,
  tick,
  transaction,
  horizon,
} from '#domain/ledger/testing/memory-ledger.ts'
import { commandEnvironment, testConfiguration } from '#infra/local/test-names.ts'
import { LedgerFixture } from '#processors/testing/ledger-fixture.ts'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))
const START = Date.UTC(2026, 0, 10)
const configuration = testConfiguration('periods cli')
const folder = mkdtempSync(join(tmpdir(), 'tallystream-periods-'))
let ledger: LedgerFixture

const env = commandEnvironment(configuration.ledger.name, {
  // A dozen processes load the same modules.
  NODE_COMPILE_CACHE: folder,
})

interface Outcome {
  readonly exitCode: number | null
  readonly stdout: string
}

/** Runs a command line (no quotes). */
const run = async (line: string, changes: NodeJS.ProcessEnv = {}): Promise<Outcome> => {
  const child = spawn(process.execPath, [main, 'periods', ...line.split(' ')], {
    env: { ...env, ...changes },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let stdout = ''
  child.stdout.on('data', (chunk) => (stdout += chunk))
  return new Promise((resolve) => child.once('close', (exitCode) => resolve({ exitCode, stdout })))
}

/** Standard output must be exactly one document. */
const json = async (line: string, exitCode = 0, changes: NodeJS.ProcessEnv = {}) => {
  const outcome = await run(`${line} --json`, changes)
  expect(outcome.exitCode, outcome.stdout).toBe(exitCode)
  return JSON.parse(outcome.stdout) as Record<string, unknown>
}

beforeAll(async () => {
  ledger = await LedgerFixture.create(configuration, START)
  const driver = await ledger.openDriver()
  const pay = (id: string, amount: bigint) =>
    transaction({ id, occurredAt: START, postings: [posting({ debit: 'world', credit: 'alice', amount })] })
  await driver.apply(
    ledger.log([external('world'), account('alice'), pay('one', 1_275n), horizon('history_horizon', 31)]),
  )
  await driver.apply(ledger.log([tick(Date.UTC(2026, 1, 7)), pay('two', 225n), tick(Date.UTC(2026, 3, 2))]))
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await ledger?.close()
})

test('list says that nothing is closed; close closes what is complete, once', async () => {
  expect(await json('list')).toEqual({ periods: [] })
  expect((await json('show 2026-01', 1)).error).toMatchObject({ code: 'period_not_closed' })
  const closed = await json('close --actor accounting')
  expect(closed).toMatchObject({
    findings: [],
    closed: [
      { period: '2026-01', state: 'closed', closed_by: 'accounting', postings: '1' },
      { period: '2026-02', postings: '1' },
      { period: '2026-03', postings: '0', first_sequence: null, accounts: 2 },
    ],
  })
  expect(await json('close')).toEqual({ closed: [], findings: [] })
})

test('show has the turnover by currency and of one account, exact in major units', async () => {
  const shown = await json('show 2026-02 --account alice --verify')
  expect(shown).toMatchObject({
    period: '2026-02',
    verified: true,
    findings: [],
    totals: [
      { currency: 'EUR', accounts: 2, opening: '0.00', debits: '2.25', credits: '2.25', closing: '0.00' },
    ],
    account: {
      account_id: 'alice',
      opening: '12.75',
      debits: '0.00',
      credits: '2.25',
      credit_count: '1',
      closing: '15.00',
    },
  })
  const { stdout } = await run('show 2026-02 --account alice')
  expect(stdout).toMatch(/alice +EUR +12\.75 +0\.00 +2\.25 +15\.00/)
  expect((await json('show 2026-02 --account nobody', 1)).error).toMatchObject({ code: 'account_not_closed' })
  expect((await json('show 2026-2', 2)).error).toMatchObject({ code: 'configuration_invalid' })
})

test('drop wants to know what to keep, says why an old period stays, and drops what may go', async () => {
  expect((await json('drop', 2)).error).toMatchObject({ code: 'configuration_invalid' })
  expect(await json('drop --keep-months 1', 1)).toMatchObject({
    dropped: [],
    kept: { period: '2026-01', reason: 'unpublished' },
  })
  await ledger.pool.query(
    'update publisher_progress set published_sequence = (select sequence from ledger_head)',
  )
  expect(await json('drop', 1, { RETENTION_MONTHS: '1' })).toMatchObject({ kept: { reason: 'not_archived' } })
  const dry = await json('drop --keep-months 1 --without-archive --dry-run')
  expect(dry).toEqual({ dropped: ['2026-01', '2026-02'], kept: null, dry_run: true })
  const configured = { RETENTION_MONTHS: '1', RETENTION_WITHOUT_ARCHIVE: 'true' }
  expect(await json('drop --actor accounting', 0, configured)).toMatchObject({
    dropped: ['2026-01', '2026-02'],
  })
  const { periods } = await json('list --verify')
  expect(periods).toMatchObject([
    { state: 'dropped', dropped_by: 'accounting' },
    { state: 'dropped' },
    { state: 'closed', dropped_at: null },
  ])
})

test('verifying finds a closing that was changed by hand, and says which', async () => {
  await ledger.pool.query(
    `update closings set version = version + 1 where period = '2026-01-01' and account_no = 2`,
  )
  const listed = await json('list --verify', 1)
  expect(listed).toMatchObject({ verified: false, findings: [{ period: '2026-01', kind: 'hash' }] })
})
