/** The commands on a ledger's data, each as a process of its own beside a running engine: documents, exit codes, and what they did. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { smallRulebook } from '#domain/fraud/testing/rulebooks.ts'
import { commandEnvironment, freshLedgerName } from '#infra/local/test-names.ts'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'tallystream-data-commands-'))
const settings = commandEnvironment(freshLedgerName('data commands'), {
  LOG_LEVEL: 'warn',
  // Some sixty processes load the same modules.
  NODE_COMPILE_CACHE: join(folder, 'compile-cache'),
})
/** Nothing listens there. */
const CLOSED = '127.0.0.1:1'

type Document = Record<string, unknown>
interface Outcome {
  exitCode: number | null
  stdout: string
  stderr: string
}

function start(words: readonly string[], changes: Record<string, string> = {}): ChildProcess {
  const env = { ...settings, ...changes } as NodeJS.ProcessEnv
  return spawn(process.execPath, [main, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] })
}

function run(words: readonly string[], changes: Record<string, string> = {}): Promise<Outcome> {
  const child = start(words, changes)
  const outcome: Outcome = { exitCode: null, stdout: '', stderr: '' }
  child.stdout!.on('data', (chunk) => (outcome.stdout += chunk))
  child.stderr!.on('data', (chunk) => (outcome.stderr += chunk))
  return new Promise((resolve) => child.once('close', (exitCode) => resolve({ ...outcome, exitCode })))
}

/** Runs a command line (no quotes) with --json; standard output must be exactly one document. */
async function json(line: string, exitCode = 0, changes: Record<string, string> = {}): Promise<Document> {
  const outcome = await run([...line.split(' '), '--json'], changes)
  expect(outcome.exitCode, `${line}\n${outcome.stdout}${outcome.stderr}`).toBe(exitCode)
  return JSON.parse(outcome.stdout) as Document
}

/** A command that publishes: on a loaded machine the engine may take its time. */
const write = (line: string, exitCode = 0): Promise<Document> => json(`${line} --wait 60`, exitCode)
const post = (line: string, exitCode = 0): Promise<Document> => write(`transactions post ${line}`, exitCode)
const inOrder = async (...lines: string[]): Promise<void> => {
  for (const line of lines) await write(line)
}

let engine: ChildProcess
/** Gives up after ten seconds: started first, looked at last. */
let withoutKafka: Promise<Outcome>

beforeAll(async () => {
  const refused = await json('accounts list', 2)
  expect(refused).toMatchObject({ error: { message: expect.stringContaining('tallystream migrate') } })
  await Promise.all([json('migrate'), json('topics apply')])
  withoutKafka = run(['accounts', 'open', 'zoe', '--currency', 'EUR', '--json'], { KAFKA_BROKERS: CLOSED })
  engine = start(['run'])
  engine.stdout!.resume()
  engine.stderr!.resume()
})

