/** An operator's ways past an incident, as commands beside a running engine; and a replay that finds the history whole. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accountValue, transactionValue } from '#connectors/ingest/wire.ts'
import type { TransactionCommand } from '#domain/transactions/command.ts'
import { accountChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { commandEnvironment, freshLedgerName, testConfiguration } from '#infra/local/test-names.ts'
import { encoderOf } from '#platform/schema-registry/contracts.ts'
import { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'tallystream-positions-'))
const ledger = freshLedgerName('positions')
const environment = commandEnvironment(ledger, {
  LOG_LEVEL: 'warn',
  ARCHIVE_URL: `file://${folder}/archive`,
})
const startedMs = Date.now()
let fixture: PipelineFixture

beforeAll(async () => {
  fixture = await PipelineFixture.create(testConfiguration('', { LEDGER: ledger }), startedMs)
  await fixture.start(['processor', 'publisher'])
  await fixture.applied(
    await fixture.publishValues('accounts', [
      accountValue(accountChange({ accountId: 'alice', limited: false })),
      accountValue(accountChange({ accountId: 'bob' })),
    ]),
  )
  await fixture.applied(await publish(3, ['a0', 'a1', 'a2', 'a3', 'a4']))
  await fixture.applied(await publish(4, ['b0', 'b1', 'b2', 'b3', 'b4']))
  await fixture.stop()
})
afterAll(async () => {
  await fixture.close()
  rmSync(folder, { recursive: true, force: true })
})

const publish = (partition: number, ids: readonly string[], changes: Partial<TransactionCommand> = {}) => {
  const encoder = encoderOf<unknown>(fixture.contracts.transactions)
  return fixture.publish(
    ids.map((id) => ({
      topic: 'transactions',
      partition,
      key: null,
      value: encoder.encode(transactionValue(transactionCommand({ id, occurredAt: startedMs, ...changes }))),
    })),
  )
}
const applied = async () => (await fixture.ledger.history()).map(({ id }) => id)

async function run<T>(words: readonly string[], exitCode: number): Promise<T> {
  const child = spawn(process.execPath, [main, ...words, '--json'], { env: environment, cwd: folder })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk) => (stdout += chunk))
  child.stderr.on('data', (chunk) => (stderr += chunk))
  const ended = await new Promise((resolve) => child.once('close', resolve))
  expect(ended, `${words.join(' ')}\n${stdout}${stderr}`).toBe(exitCode)
  return JSON.parse(stdout) as T
}

interface Shown {
  partitions: {
    partition: string
    next_offset: string
    log_start: string
    incident: { code: string } | null
  }[]
  publisher: { committed: string; seen: string; head: string }
}

describe('skip', () => {
  it('passes over what a command names before it is read; a replay of all finds no difference, the archive no gap', async () => {
    // The first record waits for the command, which comes by another partition.
    const after = { topic: 'commands', partition: 0, offset: 0n } as const
    await publish(4, ['b5'], { after })
    const tail = await publish(4, ['b6', 'b7', 'b8'])
    const command = {
      id: 'skip-b5-b6',
      kind: 'partition.skip',
      subject: 'transactions:4',
      parameters: { from: '5', to: '7' },
      actor: 'operator',
      reason: 'sent by mistake',
      occurredAt: null,
    }
    const position = await fixture.publishValues('commands', [command])
    expect(position[0]!.offset).toBe(0n)
    await fixture.start(['processor', 'publisher'])
    await fixture.applied(position)
    await fixture.applied(tail)
    expect((await applied()).slice(-2)).toEqual(['b7', 'b8'])
    expect(await applied()).not.toContain('b5')
    expect(fixture.incidents).toEqual([])
    const letters = await fixture.ledger.rows(
      'select topic, partition, first_offset, "offset", reason from dead_letters',
    )
    expect(letters).toEqual([
      { topic: 'transactions', partition: 4, first_offset: 5n, offset: 6n, reason: 'skipped' },
    ])
    await fixture.published()
    await fixture.stop()
    expect(await run<object>(['audit', 'replay'], 0)).toMatchObject({ differences: 0 })
    await run(['archive', 'run', '--once'], 0)
    expect(await run<object>(['archive', 'verify'], 0)).toMatchObject({ ok: true })
  })
})

describe('a partition whose records retention has deleted', () => {
  it('is shown, checked, skipped by a person, and goes on', async () => {
    await publish(3, ['a5', 'a6', 'a7', 'a8', 'a9'])
    await fixture.admin.deleteRecords(fixture.topic('transactions'), new Map([[3, 8n]]))
    await fixture.start(['processor', 'publisher'])
    await expect
      .poll(() => fixture.incidents.map(({ code }) => code), { timeout: 20_000 })
      .toEqual(['position_out_of_range'])
    const find = ({ partitions }: Shown) => partitions.find(({ partition }) => partition === 'transactions:3')
    await expect
      .poll(async () => find(await run<Shown>(['positions', 'show'], 1)), { timeout: 60_000, interval: 500 })
      .toMatchObject({ next_offset: '5', log_start: '8', incident: { code: 'position_out_of_range' } })
    const check = await run<{ ok: boolean; partitions: { partition: string; log: string }[] }>(
      ['positions', 'check'],
      1,
    )
    expect(check.partitions.filter(({ log }) => log !== 'unknown' && log !== 'same')).toEqual([
      { partition: 'transactions:3', last_offset: '4', log: 'out_of_range' },
    ])
    const skip = [
      'positions',
      'skip',
      'transactions:3',
      '--to',
      'start',
      '--reason',
      'gone',
      '--yes',
      '--wait',
      '60',
    ]
    expect(await run<object>(skip, 0)).toMatchObject({ result: 'applied', from: '5', next_offset: '8' })
    await expect.poll(applied, { timeout: 60_000 }).toContain('a9')
    expect((await applied()).filter((id) => /^a[5-9]$/.test(id))).toEqual(['a8', 'a9'])
    const refused = ['positions', 'move', 'transactions:3', '--to', '99', '--reason', 'x', '--yes']
    expect(await run<object>(refused, 2)).toMatchObject({ error: { code: 'configuration_invalid' } })
    expect(await run<object>(['positions', 'check'], 0)).toMatchObject({ ok: true })
    const shown = await run<Shown>(['positions', 'show'], 0)
    expect(shown.publisher.seen).toBe(shown.publisher.head)
    expect(await run<object>(['positions', 'publisher'], 0)).toMatchObject({
      seen: shown.publisher.head,
      accepted: false,
    })
  })
})

describe('a position that was set back', () => {
  it('is followed by a replay and a recovery from the archive, though the topic has let go of what was read', async () => {
    fixture.incidents.length = 0
    const back = ['positions', 'move', 'transactions:4', '--to', 'start', '--reason', 'again', '--yes']
    expect(await run<object>([...back, '--wait', '60'], 0)).toMatchObject({ from: '9', next_offset: '0' })
    await fixture.applied(await publish(4, ['b9', 'b10']))
    expect((await applied()).filter((id) => id === 'b10')).toHaveLength(1)
    await fixture.published()
    await fixture.stop()
    await run(['archive', 'run', '--once'], 0)
    expect(await run<object>(['archive', 'verify'], 0)).toMatchObject({ ok: true })
    await fixture.admin.deleteRecords(fixture.topic('transactions'), new Map([[4, 10n]]))
    const replayed = await run<{ digest: string }>(['audit', 'replay'], 0)
    expect(replayed).toMatchObject({ differences: 0 })
    expect(await run<object>(['audit', 'verify'], 0)).toMatchObject({ ok: true })
    const { schema } = testConfiguration('', { LEDGER: ledger }).postgres
    await fixture.ledger.pool.query(`drop schema "${schema}" cascade`)
    expect(await run<object>(['recover'], 0)).toMatchObject({ digest: replayed.digest })
    expect(await run<object>(['audit', 'verify'], 0)).toMatchObject({ ok: true })
  })
})
