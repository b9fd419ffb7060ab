/** Reconciliation as people work with it: commands beside a running engine, from the pair to a break that two of them resolve. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startApi } from '#api/server.ts'
import { accountValue, transactionValue } from '#connectors/ingest/wire.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import { accountChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { commandEnvironment, freshLedgerName, testConfiguration } from '#infra/local/test-names.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { Tracer } from '#processors/auditing-trace.ts'
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

interface Report {
  date: string
  accounts: { proof: object }[]
}

type Matches = { ledger: { provenance: string }[] }[]

interface Breaks {
  breaks: { break_id: string; kind: string; side: string; amount: string; status: string }[]
}

/** Waits until the open breaks are of these sides, in this order: the reconciler reads a moment later. */
async function breaksOf(...sides: readonly string[]): Promise<Breaks['breaks']> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const rows = await fixture.ledger.rows(
      `select side, break_id, status from recon_breaks where status <> 'closed' order by break_id`,
    )
    if (rows.map((row) => (row as { side: string }).side).join() === sides.join()) break
    if (performance.now() > deadline) expect(rows).toEqual(sides)
    await sleep(100)
  }
  return (await run<Breaks>(['recon', 'breaks', 'bank'])).breaks
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
  await breaksOf('ledger', 'ledger')
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

  const open = await breaksOf('bank', 'ledger')
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

  // From the entry to the bank's line, its file and its place on the topic; and from the line back to the record that brought the entry.
  const tracer = new Tracer(testConfiguration('', { LEDGER: ledger }))
  const traced = await tracer.transaction(transactionKey('bank', 't1')).finally(() => tracer.close())
  const [made] = traced!.reconciliation[0]!.matches
  expect(made).toMatchObject({ pass: 'reference:endToEndId', score: 1000 })
  const [line] = made!.bank
  expect(line!.provenance).toMatch(/day\.sta:\d+, SHA-256 [0-9a-f]{64}, .*, statements:0:\d+$/)
  const { matches } = await run<{ matches: Matches }>(['recon', 'show', 'bank', line!.id])
  expect(matches[0]!.ledger[0]!.provenance).toMatch(/^entry [\d.]+ of bank\/t1, transactions:0:\d+$/)

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
  expect(await breaksOf('bank')).toMatchObject([{ side: 'bank', amount: '12.50' }])

  // The day: 19.50 in the ledger less 12.50 written off, 19.00 at the bank of which 12.50 is open; the rest was decided by people.
  const out = join(folder, 'report.html')
  const report = await run<Report>(['recon', 'report', 'bank', '--format', 'page', '--out', out])
  expect(report).toMatchObject({
    date: new Date(startedMs).toISOString().slice(0, 10),
    accounts: [
      {
        account: 'nostro',
        ledger: { closing: '7.00', items: 3 },
        bank: { closing: '19.00', items: 2 },
        statement: { opening: '10.00', closing: '29.00' },
        open: [{ side: 'bank', kind: 'timing', age: '0-1', items: 1, amount: '12.50' }],
        proof: {
          difference: '-12.00',
          open: '-12.50',
          settled: '0.50',
          unexplained: '0.00',
          statement: 'ok',
        },
      },
    ],
  })
  expect(readFileSync(out, 'utf8')).toContain('The difference is explained.')
  await run(['recon', 'report', 'bank', '--date', '2026-02-30'], 2)
}, 300_000)

it('over HTTP: status, pages of breaks, an item, decisions, the report in each form', async () => {
  const configuration = testConfiguration('', { LEDGER: ledger })
  const logger = createLogger({ level: 'fatal', service: 'tests' })
  const api = await startApi({ configuration, logger })
  try {
    const get = async (path: string) => await fetch(`${api.url}${path}`)
    const decide = async (id: string, body: object, actor: string) =>
      await fetch(`${api.url}/recon/bank/breaks/${encodeURIComponent(id)}/commands`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-actor': actor, prefer: 'wait=20' },
        body: JSON.stringify(body),
      })
    expect(await (await get('/recon')).json()).toMatchObject([
      { pair: 'bank', open: [{ kind: 'timing', breaks: 1 }] },
    ])
    const first = await get('/recon/bank/breaks?status=closed&limit=2')
    const [, next] = /<(.+)>; rel="next"/.exec(first.headers.get('link')!)!
    const ids = [
      ...((await first.json()) as Breaks['breaks']),
      ...((await (await get(next!)).json()) as Breaks['breaks']),
    ]
    expect(new Set(ids.map(({ break_id }) => break_id)).size).toBeGreaterThan(2)
    const [open] = (await (await get('/recon/bank/breaks')).json()) as Breaks['breaks']
    const { break_id: id } = open!
    expect((await decide(id, { command: 'note', text: 'asked' }, 'ann')).status).toBe(200)
    const propose = { command: 'propose', reason: 'known', resolution: { kind: 'ignore' } }
    expect((await decide(id, propose, 'ann')).status).toBe(200)
    const own = await decide(id, { command: 'approve' }, 'ann')
    expect([own.status, await own.json()]).toMatchObject([
      409,
      { code: 'command_refused', refusal: 'maker_is_checker' },
    ])
    expect((await decide(id, { command: 'approve' }, 'bob')).status).toBe(200)
    const story = (await (await get(`/recon/bank/items/${encodeURIComponent(id)}`)).json()) as {
      events: object[]
    }
    expect(story).toMatchObject({ item: { side: 'bank' }, break: { status: 'closed', amount: '12.50' } })
    expect(story.events.at(-1)).toMatchObject({ type: 'closed', ending: { maker: 'ann', checker: 'bob' } })
    expect((await get('/recon/bank/items/nobody')).status).toBe(404)

    const json = (await (await get('/recon/bank/report')).json()) as Report
    expect(json.accounts[0]!.proof).toMatchObject({ open: '0.00', settled: '-12.00', isExplained: true })
    const csv = await get('/recon/bank/report?format=csv')
    expect(csv.headers.get('content-type')).toBe('text/csv; charset=utf-8')
    expect(await csv.text()).toContain(`,nostro,EUR,proof,is_explained,,,,yes\r\n`)
    const page = await get('/recon/bank/report?format=page')
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(await page.text()).toMatch(/^<!doctype html>/)
    expect((await get('/recon/other/report')).status).toBe(404)
  } finally {
    await api.close()
  }
}, 300_000)