afterAll(() => {
  engine?.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

test('accounts: opened, limited, frozen, closed, shown and listed', async () => {
  const [alice] = await Promise.all([
    write('accounts open alice --currency EUR --overdraft 100.00 --actor tester'),
    write('accounts open bob --currency EUR'),
    write('accounts open external:funding --currency EUR --class external --normal-side debit --unlimited'),
    write('accounts open spare --currency JPY'),
  ])
  expect(alice).toMatchObject({
    account_id: 'alice',
    result: 'applied',
    reason: null,
    account: {
      currency: 'EUR',
      status: 'open',
      balance: '0.00',
      available: '100.00',
      overdraft_limit: '100.00',
    },
    position: { topic: 'accounts', partition: 0 },
  })
  const [, other, unknown, shown, page] = await Promise.all([
    inOrder('accounts freeze spare', 'accounts unfreeze spare', 'accounts close spare'),
    write('accounts open bob --currency USD', 1),
    write('accounts freeze nobody', 1),
    json('accounts show external:funding'),
    json('accounts list --limit 1 --after alice'),
  ])
  expect(other).toMatchObject({
    result: 'refused',
    reason: 'exists_with_other_content',
    account: { currency: 'EUR' },
  })
  expect(unknown).toMatchObject({ result: 'refused', reason: 'unknown_account', account: null })
  expect(shown).toMatchObject({ account_class: 'external', normal_side: 'debit', available: null })
  expect(page).toMatchObject({ accounts: [{ account_id: 'bob' }], next: 'bob' })
  expect(await write('accounts freeze spare', 1)).toMatchObject({
    reason: 'account_closed',
    account: { status: 'closed' },
  })
})

test('transactions: outcomes, repetitions, refusals, a file, and how they are shown', async () => {
  const pay = '--from alice --to bob --amount 12.75 --currency EUR --id pay-1 --metadata a=b'
  expect(await post(pay)).toMatchObject({
    txn_id: 'pay-1',
    source: 'cli',
    status: 'completed',
    outcome: 'applied',
    reason: null,
    rules: [],
    position: { topic: 'transactions' },
  })
  const file = join(folder, 'record.json')
  const postings = [{ debit: 'external:funding', credit: 'alice', amount: 50000, currency: 'EUR' }]
  writeFileSync(file, JSON.stringify({ id: 'file-1', source: 'files', postings }))
  const poor = post('--from bob --to alice --amount 12.76 --currency EUR', 1)
  expect(await poor).toMatchObject({ txn_id: expect.stringMatching(/^cli-/), reason: 'insufficient_funds' })
  const [again, conflict, fromFile, limit] = await Promise.all([
    post(pay),
    post('--from alice --to bob --amount 99 --currency EUR --id pay-1', 1),
    post(`--file ${file}`),
    write('accounts set-limit bob --overdraft 5'),
  ])
  expect(again).toMatchObject({ outcome: 'duplicate' })
  expect(conflict).toMatchObject({ status: 'rejected', reason: 'id_conflict' })
  expect(fromFile).toMatchObject({ txn_id: 'file-1', source: 'files', outcome: 'applied' })
  expect(limit).toMatchObject({ account: { overdraft_limit: '5.00', balance: '12.75', available: '17.75' } })
  const [shown, listed, refused, entries] = await Promise.all([
    json('transactions show pay-1'),
    json('transactions list --status completed --account bob'),
    json('transactions list --status rejected'),
    json('accounts entries alice --limit 1'),
  ])
  expect(shown).toMatchObject({ id: 'pay-1', amount: '12.75', status: 'completed', entries: [{}, {}] })
  expect(listed).toMatchObject({
    transactions: [{ id: 'pay-1', from: 'alice', to: 'bob', amount: '12.75' }],
    next: null,
  })
  expect(refused).toMatchObject({
    transactions: [
      { id: 'pay-1', reason: 'id_conflict', amount: '99.00' },
      { from: 'bob', to: 'alice', amount: '12.76', reason: 'insufficient_funds' },
    ],
  })
  expect(entries).toMatchObject({ entries: [{ txn_id: 'file-1', side: 'credit', amount: '500.00' }] })
  const { next } = entries as { next: string }
  expect(await json(`accounts entries alice --after ${next}`)).toMatchObject({
    entries: [{ txn_id: 'pay-1', side: 'debit', posted_after: '-12.75' }],
    next: null,
  })
})

test('transactions: authorize, capture, void, reverse and exchange', async () => {
  await Promise.all([
    post('--kind authorize --from alice --to bob --amount 30 --currency EUR --id auth-1'),
    post('--kind authorize --from alice --to bob --amount 20 --currency EUR --id auth-2'),
    write('accounts open position:eur --currency EUR --class position --unlimited'),
    write('accounts open position:usd --currency USD --class position --unlimited'),
    write('accounts open carol --currency USD'),
  ])
  expect(await json('balances alice')).toMatchObject({
    balances: [{ account_id: 'alice', balance: '487.25', reserved: '50.00', available: '537.25' }],
    unknown: [],
  })
  const exchange = '--posting alice,position:eur,10.00,EUR --posting position:usd,carol,11.50,USD'
  const [capture, cancel, exchanged] = await Promise.all([
    post('--kind capture --parent auth-1 --from alice --to bob --amount 10 --currency EUR --id capture-1'),
    post('--kind void --parent auth-2'),
    post(`--kind exchange ${exchange}`),
  ])
  expect([capture, cancel, exchanged].map((each) => each.outcome)).toEqual(['applied', 'voided', 'applied'])
  expect(await post('--kind reverse --parent capture-1')).toMatchObject({ outcome: 'applied' })
  expect(await post('--kind reverse --parent capture-1', 1)).toMatchObject({ status: 'rejected' })
})

test('balances: now, all, and as of a time', async () => {
  const [all, past, effective, unknown] = await Promise.all([
    json('balances --all'),
    json('balances alice --as-of 2020-01-01T00:00:00Z'),
    json('balances alice carol --effective-as-of 2100-01-01T00:00:00Z'),
    json('balances alice nobody', 1),
  ])
  const { balances } = all as { balances: Document[] }
  expect(balances.find((each) => each.account_id === 'carol')).toMatchObject({
    currency: 'USD',
    balance: '11.50',
  })
  expect(balances.find((each) => each.account_id === 'spare')).toMatchObject({
    currency: 'JPY',
    balance: '0',
  })
  expect(past).toMatchObject({ balances: [{ balance: '0.00', available: null, reserved: null }] })
  expect(effective).toMatchObject({ balances: [{ balance: '477.25' }, { balance: '11.50' }] })
  expect(unknown).toMatchObject({ balances: [{ account_id: 'alice' }], unknown: ['nobody'] })
  const [page, text] = await Promise.all([
    json('balances --all --limit 1 --after alice'),
    run(['balances', 'carol', 'alice']),
  ])
  expect(page).toMatchObject({ balances: [{ account_id: 'bob' }], next: 'bob' })
  expect(text.stdout.split('\n').map((line) => line.split(/ +/)[2])).toEqual([
    'balance',
    '11.50',
    '477.25',
    undefined,
  ])
})

test('cards: issued, blocked, unblocked, cancelled, and held to their limits', async () => {
  const issue =
    'cards issue tok_1 --account alice --expires 2100-01-01T00:00:00Z --transaction-limit 20 --daily-limit 50'
  expect(await write(issue)).toMatchObject({
    card: 'tok_1',
    result: 'applied',
    state: { account_id: 'alice', status: 'active', transaction_limit: '20.00', daily_limit: '50.00' },
  })
  const pay = '--from alice --to bob --currency EUR --card tok_1 --amount'
  expect(await post(`${pay} 20.01`, 1)).toMatchObject({ reason: 'card_limit_exceeded' })
  expect(await post(`${pay} 2`)).toMatchObject({ outcome: 'applied' })
  const limits = await write('cards set-limits tok_1 --transaction-limit 30 --daily-limit none')
  expect(limits).toMatchObject({ state: { transaction_limit: '30.00', daily_limit: null } })
  expect(await write('cards set-limits tok_1 --daily-limit 3')).toMatchObject({
    state: { transaction_limit: '30.00', daily_limit: '3.00' },
  })
  expect(await post(`${pay} 1.01`, 1)).toMatchObject({ reason: 'card_limit_exceeded' })
  const { transactions } = (await json('transactions list --card tok_1')) as { transactions: Document[] }
  expect(transactions.map(({ amount, status }) => [amount, status])).toEqual([
    ['1.01', 'rejected'],
    ['2.00', 'completed'],
    ['20.01', 'rejected'],
  ])
  expect(await json('transactions list --card tok_2')).toMatchObject({ transactions: [] })
  await inOrder('cards block tok_1', 'cards unblock tok_1')
  expect(await write('cards cancel tok_1')).toMatchObject({ state: { status: 'cancelled', spent: '2.00' } })
  const [shown, refused] = await Promise.all([json('cards show tok_1'), write('cards unblock tok_1', 1)])
  expect(shown).toMatchObject({ status: 'cancelled', spent_today: '2.00' })
  expect(refused).toMatchObject({ result: 'refused', reason: 'card_cancelled' })
})

test('rules and reviews: a rule holds, a reviewer releases or declines, the first one wins', async () => {
  const rule = 'rules set large --type amount_limit --currency EUR --threshold 100 --action hold'
  expect(await write(rule)).toMatchObject({ result: 'applied', rule: { threshold: '100.00', enabled: true } })
  const pay = '--from alice --to bob --amount 100.01 --currency EUR --id'
  const [held] = await Promise.all([post(`${pay} large-1`), post(`${pay} large-2`)])
  expect(held).toMatchObject({
    outcome: 'held',
    rules: [{ rule_id: 'large', value: '10001', threshold: '10000', action: 'hold' }],
  })
  const list = (await json('reviews list')) as { held: Document[] }
  expect(list.held.map((each) => each.txn_id).sort()).toEqual(['large-1', 'large-2'])
  const [released, declined] = await Promise.all([
    write('reviews release large-1 --reason called --actor reviewer'),
    write('reviews decline large-2 --source cli --reason odd'),
  ])
  expect(released).toMatchObject({ txn_id: 'large-1', source: 'cli', outcome: 'applied' })
  expect(declined).toMatchObject({ outcome: 'declined' })
  const [late, off] = await Promise.all([
    write('reviews release large-2 --reason late', 1),
    write(`${rule} --off`),
  ])
  expect(late).toMatchObject({ status: 'refused', reason: 'not_held' })
  expect(off).toMatchObject({ rule: { enabled: false } })
  expect(await json('rules list')).toMatchObject({ rules: [{ rule_id: 'large', enabled: false }] })
})

test('a rulebook: tried on the history, proposed by one, approved by another, told in every decision', async () => {
  const [file, milder] = [true, false].map((holds) => {
    const path = join(folder, `rulebook-${holds}.json`)
    writeFileSync(path, JSON.stringify(smallRulebook({ holds })))
    return path
  })
  const from = new Date().toISOString()
  const { proposal } = await write(`fraud propose ${file} --actor ann`)
  const { version } = proposal as { version: string }
  const refused = await write(`fraud approve ${version} --actor ann`, 1)
  expect(refused).toMatchObject({ result: 'refused', reason: 'approver_is_author' })
  await write(`fraud approve ${version} --actor ben`)
  expect(await json('fraud rules')).toMatchObject({ in_force: { author: 'ann', approved_by: 'ben' } })
  const high = { rule_id: 'high', points: 70, words: '15001 minor units, limit 15000' }
  expect(await post('--from alice --to bob --currency EUR --amount 150.01 --id odd-1')).toMatchObject({
    outcome: 'held',
    rules: [high, { rule_id: 'typology:odd', value: '70', threshold: '50', action: 'hold' }],
  })
  const backtest = (rules: string) => json(`fraud backtest --rules ${rules} --from ${from}`)
  const [same, other] = await Promise.all([backtest(file!), backtest(milder!)])
  const held = { holds: 1, stopped: { EUR: '150.01' } }
  expect(same).toMatchObject({ payments: 1, changed: 0, decided: held, candidate: held })
  expect(other).toMatchObject({ payments: 1, changed: 1, decided: held, candidate: { holds: 0 } })
})

test('horizons: set in the order in which they fit, shown, and refused where ids would not outlive reversals', async () => {
  expect(await json('periods horizons')).toEqual({ history_days: null, id_days: null })
  const set = await write('periods horizons --id-days 500 --history-days 450 --actor operator')
  expect(set).toEqual({ history_days: 450, id_days: 500 })
  // Either order alone would pass a moment in which reversals reach further back than ids.
  expect(await write('periods horizons --history-days 700 --id-days 800')).toEqual({
    history_days: 700,
    id_days: 800,
  })
  expect(await write('periods horizons --id-days 600', 1)).toMatchObject({
    horizon: 'id_horizon',
    result: 'refused',
    reason: 'rule_invalid',
  })
  expect(await write('periods horizons --history-days 0 --id-days 0')).toEqual({
    history_days: null,
    id_days: null,
  })
  expect((await json('periods horizons --id-days 399', 2)).error).toMatchObject({
    code: 'configuration_invalid',
  })
  expect(await json('rules list')).toMatchObject({ rules: [{ rule_id: 'large' }] })
})

test('wrong usage ends with 2, a card number is refused before anything is published', async () => {
  const wrong = [
    'accounts open x --currency ABC',
    'accounts open x --currency EUR --overdraft 1 --unlimited',
    'accounts open x --currency EUR --overdraft 1.234',
    'accounts set-limit alice',
    'accounts list --limit 0',
    'transactions post --from alice --to bob --amount 1',
    'transactions list --status sideways',
    'transactions list --after nonsense',
    'balances',
    'balances alice --as-of yesterday',
    'rules set r --type velocity_sum --currency EUR --threshold 1 --action alert',
    'reviews release large-1',
  ]
  const misspelt = join(folder, 'misspelt.json')
  writeFileSync(misspelt, '{"postings":[],"kind":"void","parnetId":"x"}')
  const card = '--from alice --to bob --amount 1 --currency EUR --card 4111111111111111'
  const refused = post(card, 1)
  const documents = await Promise.all(
    [...wrong, `transactions post --file ${misspelt}`].map((line) => json(line, 2)),
  )
  for (const document of documents) expect(Object.keys(document)).toEqual(['error'])
  expect(await refused).toMatchObject({ error: { code: 'card_number_refused' } })
})

test('import csv --wait: what the ledger rejects is counted apart, and its sums are of what was applied', async () => {
  const mapping = join(folder, 'mapping.json')
  const file = join(folder, 'wait.csv')
  writeFileSync(
    mapping,
    JSON.stringify({
      ...{ source: 'waited', id: '{id}', currency: 'EUR', metadata: { note: '{note}' } },
      accounts: { from: 'csv:{from}', to: 'csv:{to}' },
      amount: { value: '{cents}', unit: 'minor' },
      occurredAt: { value: '{time}', format: 'iso' },
      open: { from: { limited: false }, to: {} },
    }),
  )
  const rows = [
    'w1,a,b,100,2026-01-01T00:00:00Z,fine',
    'w2,a,b,250,2026-01-01T00:00:00Z,fine',
    `w3,a,b,1000,2026-01-01T00:00:00Z,${'x'.repeat(600)}`,
    'w4,a,b,10000,2999-01-01T00:00:00Z,late',
    'w5,a,b,,2026-01-01T00:00:00Z,no amount',
  ]
  writeFileSync(file, `id,from,to,cents,time,note\n${rows.join('\n')}\n`)
  const line = `import csv ${file} --mapping ${mapping} --rejects ${join(folder, 'rejects.csv')} --wait`
  expect(await json(line, 1)).toMatchObject({
    ...{ published: 4, rejected: 1 },
    ledger: {
      ...{ applied: 2, rejected: 2, undecided: 0 },
      rejectedByReason: { field_too_long: 1, time_in_future: 1 },
      appliedSums: { EUR: '350' },
    },
  })
}, 300_000)

test('a service that does not answer ends with 3, and so does a ledger without a running engine', async () => {
  const ended = new Promise((resolve) => engine.once('exit', resolve))
  engine.kill('SIGTERM')
  expect(await ended).toBe(0)
  const [postgres, kafka, pending, idle] = await Promise.all([
    json('balances alice', 3, { DATABASE_URL: `postgres://nobody@${CLOSED}/none` }),
    withoutKafka,
    json('accounts open dora --currency EUR --wait 0'),
    json('transactions post --from alice --to bob --amount 1 --currency EUR --id late-1 --wait 1', 3),
  ])
  expect(postgres).toMatchObject({ error: { code: 'postgres_unreachable' } })
  expect(kafka.exitCode).toBe(3)
  expect(JSON.parse(kafka.stdout)).toMatchObject({ error: { code: 'kafka_unreachable' } })
  expect(pending).toMatchObject({ account_id: 'dora', result: 'pending' })
  expect(idle).toMatchObject({ error: { code: 'engine_unreachable' } })
})
