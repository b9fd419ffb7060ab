/**
 * Closings of periods on the real Postgres: a random history of several months is closed and its old months dropped; whatever is
 * asked afterwards is answered as before, or refused as gone. The oracle folds the entries as they were, and nothing else.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { horizon, tick } from '#domain/ledger/testing/memory-ledger.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { balanceAsOf } from '#platform/postgres/queries/balance-as-of.ts'
import { balanceAsOfValueTime } from '#platform/postgres/queries/balance-as-of-value-time.ts'
import { checkBalances } from '#platform/postgres/queries/check-balances.ts'
import { PeriodDroppedError } from '#platform/postgres/queries/history-start.ts'
import { listTransactions } from '#platform/postgres/queries/list-transactions.ts'
import { foldBalances, readAccountStates } from '#platform/postgres/queries/read-account-states.ts'
import { readDroppedId } from '#platform/postgres/queries/read-dropped-id.ts'
import { readEntries } from '#platform/postgres/queries/read-entries.ts'
import { readTransaction } from '#platform/postgres/queries/read-transaction.ts'
import { type LedgerDriver, LedgerFixture } from '#processors/testing/ledger-fixture.ts'
import { type HistoryEntry, RandomHistory } from '#processors/testing/random-history.ts'
import { closePeriods } from './close.ts'
import { type DropOptions, dropPeriods } from './drop.ts'
import { readPeriods } from './period-rows.ts'
import { verifyPeriods } from './verify.ts'

const DAY_MS = 86_400_000
const START = Date.UTC(2026, 0, 10, 12)

let ledger: LedgerFixture
let driver: LedgerDriver
let history: RandomHistory
let pool: ReadPool
let entries: HistoryEntry[] = []

const fold = (accountId: string, recordedMs: number, valueMs = Number.MAX_SAFE_INTEGER): bigint =>
  entries
    .filter((e) => e.account === accountId && e.recordedMs <= recordedMs && e.valueMs <= valueMs)
    .reduce((sum, e) => sum + e.signed, 0n)

const drop = (changes: Partial<DropOptions> = {}) =>
  dropPeriods(ledger.pool, { keepMonths: 1, withoutArchive: true, actor: 'tester', ...changes })

const published = () =>
  ledger.pool.query('update publisher_progress set published_sequence = (select sequence from ledger_head)')

const droppedId = (id: string) => readDroppedId(pool, transactionKey('test', id))

/** The answer, or `gone`. */
const orGone = async (asked: Promise<{ posted: bigint } | undefined>): Promise<bigint | 'gone'> =>
  asked.then(
    (found) => found!.posted,
    (error: unknown) => {
      if (error instanceof PeriodDroppedError) return 'gone'
      throw error
    },
  )

beforeAll(async () => {
  const configuration = testConfiguration('periods')
  ledger = await LedgerFixture.create(configuration, START)
  pool = makePool({ ...configuration.postgres, applicationName: 'tests' })
  driver = await ledger.openDriver()
  history = new RandomHistory(ledger, driver, { startMs: START, seed: 20_260_110n })
  await history.open()
  // Recorded in February, in effect in March.
  await history.live(Date.UTC(2026, 1, 3))
  expect(history.nowMs).toBeLessThan(Date.UTC(2026, 1, 28))
  history.nowMs = Date.UTC(2026, 2, 1) - 60_000
  const ahead = ['x', 'y', 'z'].map((id) => history.payment(id, { valueTime: history.nowMs + 120_000 }))
  await driver.apply(ledger.log([tick(history.nowMs), ...ahead]))
  // Partitions exist up to March: April and May land in the default ones.
  await history.live(Date.UTC(2026, 4, 20))
  entries = await history.entries()
})
afterAll(async () => {
  await pool?.close()
  await ledger?.close()
})

