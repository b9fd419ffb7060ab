/** Reconciliation's tables, changed by hand on a real history: each change is found by the name of its row, and nothing else is accused. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accountValue, transactionValue } from '#connectors/ingest/wire.ts'
import type { StatementValue } from '#domain/statements/record.ts'
import { accountChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { openSnapshot } from '#platform/postgres/snapshot.ts'
import { type Finding, Findings } from './audit/verify/findings.ts'
import { checkReconciliation } from './auditing-reconciliation.ts'
import { PipelineFixture } from './testing/pipeline-fixture.ts'

const configuration = testConfiguration('auditrecon')
const startedMs = Date.now()
const today = new Date(startedMs).toISOString().slice(0, 10)
const BANK = 'DE02120300000000202051'
const KEY = '0123456789abcdef0123456789abcdef'

let fixture: PipelineFixture

const TABLES = [
  ...['recon_pairs', 'recon_items', 'recon_statements', 'recon_refused', 'recon_commands', 'recon_matches'],
  ...['recon_break_events', 'recon_breaks', 'recon_results', 'recon_results_head', 'recon_offsets'],
] as const

/** Columns by which nothing is decided: docs/audit.md says why. */
const NOT_PROVEN: Record<string, readonly string[]> = {
  recon_pairs: ['version'],
  recon_items: ['version'],
  recon_statements: ['version'],
  recon_commands: ['refusal', 'version'],
  // Only the order counts: a test of its own.
  recon_break_events: ['index'],
  recon_results: ['pair', 'recorded_ms'],
  recon_results_head: ['only_one'],
  recon_offsets: ['cluster_id', 'partition'],
}

const line = (ordinal: number, amount: string, reference: string | null): StatementValue => ({
  ...{ statementKey: KEY, file: 'a.xml', fileHash: '0'.repeat(64), format: 'camt.053.001.08' },
  ...{ account: BANK, currency: 'EUR', date: today, actor: 'tests', ordinal, header: null },
  line: {
    ...{ line: ordinal, path: null, status: 'booked', amount, currency: 'EUR', reversal: false },
    ...{ bookingDate: today, valueDate: today, bankReference: null, reference, code: null, text: null },
    details: [],
  },
})

const header: StatementValue = {
  ...line(0, '0', null),
  line: null,
  header: {
    ...{ id: 's1', sequence: '1', opening: '0', openingDate: today, closing: '22.99', closingDate: today },
    ...{ lines: 3, entries: 3, sumCredits: '22.99', sumDebits: '0', proof: 'ok', controls: 'ok' },
  },
}

let ids = 0
async function command(kind: string, subject: string, body: object, actor: string): Promise<void> {
  ids += 1
  const value = { id: `c${ids}`, pair: 'bank', kind, subject, body: JSON.stringify(body), actor }
  await fixture.publishValues('reconciliationCommands', [{ ...value, occurredAt: BigInt(startedMs) }])
  await until(`select count(*)::integer = ${ids} as done from recon_commands`)
}

async function until(sql: string): Promise<void> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const [row] = await fixture.ledger.rows(sql)
    if ((row as { done: boolean }).done) return
    if (performance.now() > deadline) throw new Error(`not so within a minute: ${sql}`)
    await sleep(50)
  }
}

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration, startedMs)
  await fixture.start(['processor', 'ticker', 'reconciler'])
  await fixture.applied(
    await fixture.publishValues(
      'accounts',
      ['nostro', 'customer'].map((accountId) => accountValue(accountChange({ accountId, limited: false }))),
    ),
  )
  const post = (id: string, amount: bigint) =>
    transactionValue(
      transactionCommand({
        ...{ id, occurredAt: startedMs, endToEndId: `REF-${id}` },
        postings: [{ debit: 'nostro', credit: 'customer', amount, currency: 'EUR' }],
      }),
    )
  await fixture.applied(
    await fixture.publishValues('transactions', [post('t1', 1_250n), post('t2', 700n), post('t3', 100n)]),
  )
  await command('set_pair', '', { accounts: { [BANK]: 'nostro' } }, 'ann')
  const lines = [line(1, '12.50', 'REF-t1'), line(2, '9.99', null), line(3, '7.005', 'REF-t2')]
  await fixture.publishValues('statements', [header, ...lines])
  // Where the entries were read before the lines, there is one more, closed since.
  await until(
    `select count(*) filter (where status <> 'closed') = 3 and bool_or(break_id = '${KEY}:2') is true as done from recon_breaks`,
  )
  await command('assign', `${KEY}:2`, { owner: 'ann' }, 'ann')
  await command('propose', `${KEY}:2`, { resolution: { kind: 'ignore' }, reason: 'a test' }, 'ann')
  await command('approve', `${KEY}:2`, {}, 'bob')
  await until('select sequence = published and sequence > 0 as done from recon_results_head')
  await fixture.stop()
  for (const table of TABLES) await fixture.ledger.rows(`create table saved_${table} as table ${table}`)
})
afterAll(async () => {
  await fixture?.close()
})

