/** The engine's upkeep on the real Postgres: what one round does, and what it leaves alone. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  account,
  external,
  posting,
  tick,
  transaction,
  horizon,
} from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { withPeriodsLock } from '#platform/postgres/periods/close.ts'
import { pruneParties } from '#platform/postgres/periods/prune-parties.ts'
import { type LedgerDriver, LedgerFixture } from '../testing/ledger-fixture.ts'
import { Upkeep, type UpkeepOptions } from './upkeep.ts'

const START = Date.UTC(2026, 0, 10)
let ledger: LedgerFixture
let driver: LedgerDriver
let findings = 0
let logged: string[] = []

const note = (_fields: object, message: string) => void logged.push(message)

const round = async (changes: Partial<UpkeepOptions> = {}): Promise<string[]> => {
  logged = []
  const upkeep = new Upkeep({
    pool: ledger.pool,
    actor: 'engine',
    keepMonths: null,
    withoutArchive: true,
    everyMs: 3_600_000,
    logger: { info: note, warn: note, error: note },
    onFinding: () => {
      findings += 1
    },
    ...changes,
  })
  await upkeep.run()
  return logged
}

const states = async (): Promise<string[]> => {
  const rows = await ledger.rows<{ period: string; dropped: boolean; actor: string }>(
    `select to_char(period, 'YYYY-MM') as period, dropped_at is not null as dropped, actor from periods order by periods.period`,
  )
  return rows.map(({ period, dropped, actor }) => `${period} ${dropped ? 'dropped' : 'closed'} ${actor}`)
}

beforeAll(async () => {
  ledger = await LedgerFixture.create(testConfiguration('upkeep'), START)
  driver = await ledger.openDriver()
  const pay = (id: string) => transaction({ id, postings: [posting({ debit: 'world', credit: 'alice' })] })
  await driver.apply(
    ledger.log([external('world'), account('alice'), pay('one'), horizon('history_horizon', 31)]),
  )
  await driver.apply(ledger.log([tick(Date.UTC(2026, 1, 7)), pay('two'), tick(Date.UTC(2026, 3, 2))]))
  await ledger.pool.query(
    'update publisher_progress set published_sequence = (select sequence from ledger_head)',
  )
})
afterAll(() => ledger?.close())

it('does nothing while another works on the periods', async () => {
  await withPeriodsLock(ledger.pool, async () => {
    expect(await round({ keepMonths: 1 })).toEqual([])
  })
  expect(await states()).toEqual([])
})

it('makes the partitions ahead, closes what is complete and keeps everything where nothing is configured', async () => {
  expect(await round()).toEqual(['period closed', 'period closed', 'period closed'])
  expect(await states()).toEqual(['2026-01 closed engine', '2026-02 closed engine', '2026-03 closed engine'])
  const [made] = await ledger.rows(`select to_regclass('postings_2026_06') is not null as ahead`)
  expect(made).toEqual({ ahead: true })
  expect(await round()).toEqual([])
})

it('drops as far as is configured, and says why an old period stays', async () => {
  expect(await round({ keepMonths: 1, withoutArchive: false })).toEqual(['an old period must stay for now'])
  expect(await round({ keepMonths: 2 })).toEqual(['period dropped'])
  expect(await states()).toEqual(['2026-01 dropped engine', '2026-02 closed engine', '2026-03 closed engine'])
})

it('deletes the parties of fraud rules that nobody used for 62 days, and no others', async () => {
  const [{ today }] = (await ledger.rows('select (tick_ms / 86400000)::int as today from ledger_head')) as [
    { today: number },
  ]
  await ledger.pool.query(
    `insert into fraud_parties (kind, name, used_day, version, state)
     select 3, 'device ' || age, $1::int - age, 1, '' from generate_series(55, 70) as age`,
    [today],
  )
  expect(await pruneParties(ledger.pool, { rowsAtOnce: 3 })).toBe(8)
  const left = await ledger.rows<{ age: number }>(
    'select max($1::int - used_day) as age from fraud_parties',
    [today],
  )
  expect(left).toEqual([{ age: 62 }])
  await ledger.pool.query('update fraud_parties set used_day = 0')
  expect(await round()).toEqual(['forgotten parties deleted'])
})

it('calls for a person where a closing differs, and goes on with the rest', async () => {
  const pay = transaction({ id: 'three', postings: [posting({ debit: 'world', credit: 'alice' })] })
  await driver.apply(ledger.log([pay, tick(Date.UTC(2026, 4, 7))]))
  await ledger.pool.query(
    'update postings set amount = amount + 1 where sequence = (select max(sequence) from postings)',
  )
  expect(await round({ keepMonths: 2 })).toEqual([
    'a period cannot be closed',
    'a period cannot be closed',
    'period dropped',
  ])
  expect(findings).toBe(1)
})

it('stops at once, and a stopped one does no more', async () => {
  const before = await states()
  const upkeep = new Upkeep({
    pool: ledger.pool,
    actor: 'engine',
    keepMonths: 1,
    withoutArchive: true,
    everyMs: 3_600_000,
    logger: { info: note, warn: note, error: note },
    onFinding: () => undefined,
  })
  await upkeep.stop()
  await upkeep.run()
  expect(await states()).toEqual(before)
})