describe('closing', () => {
  it('closes each complete month in order, with what the entries say, in balance, chained', async () => {
    const { closed, findings } = await closePeriods(ledger.pool, { actor: 'tester' })
    expect(findings).toEqual([])
    expect(closed.map(({ period }) => period)).toEqual(['2026-01', '2026-02', '2026-03', '2026-04'])
    for (const { totals, accounts, postings } of closed) {
      expect(totals.map(({ closing, debits, credits }) => [closing, debits - credits])).toEqual([[0n, 0n]])
      expect(accounts).toBe(history.accounts.length + 1)
      expect(postings).toBeGreaterThan(10n)
    }
    for (const [place, period] of closed.entries()) {
      expect(period.previousHash).toEqual(closed[place - 1]?.hash ?? Buffer.alloc(32))
    }
    const [batches] = await ledger.rows<{ straddling: bigint }>(
      `select count(*) as straddling from batches b
       where exists (select from transactions t where t.sequence = b.sequence and date_trunc('month', t.recorded_at) <> date_trunc('month', b.recorded_at))`,
    )
    expect(batches!.straddling, 'a batch in which a month ended').toBeGreaterThan(0n)
    const march = closed[2]!
    const rows = await ledger.rows<{
      account_id: string
      opening: bigint
      posted: bigint
      debits: string
      debit_count: bigint
    }>(
      `select account_id, opening, c.posted, debits, debit_count from closings c join accounts using (account_no) where period = '2026-03-01'`,
    )
    for (const row of rows) {
      expect(row.opening).toBe(fold(row.account_id, Date.UTC(2026, 2, 1) - 1))
      expect(row.posted).toBe(fold(row.account_id, Date.UTC(2026, 3, 1) - 1))
      const debits = entries.filter(
        (e) =>
          e.account === row.account_id &&
          e.signed < 0n &&
          new Date(e.recordedMs).toISOString().startsWith('2026-03'),
      )
      expect([BigInt(row.debits), row.debit_count]).toEqual([
        -debits.reduce((sum, e) => sum + e.signed, 0n),
        BigInt(debits.length),
      ])
    }
    expect(rows.reduce((sum, row) => sum + row.debit_count, 0n)).toBe(march.postings)
    const [spent] = await ledger.rows<{ spent: string; now: bigint }>(
      `select (select spent from card_closings where period = '2026-04-01') as spent, (select spent from cards) as now`,
    )
    const since = await ledger.rows<{ sum: string }>(
      `select coalesce(sum(case when p.debit_no = k.account_no then p.amount else -p.amount end), 0) as sum
       from transactions t join cards k using (card_no) join postings p using (sequence, index)
       where t.recorded_at >= '2026-05-01Z' and k.account_no in (p.debit_no, p.credit_no)`,
    )
    expect(BigInt(spent!.spent) + BigInt(since[0]!.sum)).toBe(spent!.now)
  })

  it('is done once: closing again finds nothing to do, and what is stored verifies', async () => {
    const before = await readPeriods(ledger.pool)
    expect(await closePeriods(ledger.pool, { actor: 'another' })).toEqual({ closed: [], findings: [] })
    expect(await readPeriods(ledger.pool)).toEqual(before)
    expect(await verifyPeriods(ledger.pool)).toEqual([])
  })

  it.each([
    [
      'a balance',
      `update closings set posted = posted + 1, credits = credits + 1 where period = '2026-02-01' and account_no = 3`,
      ['entries', 'hash', 'opening', 'sum', 'totals', 'values'],
    ],
    [
      'a row',
      `delete from closings where period = '2026-04-01' and account_no = 2`,
      ['entries', 'hash', 'opening', 'sum', 'totals'],
    ],
    [
      'a net by value day',
      `update closings set value_nets[1] = value_nets[1] + 1, value_nets[2] = value_nets[2] - 1 where period = '2026-03-01' and account_no = 2`,
      ['hash'],
    ],
    ['a card', `update card_closings set spent = spent + 1 where period = '2026-01-01'`, ['hash']],
    [
      'a hash, also of its rows',
      `update periods set hash = sha256('x') where period = '2026-02-01'`,
      ['chain', 'hash'],
    ],
    [
      'totals',
      `update periods set totals = jsonb_set(totals, '{0,debits}', '"1"') where period = '2026-02-01'`,
      ['totals'],
    ],
    [
      'an entry',
      `update postings set amount = amount + 1 where (sequence, index) = (select sequence, index from postings where recorded_at >= '2026-03-01Z' order by 1, 2 limit 1)`,
      ['entries'],
    ],
    [
      'a batch',
      `update batches set hash = sha256('x') where sequence = (select chain_sequence from periods where period = '2026-03-01')`,
      ['chain'],
    ],
  ])('finds %s that was changed by hand', async (_what, text, kinds) => {
    const client = await ledger.pool.connect()
    try {
      await client.query('begin')
      await client.query(text)
      const findings = await verifyPeriods(client)
      expect([...new Set(findings.map(({ kind }) => kind))].sort()).toEqual(kinds)
    } finally {
      await client.query('rollback')
      client.release()
    }
  })
})

