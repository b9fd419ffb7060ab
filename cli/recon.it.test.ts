/** Reconciliation as people work with it: commands beside a running engine, from the pair to a break that two of them resolve. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { accountValue, transactionValue } from '#connectors/ingest/wire.ts'
import { accountChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { commandEnvironment, freshLedgerName, testConfiguration } from '#infra/local/test-names.ts'
import { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'tallystream-recon-'))
const ledger = freshLedgerName('recon')
const environment = commandEnvironment(ledger, {
  LOG_LEVEL: 'warn',
})
const startedMs = Date.now()
const day = new Date(startedMs).toISOString().slice(2, 10).replaceAll('-', '')
let fixture: PipelineFixture

beforeAll(async () => {
  fixture = await PipelineFixture.create(testConfiguration('', { LEDGER: ledger }), startedMs)
  await fixture.start(['processor', 'ticker', 'reconciler'])
  await fixture.applied(
    await fixture.publishValues(
      'accounts',
      ['nostro', 'customer', 'losses'].map((accountId) =>
        accountValue(accountChange({ accountId, limited: false })),
      ),
    ),
  )
  const post = (id: string, amount: bigint) =>
    transactionValue(
      transactionCommand({
        id,
        occurredAt: startedMs,
        endToEndId: `REF-${id}`,
        postings: [{ debit: 'nostro', credit: 'customer', amount, currency: 'EUR' }],
      }),
    )
  await fixture.applied(await fixture.publishValues('transactions', [post('t1', 1_250n), post('t2', 700n)]))
})
afterAll(async () => {
  await fixture.close()
  rmSync(folder, { recursive: true, force: true })
})

async function run<T>(words: readonly string[], exitCode = 0): Promise<T> {
  const child = spawn(process.execPath, [main, ...words, '--json'], { env: environment, cwd: folder })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk) => (stdout += chunk))
  child.stderr.on('data', (chunk) => (stderr += chunk))
  const ended = await new Promise((resolve) => child.once('close', resolve))
  expect(ended, `${words.join(' ')}\n${stdout}${stderr}`).toBe(exitCode)
  return JSON.parse(stdout) as T
}

interface Breaks {
  breaks: { break_id: string; kind: string; side: string; amount: string; status: string }[]
}

/** The open breaks once they are as expected: the reconciler reads a moment later. */
async function breaksWhen(isSo: (breaks: Breaks['breaks']) => boolean): Promise<Breaks['breaks']> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const { breaks } = await run<Breaks>(['recon', 'breaks', 'bank'])
    if (isSo(breaks) || performance.now() > deadline) return breaks
    await sleep(100)
  }
}

it('from a pair and a statement to a break that two people resolve', async () => {
  writeFileSync(join(folder, 'pair.json'), JSON.stringify({ accounts: { DE0212030000: 'nostro' } }))
  writeFileSync(join(folder, 'empty.json'), JSON.stringify({}))
  expect(await run(['recon', 'pair', 'bank', 'pair.json', '--actor', 'ann'])).toMatchObject({
    outcome: 'done',
  })
  expect(await run(['recon', 'pair', 'other', 'empty.json'], 1)).toMatchObject({
    refusal: 'accounts_missing',
  })

  // The entries have been seen before the statement comes.
  await breaksWhen((breaks) => breaks.length === 2)
  const statement = [
    ':20:X',
    ':25:DE0212030000',
    ':28C:1/1',
    `:60F:C${day}EUR10,`,
    `:61:${day}${day.slice(2)}C12,50NTRFREF-t1//B1`,
    `:61:${day}${day.slice(2)}C6,50NTRFREF-t2//B2`,
    `:62F:C${day}EUR29,`,
    '-',
    '',
  ].join('\r\n')
  writeFileSync(join(folder, 'day.sta'), statement)
  const imported = await run(['statements', 'import', 'day.sta', '--actor', 'ann'])
  expect(imported).toMatchObject([{ format: 'MT940', published: 3, statements: [{ lines: 2, proof: 'ok' }] }])

  const open = await breaksWhen((breaks) => breaks.some(({ side }) => side === 'bank'))
  expect(open.map(({ side, kind, amount }) => [side, kind, amount])).toEqual([
    ['bank', 'fee', '6.50'],
    ['ledger', 'fee', '7.00'],
  ])
  const [bank, entry] = open as [Breaks['breaks'][number], Breaks['breaks'][number]]
  expect(await run(['recon', 'status'])).toMatchObject({
    pairs: [
      {
        pair: 'bank',
        items: '4',
        matches: [{ pass: 'reference:endToEndId', matches: 1 }],
        open: [{ kind: 'fee', breaks: 2 }],
      },
    ],
  })

  const on = ['bank', entry.break_id]
  await run(['recon', 'assign', ...on, '--owner', 'ann', '--actor', 'ann'])
  const match = ['--ledger', entry.break_id, '--bank', bank.break_id, '--reason', 'the bank took a fee']
  await run(['recon', 'propose', ...on, ...match, '--actor', 'ann'])
  expect(await run(['recon', 'approve', ...on, '--actor', 'ann'], 1)).toMatchObject({
    refusal: 'maker_is_checker',
  })
  await run(['recon', 'approve', ...on, '--actor', 'bob'])
  expect((await run<Breaks>(['recon', 'breaks', 'bank'])).breaks).toEqual([])
  expect(await run(['recon', 'show', ...on])).toMatchObject({
    item: { amountMinor: '700' },
    break: { status: 'closed', owner: 'ann' },
    events: [
      { type: 'opened', kind: 'timing' },
      { type: 'changed', kind: 'fee' },
      { type: 'assigned' },
      { type: 'proposed', actor: 'ann' },
      { type: 'closed', ending: { maker: 'ann', checker: 'bob' } },
    ],
  })
  await run(['recon', 'show', 'bank', 'nobody'], 1)

  // What the engine matched is parted, and one side of it written off.
  const ids = await fixture.ledger.rows(
    'select id, ledger_ids[1] as entry from recon_matches where ended_version is null',
  )
  const [{ id: matched, entry: parted }] = ids as [{ id: string; entry: string }]
  await run(['recon', 'unmatch', 'bank', 'f'.repeat(32), '--reason', 'x', '--actor', 'ann'], 1)
  await run(['recon', 'unmatch', 'bank', matched, '--reason', 'of another day', '--actor', 'ann'])
  await run(['recon', 'approve', 'bank', `match:${matched}`, '--actor', 'bob'])
  const writeOff = ['--write-off', 'losses', '--reason', 'never came', '--actor', 'ann']
  await run(['recon', 'propose', 'bank', parted, ...writeOff])
  await run(['recon', 'approve', 'bank', parted, '--actor', 'bob'])
  expect(await breaksWhen((breaks) => breaks.length === 1)).toMatchObject([{ side: 'bank', amount: '12.50' }])
}, 300_000)
