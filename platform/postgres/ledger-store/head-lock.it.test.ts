/** The head row: one decision at a time, nothing read before it is locked, and a holder that sleeps loses it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NO_HORIZONS } from '#domain/ledger/horizons.ts'
import { collectNeeds } from '#domain/ledger/needs.ts'
import { account, external, posting, transaction } from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import type { LedgerStore, LockedHead } from '#platform/postgres/ledger-store/store.ts'
import { LedgerFixture } from '#processors/testing/ledger-fixture.ts'

let ledger: LedgerFixture

beforeAll(async () => {
  ledger = await LedgerFixture.create(testConfiguration('headlock'))
  const driver = await ledger.openDriver()
  await driver.apply(ledger.log([account('alice'), account('bob'), external('world')]))
  await driver.session.release([...driver.claims.values()])
})
afterAll(() => ledger.close())

const payment = (id: string, amount: bigint) =>
  transaction({ id, postings: [posting({ debit: 'world', credit: 'alice', amount })] })

/** What a session sees of alice under the head. */
const balanceSeen = async (session: LedgerStore, head: LockedHead): Promise<bigint> => {
  const needs = collectNeeds([payment('look', 1n)])
  const cache = {
    accounts: new Map(),
    parties: new Map(),
    rules: null,
    horizons: NO_HORIZONS,
    rulesVersion: -1n,
  }
  const state = await session.load(head, needs, cache, { checkIds: false })
  return state.accounts.get('alice')!.posted
}

const isSettled = async (promise: Promise<unknown>): Promise<boolean> =>
  (await Promise.race([promise.then(() => 'settled'), sleep(150, 'waiting')])) === 'settled'

describe('the head row', () => {
  it('lets one decide at a time, and the next one see what it did', async () => {
    const [a, b] = [await ledger.openSession({ owner: 'a' }), await ledger.openSession({ owner: 'b' })]
    const headOfA = await a.begin()
    expect(await balanceSeen(a, headOfA)).toBe(0n)
    const beginOfB = b.begin()
    expect(await isSettled(beginOfB)).toBe(false)
    await a.query('t-add', `update accounts set posted = posted + 500 where account_id = 'alice'`)
    await a.query('t-head', `update ledger_head set sequence = sequence + 1`)
    expect(await isSettled(beginOfB)).toBe(false)
    await a.query('commit', 'commit')
    const headOfB = await beginOfB
    expect(headOfB.sequence).toBe(headOfA.sequence + 1n)
    expect(await balanceSeen(b, headOfB)).toBe(500n)
    await b.rollback()
    await ledger.rows('update accounts set posted = 0')
    await ledger.rows('update ledger_head set sequence = $1', [String(headOfA.sequence)])
  })

  it('is locked by a statement of its own, because one that also joins reads what was there before', async () => {
    const [a, b] = [await ledger.openSession({ owner: 'a' }), await ledger.openSession({ owner: 'b' })]
    await a.begin()
    await b.query('begin', 'begin')
    const joined = b.query<{ posted: string }>(
      't-join',
      `select a.posted from ledger_head h, accounts a where a.account_id = 'alice' for update of h`,
    )
    expect(await isSettled(joined)).toBe(false)
    await a.query('t-add', `update accounts set posted = posted + 500 where account_id = 'alice'`)
    await a.query('commit', 'commit')
    // The stale read that two statements avoid.
    expect((await joined).rows[0]!.posted).toBe('0')
    await b.rollback()
    await ledger.rows('update accounts set posted = 0')
  })

  it('adds up when two processors with partitions of their own apply at once', async () => {
    const drivers = await Promise.all(
      [0, 1].map((partition) =>
        ledger.openDriver({ owner: `p${partition}`, partitions: [{ topic: 'transactions', partition }] }),
      ),
    )
    const logs = [0, 1].map((partition) =>
      ledger.log(
        Array.from({ length: 40 }, (_, n) => ({ ...payment(`p${partition}-${n}`, 10n), partition })),
      ),
    )
    await Promise.all(drivers.map((driver, place) => driver.apply(logs[place]!, 4)))
    expect((await ledger.balances()).get('alice')!.posted).toBe(800n)
    expect(await ledger.differences()).toEqual([])
    const sequences = (await ledger.batches()).map((batch) => Number(batch.sequence))
    expect(sequences).toEqual(sequences.map((_, place) => place + sequences[0]!))
  })

  it('is freed within about a second from a holder that sleeps; the other goes on and the sleeper is ended', async () => {
    const stuck = await ledger.openSession({ owner: 'stuck', idleInTransactionMs: 1_000 })
    const other = await ledger.openSession({ owner: 'other' })
    await stuck.begin()
    const started = performance.now()
    await other.begin()
    const waitedMs = performance.now() - started
    expect(waitedMs).toBeGreaterThan(700)
    expect(waitedMs).toBeLessThan(2_000)
    await other.rollback()
    await expect(stuck.query('t-one', 'select 1')).rejects.toMatchObject({ code: 'postgres_unreachable' })
    expect(stuck.isBroken).toBe(true)
  })

  it('says to a frozen holder that it is away, whatever statement it wakes up with', async () => {
    const frozen = await ledger.openSession({ owner: 'frozen', idleInTransactionMs: 100 })
    await frozen.begin()
    // The whole process stands still, so that the end of the session is read only when the next statement is under way.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)
    await expect(frozen.query('t-one', 'select 1')).rejects.toMatchObject({ code: 'postgres_unreachable' })
  })
})
