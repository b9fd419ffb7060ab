/** Time comes from ticks alone, never overtakes a backlog, and expires holds in parts where a batch can't hold them all. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TickInput } from '#domain/ledger/inputs.ts'
import { DECISION_BOUNDS } from '#domain/ledger/state.ts'
import {
  account,
  external,
  posting,
  START_MS,
  tick,
  transaction,
} from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { type LedgerDriver, LedgerFixture } from '../testing/ledger-fixture.ts'

let ledger: LedgerFixture
let driver: LedgerDriver
let offsetOfNext = 0n

beforeAll(async () => {
  ledger = await LedgerFixture.create(testConfiguration('time'))
  driver = await ledger.openDriver()
  await driver.apply(ledger.log([account('alice'), account('bob'), external('world')]))
  await driver.apply(ledger.log([pay('seed', 10_000_000n)]))
})
afterAll(() => ledger.close())

const pay = (id: string, amount = 1n) => {
  offsetOfNext += 1n
  return transaction({ id, postings: [posting({ debit: 'world', credit: 'alice', amount })] })
}
const authorize = (id: string, expiresAt: number) => {
  offsetOfNext += 1n
  return transaction({ id, kind: 'authorize', expiresAt })
}
/** A tick that applies once `transactions:0` was read up to `end`. */
const tickBehind = (timeMs: number, end: bigint): TickInput => ({
  ...tick(timeMs),
  tick: { time: timeMs, ends: [{ topic: 'transactions', partition: 0, end }], actor: 'test' },
})

const now = async (): Promise<number> => {
  const [head] = await ledger.rows<{ tick_ms: bigint }>('select tick_ms from ledger_head')
  return Number(head!.tick_ms)
}
const recordedAt = async (id: string): Promise<number[]> => {
  const rows = await ledger.rows<{ recorded_at: Date }>(
    'select recorded_at from transactions where id = $1 order by sequence, index',
    [id],
  )
  return rows.map((row) => row.recorded_at.getTime())
}

describe('time', () => {
  it('stands still until a tick comes, whatever the records say', async () => {
    await driver.apply(ledger.log([pay('before any tick')]))
    expect(await now()).toBe(START_MS)
    expect(await recordedAt('before any tick')).toEqual([START_MS])
  })

  it('does not overtake a backlog: a tick applies when the partitions were read up to where they ended', async () => {
    const end = offsetOfNext + 2n
    await driver.apply(ledger.log([tickBehind(START_MS + 1_000, end)]))
    expect(await now()).toBe(START_MS)
    // Another processor goes on: the waiting tick is part of the head.
    driver = await ledger.openDriver()
    await driver.apply(ledger.log([pay('backlog 1'), pay('backlog 2'), pay('after')]))
    expect(await now()).toBe(START_MS + 1_000)
    expect(await recordedAt('backlog 1')).toEqual([START_MS])
    expect(await recordedAt('backlog 2')).toEqual([START_MS])
    expect(await recordedAt('after')).toEqual([START_MS + 1_000])
  })

  it('never goes back: an older tick is ignored', async () => {
    await driver.apply(ledger.log([tick(START_MS + 1_000), tick(START_MS + 500)]))
    expect(await now()).toBe(START_MS + 1_000)
  })

  it('alone ends an authorization', async () => {
    const expiresAt = START_MS + 5_000
    await driver.apply(ledger.log([authorize('short', expiresAt)]))
    await driver.apply(ledger.log([pay('meanwhile'), tick(expiresAt - 1)]))
    expect((await ledger.balances()).get('alice')!.reserved).toBe(100n)
    await driver.apply(ledger.log([tick(expiresAt)]))
    expect((await ledger.balances()).get('alice')!.reserved).toBe(0n)
    expect(await recordedAt('short')).toEqual([START_MS + 1_000, expiresAt])
    expect((await ledger.history()).filter((row) => row.id === 'short')).toEqual([
      { id: 'short', kind: 'authorize', cause: 'transaction', status: 'authorized', reason: null },
      { id: 'short', kind: 'authorize', cause: 'tick', status: 'expired', reason: null },
    ])
  })

  it('refuses what claims to happen too far after it, and takes what is old', async () => {
    const at = async (id: string, occurredAt: number) => {
      offsetOfNext += 1n
      const [result] = await driver.apply(ledger.log([transaction({ id, occurredAt })]))
      const { status, reason } = result!.effects.decisions[0]!
      return reason ?? status
    }
    const limit = (await now()) + DECISION_BOUNDS.futureToleranceMs
    expect(await at('too early', limit + 1)).toBe('time_in_future')
    expect(await at('just right', limit)).toBe('applied')
    expect(await at('history', Date.UTC(1999, 0, 1))).toBe('applied')
  })

  it('that expires more than a batch may hold goes on in the next one before anything else', async () => {
    const { expiriesMax } = DECISION_BOUNDS
    const count = expiriesMax * 2 + 30
    const expiresAt = START_MS + 60_000
    await driver.apply(
      ledger.log(Array.from({ length: count }, (_, n) => authorize(`many-${n}`, expiresAt + (n % 7)))),
      2_500,
    )
    const inputs = ledger.log([tick(expiresAt + 1_000), pay('right behind')])
    const results = await driver.apply(inputs)
    expect(results.map(({ consumed }) => consumed)).toEqual([1, 0, 1])
    const decisions = results.map(({ effects }) => effects.decisions.map(({ status }) => status))
    expect(decisions.map((list) => list.filter((status) => status === 'expired').length)).toEqual([
      expiriesMax,
      expiriesMax,
      30,
    ])
    expect(decisions[2]!.at(-1)).toBe('applied')
    expect((await ledger.balances()).get('alice')!.reserved).toBe(0n)
    const [counts] = await ledger.rows<{ expired: bigint; wrong: bigint }>(
      `select count(*) as expired, count(*) filter (where recorded_at <> $1) as wrong
       from transactions where id like 'many-%' and cause = 2`,
      [new Date(expiresAt + 1_000)],
    )
    expect(counts).toEqual({ expired: BigInt(count), wrong: 0n })
    expect(await ledger.differences()).toEqual([])
  })

  it('goes on with expiries even where the processor ended in between', async () => {
    const { expiriesMax } = DECISION_BOUNDS
    const expiresAt = START_MS + 120_000
    const authorizations = Array.from({ length: expiriesMax + 5 }, (_, n) =>
      authorize(`restart-${n}`, expiresAt),
    )
    await driver.apply(ledger.log(authorizations), 2_500)
    const inputs = ledger.log([tick(expiresAt), pay('after restart')])
    const first = await driver.applier.apply(driver.selectionOf(inputs))
    expect(first.consumed).toBe(1)
    driver = await ledger.openDriver()
    const [second] = await driver.apply(inputs.slice(first.consumed))
    expect(second!.effects.decisions.map(({ status }) => status)).toEqual([
      ...Array(5).fill('expired'),
      'applied',
    ])
  })
})
