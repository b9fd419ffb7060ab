/** Forgotten ids are deleted with what hangs on them, step by step, and no decision shows whether they were. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import {
  account,
  external,
  posting,
  tick,
  transaction,
  horizon,
} from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { type LedgerDriver, LedgerFixture } from '#processors/testing/ledger-fixture.ts'
import { pruneIds } from './prune-ids.ts'

const DAY_MS = 86_400_000
const START = Date.UTC(2026, 0, 10)
const day = (n: number): number => START + n * DAY_MS

const about = (kind: 'reverse' | 'capture', id: string, parentId: string, n: number) =>
  transaction({ id, kind, parentId, postings: [], occurredAt: day(n) }, day(n))
const pay = (id: string, n: number, changes: object = {}) =>
  transaction(
    { id, occurredAt: day(n), postings: [posting({ debit: 'world', credit: 'alice' })], ...changes },
    day(n),
  )

/** One ledger that is pruned at every occasion, one never. */
let pruned: LedgerFixture
let kept: LedgerFixture
let drivers: readonly [LedgerDriver, LedgerDriver]

beforeAll(async () => {
  pruned = await LedgerFixture.create(testConfiguration('pruned'), START)
  kept = await LedgerFixture.create(testConfiguration('kept'), START)
  drivers = [await pruned.openDriver(), await kept.openDriver()]
})
afterAll(async () => {
  await pruned?.close()
  await kept?.close()
})

/** Applies to both. @returns the outcomes, which must be the same. */
const apply = async (inputs: readonly LedgerInput[]): Promise<string[]> => {
  const outcomes = []
  for (const [place, fixture] of [pruned, kept].entries()) {
    const results = await drivers[place]!.apply(fixture.log(inputs))
    outcomes.push(
      results.flatMap(({ effects }) => effects.decisions.map(({ reason, status }) => reason ?? status)),
    )
  }
  expect(outcomes[0]).toEqual(outcomes[1])
  return outcomes[0]!
}

const counts = async (fixture: LedgerFixture) => {
  const [row] = await fixture.rows<Record<'ids' | 'holds' | 'reversals', bigint>>(
    'select (select count(*) from transaction_ids) as ids, (select count(*) from holds) as holds, (select count(*) from reversals) as reversals',
  )
  return Object.values(row!).map(Number)
}

it('nothing is forgotten without a horizon', async () => {
  await apply([external('world'), account('alice', { reversalMayOverdraw: true })])
  const many = Array.from({ length: 600 }, (_, n) => pay(`old-${n}`, 0))
  const authorized = pay('hold', 0, { kind: 'authorize', expiresAt: day(3) })
  await apply([...many, authorized, pay('back', 0), about('reverse', 'undo', 'back', 0)])
  await apply([tick(day(2_000))])
  expect(await pruneIds(pruned.pool)).toEqual({ deleted: 0, finished: true })
  expect(await counts(pruned)).toEqual([603, 1, 1])
})

it('beyond the horizon ids go with their holds and reversals, however small the steps; younger ones stay', async () => {
  expect(
    await apply([pay('young', 2_000), horizon('history_horizon', 100), horizon('id_horizon', 400)]),
  ).toEqual(['applied'])
  expect(await pruneIds(pruned.pool, { blocksAtOnce: 1n })).toEqual({ deleted: 603, finished: true })
  expect(await counts(pruned)).toEqual([1, 0, 0])
  expect(await counts(kept)).toEqual([604, 1, 1])
  const [sweep] = await pruned.rows('select taken_before, next_block, swept_before from id_sweep')
  expect(sweep).toEqual({ taken_before: null, next_block: 0n, swept_before: new Date(day(2_000 - 432)) })
  expect(await pruneIds(pruned.pool), 'until a day more is forgotten').toEqual({ deleted: 0, finished: true })
})

it('decisions are the same with the rows and without them, whether ids are looked up or only taken', async () => {
  const again = [
    about('capture', 'too late', 'hold', 2_000),
    pay('old-1', 0),
    pay('old-2', 2_000),
    pay('old-2', 2_000),
    pay('back', 2_000),
    about('reverse', 'again', 'back', 2_000),
    pay('hold', 2_000, { kind: 'authorize', expiresAt: day(2_010) }),
    about('capture', 'in time', 'hold', 2_000),
  ]
  expect(await apply(again)).toEqual([
    'parent_unknown',
    'too_old',
    'applied',
    'duplicate',
    'applied',
    'applied',
    'authorized',
    'applied',
  ])
  // Nobody looks ids up any more after so many batches without a repetition.
  for (let n = 0; n < 25; n += 1) await apply([pay(`between-${n}`, 2_000)])
  expect(await apply([pay('old-3', 2_000), about('reverse', 'third', 'old-3', 2_000)])).toEqual([
    'applied',
    'applied',
  ])
  for (const fixture of [pruned, kept]) expect(await fixture.differences()).toEqual([])
  const both = await Promise.all([pruned, kept].map(async (fixture) => fixture.balances()))
  expect(both[0]).toEqual(both[1])
})

it('a sweep that was cut short goes on where it stopped', async () => {
  await apply([tick(day(3_000))])
  const stopping = new AbortController()
  await pruned.pool.query('update id_sweep set taken_before = $1, next_block = 1000000', [
    new Date(day(2_500)),
  ])
  expect(await pruneIds(pruned.pool, { signal: stopping.signal })).toEqual({ deleted: 0, finished: true })
  expect((await counts(pruned))[0]).toBeGreaterThan(30)
  const { deleted } = await pruneIds(pruned.pool)
  expect(deleted).toBeGreaterThan(30)
  stopping.abort()
  await expect(pruneIds(pruned.pool, { signal: stopping.signal })).rejects.toThrow()
})