/** What is found of the tables as they are. */
async function found(): Promise<readonly Finding[]> {
  const snapshot = await openSnapshot({ ...configuration.postgres, applicationName: 'tests' })
  try {
    const findings = new Findings()
    const [head] = await fixture.ledger.rows('select sequence from ledger_head')
    await checkReconciliation({
      ...{ configuration, snapshot, findings, droppedThrough: 0n, onMessage: () => undefined },
      headSequence: (head as { sequence: bigint }).sequence,
    })
    return findings.listed
  } finally {
    await snapshot.close()
  }
}

async function foundAfter(change: string): Promise<readonly Finding[]> {
  try {
    const rows = await fixture.ledger.rows(`${change} returning 1`)
    expect(rows.length, change).toBeGreaterThan(0)
    return await found()
  } finally {
    for (const table of TABLES) {
      await fixture.ledger.rows(`truncate ${table}`)
      await fixture.ledger.rows(`insert into ${table} select * from saved_${table}`)
    }
  }
}

const REST = `ended_version is null`
const OF_ITEM = `id = '${KEY}:1'`
const OF_BREAK = `break_id = '${KEY}:2'`

/** Per column: how it is changed, and which row has to be named. */
const CHANGES: Record<string, Record<string, string>> = {
  recon_pairs: { pair: `'other'`, settings: `settings || ' '`, ledger_sequence: '1000000' },
  recon_items: {
    ...{ pair: `'other'`, id: `'other'`, item: `'{}'`, side: `'ledger'`, account: `'other'` },
    ...{ currency: `'USD'`, amount: 'amount + 1', day: 'day + 1' },
  },
  recon_statements: { pair: `'other'`, key: `'other'`, statement: `statement || '{"proof": "mismatch"}'` },
  recon_refused: {
    ...{ pair: `'other'`, topic: `'other'`, partition: '9', offset: '"offset" + 1', reason: `'other'` },
  },
  recon_commands: { pair: `'other'`, id: `'other'` },
  recon_matches: {
    ...{ pair: `'other'`, id: `'other'`, version: 'version + 1', pass: `'other'`, score: 'score - 1' },
    ...{ ledger_ids: `array['a']`, bank_ids: `array['b']`, difference: '1', because: `'fee'` },
    ...{ ended_version: '9', account: `'other'`, currency: `'USD'`, amount: 'amount + 1' },
  },
  recon_break_events: {
    ...{ pair: `'other'`, version: 'version + 1000', break_id: `'other'` },
    event: `event || '{"atMs": 1}'`,
  },
  recon_breaks: {
    ...{ pair: `'other'`, break_id: `'other'`, status: `'open'`, kind: `'fee'`, owner: `'bob'` },
    ...{ severity: `'high'`, side: `'ledger'`, account: `'other'`, currency: `'USD'`, amount: 'amount + 1' },
    ...{ day: 'day + 1', opened_at_ms: 'opened_at_ms + 1', version: 'version + 1' },
  },
  recon_results: { sequence: 'sequence + 1000', version: 'version + 1000', first: 'first + 1' },
  recon_results_head: { sequence: 'sequence + 1', published: 'sequence + 1' },
  recon_offsets: { reader: `'other'`, topic: `'other'`, next_offset: '1' },
}
const WHERE: Record<string, string> = {
  recon_items: OF_ITEM,
  recon_matches: REST,
  recon_breaks: OF_BREAK,
  recon_break_events: `${OF_BREAK} and event->>'type' = 'closed'`,
  recon_commands: `id = 'c3'`,
  recon_offsets: `reader = 'bank' and topic = 'statements'`,
  recon_results: 'sequence = (select max(sequence) from recon_results)',
}
/** Where what is missing shows elsewhere: numbers by the records that they stand for, positions by what was read behind them. */
const SHOWN_BY: Record<string, readonly string[]> = {
  recon_results: ['recon_results', 'recon_matches', 'recon_break_events'],
  recon_results_head: ['recon_results', 'recon_results_head'],
  recon_offsets: ['recon_items', 'recon_refused', 'recon_statements'],
}

