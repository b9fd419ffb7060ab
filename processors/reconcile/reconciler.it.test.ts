/** Reconciliation on the real stack: the ledger's entries against imported statements, through restarts, two at once, and a person's hand. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accountValue, ruleValue, transactionValue } from '#connectors/ingest/wire.ts'
import { importStatementFile } from '#connectors/statements/import.ts'
import type { StatementValue } from '#domain/statements/record.ts'
import {
  accountChange,
  review,
  ruleChange,
  transactionCommand,
} from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { makePool } from '#platform/postgres/pool.ts'
import { readItemStory } from '#platform/postgres/reconciliation/queries.ts'
import { ReconciliationStore } from '#platform/postgres/reconciliation/store.ts'
import { encoderOf } from '#platform/schema-registry/contracts.ts'
import { PipelineFixture } from '../testing/pipeline-fixture.ts'
import { readResults } from './testing/read-results.ts'

const configuration = testConfiguration('reconcile')
const startedMs = Date.now()
const today = new Date(startedMs).toISOString().slice(0, 10)
const BANK = 'DE02120300000000202051'
const folder = mkdtempSync(join(tmpdir(), 'tallystream-reconcile-test-'))

let fixture: PipelineFixture
let ids = 0

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration, startedMs)
  await fixture.start(['processor', 'ticker', 'reconciler'])
  await fixture.applied(
    await fixture.publishValues(
      'accounts',
      ['nostro', 'customer', 'losses'].map((accountId) =>
        accountValue(accountChange({ accountId, limited: false })),
      ),
    ),
  )
})
afterAll(async () => {
  await fixture.close()
  rmSync(folder, { recursive: true })
})

const post = (id: string, amount: bigint, endToEndId: string) =>
  transactionValue(
    transactionCommand({
      id,
      occurredAt: startedMs,
      endToEndId,
      postings: [{ debit: 'nostro', credit: 'customer', amount, currency: 'EUR' }],
    }),
  )

const command = async (
  kind: string,
  subject: string,
  body: object,
  actor: string,
  pair = 'bank',
): Promise<string> => {
  ids += 1
  const id = `command-${ids}`
  const value = { id, pair, kind, subject, body: JSON.stringify(body), actor, occurredAt: BigInt(startedMs) }
  await fixture.publishValues('reconciliationCommands', [value])
  return id
}

/** Imports an MT940 of today. @param lines [amount with comma, reference] */
async function importStatement(number: number, lines: readonly (readonly [string, string])[]): Promise<void> {
  const day = today.slice(2).replaceAll('-', '')
  const fields = lines.map(
    ([amount, reference]) => `:61:${day}${day.slice(2)}C${amount}NTRF${reference}//B${number}`,
  )
  const text = [
    ':20:X',
    `:25:${BANK}`,
    `:28C:${number}/1`,
    `:60F:C${day}EUR0,`,
    ...fields,
    `:62F:C${day}EUR0,`,
    '-',
    '',
  ].join('\r\n')
  const path = join(folder, `${number}.sta`)
  writeFileSync(path, text)
  const encoder = encoderOf<StatementValue>(fixture.contracts.statements)
  const result = await importStatementFile(path, {
    mapping: null,
    actor: 'tests',
    signal: new AbortController().signal,
    encode: (value) => encoder.encode(value),
    topic: 'statements',
    send: (records) => fixture.publish(records),
  })
  expect(result.error).toBeNull()
}

/** Asks Postgres until the answer is as expected. */
async function expectRows(sql: string, expected: unknown): Promise<void> {
  const deadline = performance.now() + 30_000
  for (;;) {
    const rows = await fixture.ledger.rows(sql)
    if (JSON.stringify(rows) === JSON.stringify(expected) || performance.now() > deadline) {
      expect(rows).toEqual(expected)
      return
    }
    if (fixture.incidents.length > 0) throw fixture.incidents[0]!
    await sleep(50)
  }
}

const STANDING = `select pass, cardinality(ledger_ids) as ledger, cardinality(bank_ids) as bank from recon_matches
  where ended_version is null order by version, pass`
const OPEN = `select side, kind, amount::text from recon_breaks where status <> 'closed' and side is not null order by side, recon_breaks.amount`