describe('dropping', () => {
  it('waits for a horizon, for publishing and for the archive', async () => {
    const refusal = async (changes: Partial<DropOptions> = {}) => (await drop(changes)).kept?.reason
    expect(await refusal()).toBe('horizon_unset')
    await driver.apply(ledger.log([horizon('history_horizon', 120)]))
    expect(await refusal()).toBe('within_horizon')
    await driver.apply(ledger.log([horizon('history_horizon', 31)]))
    expect(await refusal()).toBe('unpublished')
    await published()
    expect(await refusal({ withoutArchive: false })).toBe('not_archived')
    expect(await drop({ keepMonths: 12 })).toEqual({ dropped: [], kept: null })
    expect(await drop({ dryRun: true })).toEqual({ dropped: ['2026-01', '2026-02', '2026-03'], kept: null })
    expect((await readPeriods(ledger.pool)).every(({ droppedAt }) => droppedAt === null)).toBe(true)
  })

  it('lets the engine go on while it waits for a reader, and ends what was begun', async () => {
    const reader = await ledger.pool.connect()
    await reader.query('begin')
    await reader.query('select count(*) from postings')
    const dropping = drop({ keepMonths: 3 })
    for (let count = 0; count < 5; count += 1)
      await driver.apply(ledger.log([history.payment(`while-${count}`, { valueTime: null })]))
    await reader.query('commit')
    reader.release()
    expect(await dropping).toEqual({ dropped: ['2026-01'], kept: null })
    entries = [...entries.filter((e) => e.recordedMs < Date.UTC(2026, 1, 1)), ...(await history.entries())]
  })

  it('drops what may go, also what landed in the default partitions, and keeps the rest', async () => {
    expect(await drop()).toEqual({ dropped: ['2026-02', '2026-03'], kept: null })
    expect(await drop()).toEqual({ dropped: [], kept: null })
    const [left] = await ledger.rows(
      `select (select min(recorded_at) from postings) >= '2026-04-01Z' as postings, (select min(recorded_at) from transactions) >= '2026-04-01Z' as transactions,
         (select min(recorded_at) from batches) >= '2026-04-01Z' as batches, to_regclass('postings_2026_02') as gone`,
    )
    expect(left).toEqual({ postings: true, transactions: true, batches: true, gone: null })
    expect(await verifyPeriods(ledger.pool)).toEqual([])
  })

  it('changes no balance: now, as of a recorded time, as of a value time', async () => {
    const check = await checkBalances(pool)
    expect([check.foldMismatches, [...check.sums.values()]]).toEqual([0, [0n]])
    const folded = await foldBalances(pool, { after: 0, through: 1_000, sequence: 2n ** 62n })
    const stored = (await readAccountStates(pool, 0, 1_000)).filter(({ account_no }) =>
      folded.has(Number(account_no)),
    )
    expect(folded).toEqual(new Map(stored.map(({ account_no, posted }) => [Number(account_no), posted])))
    expect(folded.size).toBe(history.accounts.length + 1)
    expect((await balanceAsOf(pool, 'a1', new Date(history.nowMs)))!.posted).toBe(fold('a1', history.nowMs))
    const keptFrom = Date.UTC(2026, 3, 1)
    let gone = 0
    let exact = 0
    for (let count = 0; count < 300; count += 1) {
      const accountId = [...history.accounts, 'world', 'idle'][history.below(10)]!
      const asked = Date.UTC(2025, 11, 15) + history.below(160 * DAY_MS)
      const monthEnd = Date.UTC(2026, history.below(6), 1) - 1
      const at = history.below(4) === 0 ? monthEnd : asked
      const found = await orGone(balanceAsOf(pool, accountId, new Date(at)))
      if (found === 'gone') {
        expect(at).toBeLessThan(keptFrom)
        expect(at).not.toBe(monthEnd)
        gone += 1
      } else {
        expect(found, `${accountId} at ${new Date(at).toISOString()}`).toBe(fold(accountId, at))
        exact += 1
      }
      const dayEnd = Math.floor(asked / DAY_MS) * DAY_MS + DAY_MS - 1
      const value = history.below(3) === 0 ? asked : dayEnd
      const recorded = history.below(2) === 0 ? undefined : new Date(Math.max(at, keptFrom))
      const answer = await orGone(
        balanceAsOfValueTime(pool, accountId, { valueAt: new Date(value), recordedAt: recorded }),
      )
      if (answer === 'gone') {
        expect(value).not.toBe(dayEnd)
        gone += 1
      } else {
        expect(answer, `${accountId} effective ${new Date(value).toISOString()}`).toBe(
          fold(accountId, recorded?.getTime() ?? Number.MAX_SAFE_INTEGER, value),
        )
        exact += 1
      }
      const past = await orGone(
        balanceAsOfValueTime(pool, accountId, { valueAt: new Date(dayEnd), recordedAt: new Date(monthEnd) }),
      )
      expect(past).toBe(fold(accountId, monthEnd, dayEnd))
    }
    for (const accountId of [...history.accounts, 'world']) {
      for (let month = 0; month < 6; month += 1) {
        const valueAt = new Date(Date.UTC(2026, month, 1) - 1)
        expect((await balanceAsOfValueTime(pool, accountId, { valueAt }))!.posted).toBe(
          fold(accountId, Number.MAX_SAFE_INTEGER, valueAt.getTime()),
        )
      }
    }
    expect(gone).toBeGreaterThan(20)
    expect(exact).toBeGreaterThan(200)
  })

  it('counts nowhere what is left of a dropped month, and takes it with the next drop', async () => {
    await ledger.pool.query(
      `insert into postings select '2026-02-03Z', 1, 1, 1, account_no, account_no + 1, 5, 978, -5, 5, '2030-01-01Z' from accounts where account_id = 'a1'`,
    )
    expect((await checkBalances(pool)).foldMismatches).toBe(0)
    const valueAt = new Date(history.nowMs)
    expect((await balanceAsOfValueTime(pool, 'a1', { valueAt }))!.posted).toBe(
      fold('a1', Number.MAX_SAFE_INTEGER, history.nowMs),
    )
    expect((await balanceAsOf(pool, 'a1', new Date(Date.UTC(2026, 3, 1))))!.posted).toBe(
      fold('a1', Date.UTC(2026, 3, 1)),
    )
    await drop()
    expect(await ledger.rows(`select 1 from postings where recorded_at < '2026-04-01Z'`)).toEqual([])
  })

  it('leaves a fold that still finds a changed entry or closing', async () => {
    const client = await ledger.pool.connect()
    const mismatches = async (text: string) => {
      await client.query('begin')
      await client.query(text)
      const query = async (statement: { text: string }) => (await client.query(statement.text)).rows
      const { foldMismatches } = await checkBalances({ query } as unknown as ReadPool)
      await client.query('rollback')
      return foldMismatches
    }
    expect(await mismatches('select 1')).toBe(0)
    expect(
      await mismatches(
        'update postings set amount = amount + 1 where (sequence, index) = (select sequence, index from postings order by 1, 2 limit 1)',
      ),
    ).toBe(2)
    expect(
      await mismatches(
        `update closings set posted = posted + 1, credits = credits + 1 where period = '2026-03-01' and account_no = 3`,
      ),
    ).toBe(1)
    client.release()
  })

  it('answers what is gone as gone, and lists what is kept to its beginning', async () => {
    const [kept] = await ledger.rows<{ count: bigint }>(
      `select count(*) as count from transactions where cause = 0 and status <> 7`,
    )
    let listed = 0
    for (let before: readonly bigint[] | null = null; ; ) {
      const page: Awaited<ReturnType<typeof listTransactions>> = await listTransactions(pool, {
        filters: {},
        before,
        limit: 100,
      })
      listed += page.items.length
      before = page.next
      if (before === null) break
    }
    expect(BigInt(listed)).toBe(kept!.count)
    const gone = { code: 'period_dropped', availableFrom: new Date('2026-04-01T00:00:00Z') }
    await expect(readTransaction(pool, transactionKey('test', 'p1'))).rejects.toMatchObject(gone)
    expect(await readTransaction(pool, transactionKey('test', 'never'))).toBeUndefined()
    const { availableFrom } = gone
    expect(await droppedId('p1')).toEqual({ content: expect.stringMatching(/^[0-9a-f]{32}$/), availableFrom })
    expect(await droppedId('never')).toBeUndefined()
    expect(await droppedId('while-4')).toBeUndefined()
    const filters = { from: new Date('2026-03-31T00:00:00Z') }
    await expect(listTransactions(pool, { filters, before: null, limit: 10 })).rejects.toMatchObject(gone)
    await expect(listTransactions(pool, { filters: {}, before: [5n, 0n], limit: 10 })).rejects.toMatchObject(
      gone,
    )
    await expect(
      readEntries(pool, { accountId: 'a1', before: [5n, 0n, 0n], limit: 10 }),
    ).rejects.toMatchObject(gone)
    expect((await readEntries(pool, { accountId: 'a1', before: null, limit: 10 })).items).toHaveLength(10)
  })

  it('leaves the engine its decisions: reversals too old, duplicates known, and the next months close', async () => {
    const [first] = await driver.apply(
      ledger.log([
        history.reversal('late', 'p1'),
        history.payment('fresh', { valueTime: null }),
        history.reversal('soon', 'fresh'),
      ]),
    )
    expect(first!.effects.decisions.map(({ reason, status }) => reason ?? status)).toEqual([
      'parent_too_old',
      'applied',
      'applied',
    ])
    await driver.apply(ledger.log([tick(Date.UTC(2026, 6, 2))]))
    const { closed } = await closePeriods(ledger.pool, { actor: 'tester' })
    expect(closed.map(({ period }) => period)).toEqual(['2026-05', '2026-06'])
    expect(await verifyPeriods(ledger.pool)).toEqual([])
    await published()
    // April's rows were in the default partitions all the time.
    expect((await drop()).dropped).toEqual(['2026-04', '2026-05'])
    expect(
      await ledger.rows(
        'select 1 from postings_default union all select 1 from batches_default where recorded_at < $1',
        [new Date('2026-06-01Z')],
      ),
    ).toEqual([])
    expect((await checkBalances(pool)).foldMismatches).toBe(0)
  })

  it('an id beyond the horizon of ids is free again, whether or not its row is still there', async () => {
    expect(await droppedId('p1')).toBeDefined()
    await driver.apply(ledger.log([horizon('id_horizon', 400), tick(Date.UTC(2026, 0, 1) + 500 * DAY_MS)]))
    expect(await droppedId('p1')).toBeUndefined()
    expect(await ledger.rows('select 1 from transaction_ids limit 1')).toHaveLength(1)
  })
})