describe('the tables of the reconciliation', () => {
  it('that nobody touched: nothing is found', async () => {
    expect(await found()).toEqual([])
  })

  it('for each of their columns it is decided how a change shows', async () => {
    const columns = await fixture.ledger.rows(
      `select table_name as name, column_name as column from information_schema.columns
       where table_schema = current_schema() and table_name like 'recon\\_%' order by 1, 2`,
    )
    const decided = TABLES.flatMap((name) =>
      [...Object.keys(CHANGES[name]!), ...(NOT_PROVEN[name] ?? [])].map((column) => ({ name, column })),
    )
    const names = (list: readonly unknown[]) =>
      (list as { name: string; column: string }[]).map(({ name, column }) => `${name}.${column}`).toSorted()
    expect(names(decided)).toEqual(names(columns))
  })

  const cases = Object.entries(CHANGES).flatMap(([table, columns]) =>
    Object.entries(columns).map(([column, value]) => ({ table, column, value })),
  )
  it.each(cases)('$table, $column was changed', async ({ table, column, value }) => {
    const where = WHERE[table] === undefined ? '' : ` where ${WHERE[table]}`
    const findings = await foundAfter(`update ${table} set "${column}" = ${value}${where}`)
    const expected = SHOWN_BY[table] ?? [table]
    expect(findings.filter((one) => expected.includes(one.table))).not.toEqual([])
  })

  it.each(TABLES.filter((table) => table !== 'recon_results_head'))(
    'a row of %s was removed',
    async (table) => {
      const where = WHERE[table] === undefined ? '' : ` where ${WHERE[table]}`
      const expected = SHOWN_BY[table] ?? [table]
      const findings = await foundAfter(`delete from ${table}${where}`)
      expect(findings.filter((one) => expected.includes(one.table))).not.toEqual([])
    },
  )

  it('steps of breaks in another order are named', async () => {
    const findings = await foundAfter(
      `update recon_break_events set index = -index where version = (select min(version) from recon_break_events)`,
    )
    expect(findings.map(({ table }) => table)).toContain('recon_break_events')
  })

  it('an item that was changed is named, and only it', async () => {
    expect(await foundAfter(`update recon_items set amount = amount + 1 where ${OF_ITEM}`)).toEqual([
      { table: 'recon_items', key: `bank/${KEY}:1`, kind: 'changed' },
    ])
  })

  it('an item, a command and a match that nobody asked for are named', async () => {
    const added: [string, string, string][] = [
      [
        'recon_items',
        `insert into recon_items select pair, 'x', item, version, side, account, currency, amount, day from recon_items limit 1`,
        'bank/x',
      ],
      ['recon_commands', `insert into recon_commands values ('bank', 'x', null, 1)`, 'bank/x'],
      [
        'recon_matches',
        `insert into recon_matches (pair, id, version, pass, score, ledger_ids, bank_ids, difference, because, account, currency, amount)
         values ('bank', 'x', 1, 'amount:date', 900, array['a'], array['b'], 0, 'none', 'nostro', 'EUR', 1)`,
        'bank/x',
      ],
    ]
    for (const [table, change, key] of added) {
      expect(await foundAfter(change)).toContainEqual({ table, key, kind: 'added' })
    }
  })
})