describe('reconciliation', () => {
  it('takes up a pair, and refuses one without accounts', async () => {
    await command('set_pair', '', { accounts: { [BANK]: 'nostro' } }, 'ann')
    await command('set_pair', '', {}, 'ann', 'other')
    await expectRows('select pair from recon_pairs', [{ pair: 'bank' }])
    await expectRows(`select refusal from recon_commands where pair = 'other'`, [
      { refusal: 'accounts_missing' },
    ])
  })

  it('matches entries of the ledger with lines of statements; the rest are breaks', async () => {
    await fixture.applied(
      await fixture.publishValues('transactions', [post('t1', 1_250n, 'E2E-1'), post('t2', 700n, 'E2E-2')]),
    )
    await expectRows(OPEN, [
      { side: 'ledger', kind: 'timing', amount: '700' },
      { side: 'ledger', kind: 'timing', amount: '1250' },
    ])
    await importStatement(1, [
      ['12,50', 'E2E-1'],
      ['9,99', 'E2E-9'],
    ])
    await expectRows(STANDING, [{ pass: 'reference:endToEndId', ledger: 1, bank: 1 }])
    await expectRows(OPEN, [
      { side: 'bank', kind: 'timing', amount: '999' },
      { side: 'ledger', kind: 'timing', amount: '700' },
    ])
    await expectRows(`select kind from recon_breaks where side is null`, [{ kind: 'statement_arithmetic' }])
  })

  it('goes on after a restart where it was; the same statement again changes nothing', async () => {
    await fixture.stop()
    await importStatement(1, [
      ['12,50', 'E2E-1'],
      ['9,99', 'E2E-9'],
    ])
    await fixture.publish([{ topic: 'statements', key: null, value: Buffer.from('poison') }])
    await importStatement(2, [['7,00', 'E2E-2']])
    await fixture.start(['processor', 'ticker', 'reconciler'])
    await expectRows(STANDING, [
      { pass: 'reference:endToEndId', ledger: 1, bank: 1 },
      { pass: 'reference:endToEndId', ledger: 1, bank: 1 },
    ])
    await expectRows(`select count(*)::integer as items from recon_items`, [{ items: 5 }])
    await expectRows('select reason from recon_refused', [{ reason: 'avro_invalid' }])
    await expectRows(OPEN, [{ side: 'bank', kind: 'timing', amount: '999' }])
  })

  it('carries out what two people decide, once', async () => {
    const [row] = await fixture.ledger.rows(
      `select break_id from recon_breaks where side = 'bank' and status = 'open'`,
    )
    const subject = (row as { break_id: string }).break_id
    const propose = { resolution: { kind: 'ignore' }, reason: 'a test payment' }
    const ids = [
      await command('propose', subject, propose, 'ann'),
      await command('approve', subject, {}, 'ann'),
      await command('approve', subject, {}, 'bob'),
      await command('sell', subject, {}, 'bob'),
    ]
    await expectRows(
      `select refusal from recon_commands where id in (${ids.map((id) => `'${id}'`).join()}) order by id`,
      [{ refusal: null }, { refusal: 'maker_is_checker' }, { refusal: null }, { refusal: 'command_invalid' }],
    )
    await expectRows(OPEN, [])
    await expectRows(
      `select event->'ending'->>'maker' as maker, event->'ending'->>'checker' as checker from recon_break_events
       where event->'ending'->>'by' = 'resolution'`,
      [{ maker: 'ann', checker: 'bob' }],
    )
  })

  it('posts a write-off through the ledger, once; its break closes with the entry, which matches nothing', async () => {
    await importStatement(3, [['0,30', 'E2E-FEE']])
    await expectRows(OPEN, [{ side: 'bank', kind: 'timing', amount: '30' }])
    const [row] = await fixture.ledger.rows(`select break_id from recon_breaks where amount = 30`)
    const subject = (row as { break_id: string }).break_id
    const propose = (account: string) => ({
      resolution: { kind: 'write_off', account, ledger: [], bank: [subject] },
      reason: 'too small to ask',
    })
    await command('propose', subject, propose('nobody'), 'ann')
    await command('approve', subject, {}, 'bob')
    // The ledger knows no such account: the break is open again.
    await expectRows(
      `select event->>'reason' as reason from recon_break_events where event->>'type' = 'posting_failed'`,
      [{ reason: 'unknown_account' }],
    )
    await command('propose', subject, propose('losses'), 'ann')
    await command('approve', subject, {}, 'bob')
    await expectRows(OPEN, [])
    await expectRows(
      `select b.status, e.event->'ending'->>'checker' as checker, i.item->>'amountMinor' as amount
       from recon_break_events e join recon_breaks b using (break_id)
       join recon_items i on i.id = e.event->'ending'->'entries'->>0
       where break_id = '${subject}' and e.event->>'type' = 'closed'`,
      [{ status: 'closed', checker: 'bob', amount: '30' }],
    )
    await expectRows(`select account_id, posted::text from accounts where account_id = 'losses'`, [
      { account_id: 'losses', posted: '30' },
    ])
    await fixture.stop()
    await fixture.start(['processor', 'ticker', 'reconciler'])
    await expectRows(
      `select count(*)::integer as n from transactions where source = 'reconciliation' and status = 0`,
      [{ n: 1 }],
    )
  })

  it('parts a match that two people say is wrong, and does not make it again', async () => {
    const [row] = await fixture.ledger.rows(
      'select id, ledger_ids as ledger, bank_ids as bank from recon_matches where ended_version is null order by version limit 1',
    )
    const { id, ledger, bank } = row as { id: string; ledger: string[]; bank: string[] }
    const subject = `match:${id}`
    await command('propose', subject, { resolution: { kind: 'unmatch', ledger, bank }, reason: 'r' }, 'ann')
    await command('approve', subject, {}, 'bob')
    await expectRows(STANDING, [{ pass: 'reference:endToEndId', ledger: 1, bank: 1 }])
    await expectRows(
      `select status, kind, side, amount::text from recon_breaks where break_id = '${subject}'`,
      [{ status: 'closed', kind: 'disputed', side: 'ledger', amount: '1250' }],
    )
    const reopen = { kind: 'disputed', reason: 'they are the same' }
    await command('reopen', subject, reopen, 'cid')
    await expectRows(STANDING, [
      { pass: 'reference:endToEndId', ledger: 1, bank: 1 },
      { pass: 'reference:endToEndId', ledger: 1, bank: 1 },
    ])
  })

  it('two at once: one writes', async () => {
    const pool = makeEnginePool(configuration.postgres, {
      applicationName: 'tests',
      connectionsMax: 2,
      pipeline: true,
    })
    const store = new ReconciliationStore(pool, configuration.ledger.clusterId)
    await fixture.stop()
    const [row] = await store.pairs()
    const nothing = {
      items: [],
      conflicts: [],
      statements: [],
      matched: [],
      unmatched: [],
      breaks: [],
      commands: [],
    }
    const commit = { ...row!, recordedMs: startedMs, positions: [], refused: [], delta: nothing, breaks: [] }
    const results = await Promise.all([store.commit(commit), store.commit(commit)])
    expect(results.toSorted()).toEqual([false, true])
    const from = await store.position('bank', 'statements', 0)
    const moved = { topic: 'statements', partition: 0, from: from! - 1n, next: from! }
    await expect(
      store.commit({ ...commit, version: row!.version + 1n, positions: [moved] }),
    ).rejects.toMatchObject({ code: 'reconciliation_position_moved' })
    const ended = { ...matchOfNothing, id: 'never made' }
    await expect(
      store.commit({ ...commit, version: row!.version + 1n, delta: { ...nothing, unmatched: [ended] } }),
    ).rejects.toMatchObject({ code: 'reconciliation_state_differs' })
    // Nothing of them stayed.
    expect((await store.pairs()).map(({ version }) => version)).toEqual([row!.version + 1n])
    await pool.end()
  })

  it('a change of settings takes back what no longer follows', async () => {
    const settings = { accounts: { [BANK]: 'nostro' }, passes: { 'reference:endToEndId': { off: true } } }
    await command('set_pair', '', settings, 'ann')
    await fixture.start(['reconciler'])
    await expectRows(STANDING, [
      { pass: 'group:endToEndId', ledger: 1, bank: 1 },
      { pass: 'group:endToEndId', ledger: 1, bank: 1 },
    ])
    await expectRows(`select count(*)::integer as ended from recon_matches where ended_version is not null`, [
      { ended: 3 },
    ])
  })

  it('publishes each result once and in sequence, through restarts, also where what was noted of it is lost', async () => {
    // Only what Kafka knows counts then.
    await fixture.stop()
    await fixture.ledger.rows('update recon_results_head set published = 0')
    await fixture.start(['reconciler'])
    await expectRows('select sequence = published as published from recon_results_head', [
      { published: true },
    ])
    const results = await readResults(fixture)
    const [head] = await fixture.ledger.rows('select sequence from recon_results_head')
    const sequences = [...new Set(results.map(({ sequence }) => sequence))]
    expect(sequences).toEqual(
      Array.from({ length: Number((head as { sequence: bigint }).sequence) }, (_, at) => BigInt(at + 1)),
    )
    expect(results.every(({ timeline }) => timeline === results[0]!.timeline)).toBe(true)

    const events = results.filter(({ type }) => type === 'break').map(({ id, event }) => ({ id, event }))
    expect(events).toEqual(
      await fixture.ledger.rows(
        `select break_id as id, event->>'type' as event from recon_break_events order by version, index`,
      ),
    )
    const standing = new Map<string, unknown>()
    for (const { type, id, pass, amount } of results) {
      if (type === 'matched') standing.set(id, { id, pass, amount: String(amount) })
      if (type === 'unmatched') standing.delete(id)
    }
    expect([...standing.values()].toSorted(byId)).toEqual(
      (
        await fixture.ledger.rows(
          `select m.id, m.pass, i.item->>'amountMinor' as amount from recon_matches m
           join recon_items i on i.id = m.bank_ids[1] where ended_version is null`,
        )
      ).toSorted(byId),
    )
    expect(results.filter(({ event }) => event === 'closed')).toContainEqual(
      expect.objectContaining({ actor: 'bob', currency: 'EUR', side: 'bank', amount: 999n }),
    )
  })

  it('a match of several is found by each of its items', async () => {
    await fixture.stop()
    await fixture.start(['processor', 'ticker', 'reconciler'])
    const entries = ['first', 'second'].map((id, at) => post(`several-${id}`, 4_000n + BigInt(at), 'E2E-S'))
    await fixture.applied(await fixture.publishValues('transactions', entries))
    await importStatement(77, [['80,01', 'E2E-S']])
    const SEVERAL = `select ledger_ids || bank_ids as ids, amount::text, currency, account from recon_matches
      where ended_version is null and cardinality(ledger_ids) = 2`
    await expectRows(`select amount, currency, account from (${SEVERAL}) as s`, [
      { amount: '8001', currency: 'EUR', account: 'nostro' },
    ])
    const [match] = await fixture.ledger.rows(SEVERAL)
    const pool = makePool({ ...configuration.postgres, applicationName: 'tests', connectionsMax: 1 })
    for (const id of (match as { ids: string[] }).ids) {
      const { matches } = await readItemStory(pool, 'bank', id)
      expect(matches.map(({ ledger, bank }) => [ledger.length, bank.length])).toContainEqual([2, 1])
    }
    await pool.close()
  })

  it('a write-off that fraud holds waits for its review; declined, its break is open again', async () => {
    const hold = ruleChange({ ruleId: 'hold-all', threshold: 50_000n, action: 'hold', actor: 'ann' })
    await fixture.applied(await fixture.publishValues('rules', [ruleValue(hold)]))
    await importStatement(78, [['777,77', 'E2E-HELD']])
    const ofBreak = `from recon_breaks where amount = 77777`
    await expectRows(`select status ${ofBreak}`, [{ status: 'open' }])
    const [row] = await fixture.ledger.rows(`select break_id ${ofBreak}`)
    const subject = (row as { break_id: string }).break_id
    const resolution = { kind: 'write_off', account: 'losses', ledger: [], bank: [subject] }
    await command('propose', subject, { resolution, reason: 'nobody asks' }, 'ann')
    await command('approve', subject, {}, 'bob')
    const HELD = `select t.id from transactions t join codes k on k.list = 'status' and k.code = t.status
      where t.source = 'reconciliation' and k.word = 'held'`
    await expectRows(`select count(*)::integer as held from (${HELD}) as h`, [{ held: 1 }])
    await expectRows(`select status ${ofBreak}`, [{ status: 'posting' }])
    const [held] = await fixture.ledger.rows(HELD)
    const decline = review({
      transactionId: (held as { id: string }).id,
      source: 'reconciliation',
      decision: 'decline',
    })
    const declined = { ...decline, occurredAt: BigInt(startedMs) }
    await fixture.applied(await fixture.publishValues('reviews', [declined]))
    await expectRows(`select status ${ofBreak}`, [{ status: 'open' }])
    await expectRows(
      `select event->>'reason' is not null as told from recon_break_events
       where break_id = '${subject}' and event->>'type' = 'posting_failed'`,
      [{ told: true }],
    )
  })
})

const matchOfNothing = {
  ...{ pass: 'amount:date', score: 900, ledger: ['a'], bank: ['b'], because: 'none' },
  ...{ account: 'nostro', currency: 'EUR', amountMinor: 1n, differenceMinor: 0n },
}

const byId = (left: unknown, right: unknown) =>
  (left as { id: string }).id < (right as { id: string }).id ? -1 : 1
