/** Deciding ahead: the next batch is decided while Postgres commits the one before, and leaves nothing behind where that was wrong. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import {
  account,
  external,
  posting,
  START_MS,
  tick,
  transaction,
} from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import type { LedgerSession } from '#platform/postgres/ledger-store/session.ts'
import type { LedgerStore } from '#platform/postgres/ledger-store/store.ts'
import { systemClock } from '#platform/time/clock.ts'
import { LedgerDriver, LedgerFixture } from '../testing/ledger-fixture.ts'
import { BatchApplier } from './batch.ts'

let ledger: LedgerFixture
let driver: LedgerDriver

const pay = (id: string, amount = 1n, from = 'world', to = 'alice') =>
  transaction({ id, postings: [posting({ debit: from, credit: to, amount })] })

beforeEach(async () => {
  ledger = await LedgerFixture.create(testConfiguration('ahead'))
  const partitions = ['accounts', 'transactions', 'ticks'].map((topic) => ({ topic, partition: 0 }))
  driver = await ledger.openDriver({ partitions })
  await driver.apply(ledger.log([account('alice'), account('bob'), external('world')]))
})
afterEach(() => ledger.close())

const send = (inputs: Parameters<LedgerDriver['selectionOf']>[0]) =>
  driver.applier.send(driver.selectionOf(inputs))
const sendAhead = (inputs: Parameters<LedgerDriver['selectionOf']>[0]) =>
  driver.applier.sendAhead(driver.selectionOf(inputs))

const history = async () => (await ledger.history()).map(({ id, status }) => `${id} ${status}`)

/** Holds back the commit of whoever writes a batch, until it is let go. */
const holdBatches = async (): Promise<() => Promise<void>> => {
  const session: LedgerSession = await ledger.openSession({ owner: 'brake' })
  await session.query('hold-begin', 'begin')
  await session.query('hold', 'lock table batches in share mode')
  return async () => {
    await session.query('hold-end', 'rollback')
  }
}

describe('a batch decided ahead', () => {
  it('sees what the one before it did, and both are committed in one history', async () => {
    const letGo = await holdBatches()
    const first = await send(ledger.log([pay('a', 5n)]))
    // Only covered by what the first batch brings.
    const second = sendAhead(ledger.log([pay('b', 5n, 'alice', 'bob'), pay('c', 1n, 'alice', 'bob')]))
    expect(second).not.toBeNull()
    expect(await history()).toEqual([])
    await letGo()
    const results = [await first.committed, await second!.committed]
    expect(results.map(({ sequence }) => sequence)).toEqual([2n, 3n])
    expect(await history()).toEqual(['a applied', 'b applied', 'c rejected'])
    expect((await ledger.balances()).get('bob')!.posted).toBe(5n)
    const batches = await ledger.batches()
    expect(batches[2]!.previousHash).toEqual(batches[1]!.hash)
  })

  it('goes with the one before it where that fails', async () => {
    await driver.apply(ledger.log([pay('taken')]))
    const [again, next] = ledger.log([pay('taken'), pay('next')])
    const first = await send([again!])
    const second = sendAhead([next!])
    await expect(first.committed).rejects.toMatchObject({ code: 'compare_and_swap_failed' })
    await expect(second!.committed).rejects.toMatchObject({ code: 'compare_and_swap_failed' })
    expect(await history()).toEqual(['taken applied'])
    expect(driver.applier.failed(await first.committed.catch((error: unknown) => error))).toBe(true)
    await driver.apply([again!, next!])
    expect(await history()).toEqual(['taken applied', 'taken duplicate', 'next applied'])
  })

  it('leaves nothing behind where another processor’s batch came between', async () => {
    let answer = () => {}
    const answered = new Promise<void>((resolve) => {
      answer = resolve
    })
    // Committed, but the reply takes its time: for this processor the batch is still under way.
    const late: LedgerStore = Object.assign(Object.create(driver.session), {
      commit: async (...batch: Parameters<LedgerStore['commit']>) => {
        await driver.session.commit(...batch)
        await answered
      },
    })
    // The turn lasts as long as the test needs.
    const clock = { ...systemClock, monotonicMs: () => 0 }
    const applier = new BatchApplier({ ...ledger.context(), clock, session: late })
    driver = new LedgerDriver(driver.session, applier, driver.claims)
    const first = await send(ledger.log([pay('a', 5n), pay('b', 1n, 'world', 'bob')]))
    const other = await ledger.openDriver({
      owner: 'other',
      partitions: [{ topic: 'transactions', partition: 1 }],
    })
    await other.apply(ledger.log([{ ...pay('theirs', 5n, 'alice', 'bob'), partition: 1 }]))
    const [mine] = ledger.log([pay('mine', 5n, 'alice', 'bob')])
    const second = sendAhead([mine!])
    const failure = await second!.committed.catch((error: unknown) => error)
    expect(failure).toMatchObject({
      code: 'compare_and_swap_failed',
      message: expect.stringContaining('ledger head'),
    })
    answer()
    await first.committed
    expect(await history()).toEqual(['a applied', 'b applied', 'theirs applied'])
    // What was decided in memory on the wrong past isn't believed either: the money is spent already.
    expect(driver.applier.failed(failure)).toBe(true)
    await driver.apply([mine!])
    expect(await history()).toEqual(['a applied', 'b applied', 'theirs applied', 'mine rejected'])
  })

  it('ends its turn for a processor that waits for the head', async () => {
    const other = await ledger.openDriver({
      owner: 'other',
      partitions: [{ topic: 'transactions', partition: 1 }],
    })
    const theirs = other.apply(ledger.log([{ ...pay('theirs'), partition: 1 }]))
    let isTheirs = false
    void theirs.then(() => {
      isTheirs = true
    })
    // Sent without a pause, so that the row's lock alone would always be taken by the one that has it.
    const deadline = performance.now() + 15_000
    let last = ledger.log([pay('m0')])
    let under = await send(last)
    for (let batch = 1; !isTheirs && performance.now() < deadline; batch += 1) {
      const inputs = ledger.log([pay(`m${batch}`)])
      const next = sendAhead(inputs)
      const failure = await under.committed.then(
        () => null,
        (error: unknown) => error,
      )
      // Theirs may come between already here; then both go again.
      if (failure !== null) {
        await next?.committed.catch(() => undefined)
        expect(driver.applier.failed(failure)).toBe(true)
        await driver.apply(last)
      }
      under = (failure === null ? next : null) ?? (await send(inputs))
      last = inputs
    }
    await under.committed.catch(() => undefined)
    await theirs
    expect(isTheirs).toBe(true)
    expect(performance.now()).toBeLessThan(deadline)
  })

  it('isn’t, where something would have to be read', async () => {
    const letGo = await holdBatches()
    const first = await send(ledger.log([pay('a')]))
    const cases = [
      [pay('unknown account', 1n, 'world', 'nobody')],
      [transaction({ id: 'parent', kind: 'void', parentId: 'a', postings: [] })],
      [tick(START_MS + 1_000)],
    ]
    for (const inputs of cases) expect(sendAhead(ledger.log<LedgerInput>(inputs))).toBeNull()
    await letGo()
    await first.committed
    // Nothing is under way: nothing to be ahead of.
    expect(sendAhead(ledger.log([pay('b')]))).toBeNull()
  })
})
