/** Offsets and the head advance by compare-and-swap that raises: a batch decided on another past leaves nothing behind. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { decideBatch } from '#domain/ledger/decide.ts'
import { NO_HORIZONS } from '#domain/ledger/horizons.ts'
import { collectNeeds } from '#domain/ledger/needs.ts'
import { account, external, posting, transaction } from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { type LedgerDriver, LedgerFixture } from '#processors/testing/ledger-fixture.ts'
import type { LockedHead, PartitionProgress } from './store.ts'

let ledger: LedgerFixture
let driver: LedgerDriver

beforeAll(async () => {
  ledger = await LedgerFixture.create(testConfiguration('swap'))
  driver = await ledger.openDriver()
  await driver.apply(ledger.log([account('alice'), account('bob'), external('world')]))
})
afterAll(() => ledger.close())

const payment = (id: string) =>
  transaction({ id, postings: [posting({ debit: 'world', credit: 'alice', amount: 10n })] })

interface Falsified {
  readonly head?: Partial<LockedHead>
  readonly progress?: Partial<Omit<PartitionProgress, 'claim'>> & { readonly epoch?: bigint }
}

/** Decides one payment rightly and commits it with something that isn't so. */
const commitFalsified = async (id: string, falsified: Falsified): Promise<void> => {
  const { session, claims } = driver
  const claim = claims.get('transactions:0')!
  const head = await session.begin()
  // Where reading stands, so that nothing but what the case says is wrong.
  const offset = head.positions.get('transactions:0')!
  const inputs = [{ ...payment(id), offset }]
  const cache = {
    accounts: new Map(),
    parties: new Map(),
    rules: null,
    horizons: NO_HORIZONS,
    rulesVersion: -1n,
  }
  const state = await session.load(head, collectNeeds(inputs), cache, { checkIds: true })
  const effects = decideBatch(state, inputs)
  const { epoch, ...progress } = falsified.progress ?? {}
  const claimed = epoch === undefined ? claim : { ...claim, epoch }
  const bytes = Buffer.alloc(32, 7)
  await session.commit(
    { ...head, ...falsified.head },
    state,
    effects,
    [{ claim: claimed, from: offset, next: offset + 1n, last: null, ...progress }],
    { hash: bytes, format: 1, records: 1, header: bytes, payload: bytes },
  )
}

/** Everything that a batch writes. */
const stored = async (): Promise<unknown> => [
  await ledger.rows('select sequence, hash, tick_ms from ledger_head'),
  await ledger.rows(
    'select topic, partition, next_offset, epoch, last_offset from ingest_offsets order by 1, 2',
  ),
  await ledger.rows('select account_id, posted, version from accounts order by 1'),
  await ledger.rows(
    'select (select count(*) from transactions) t, (select count(*) from postings) p, (select count(*) from transaction_ids) i, (select count(*) from batches) b',
  ),
]

describe('committing a batch', () => {
  beforeEach(async () => {
    await driver.session.rollback()
  })

  it('succeeds where head and offsets are as they were read', async () => {
    const before = await ledger.balances()
    await driver.apply(ledger.log([payment('right')]))
    expect((await ledger.balances()).get('alice')!.posted).toBe(before.get('alice')!.posted + 10n)
  })

  const claimEpoch = () => driver.claims.get('transactions:0')!.epoch
  const cases: readonly [string, () => Falsified][] = [
    ['an epoch of an earlier owner', () => ({ progress: { epoch: claimEpoch() - 1n } })],
    ['an epoch that nobody has yet', () => ({ progress: { epoch: claimEpoch() + 1n } })],
    ['an offset that was passed already', () => ({ progress: { from: 0n } })],
    ['an offset beyond the stored one (a gap)', () => ({ progress: { from: 999n, next: 1_000n } })],
    ['a head of an earlier sequence', () => ({ head: { sequence: 0n } })],
    ['a head with another hash', () => ({ head: { hash: Buffer.alloc(32, 9) } })],
    ['a head with another logic version', () => ({ head: { logicVersion: 99 } })],
  ]

  it.each(cases)('with %s raises, and nothing of the batch is stored', async (label, falsify) => {
    const before = await stored()
    await expect(commitFalsified(`wrong: ${label}`, falsify())).rejects.toMatchObject({
      code: 'compare_and_swap_failed',
      retriable: true,
    })
    expect(await stored()).toEqual(before)
  })

  it('raises so that even a COMMIT that was sent before the answer ends in a rollback', async () => {
    const { session } = driver
    const before = await stored()
    await session.begin()
    const update = session.query(
      't-silent',
      `update ledger_head set sequence = sequence + 100 where sequence = -1`,
    )
    const write = session.query('t-write', `update accounts set posted = 1 where account_id = 'alice'`)
    const raised = session.query('t-raise', `select require_rows('test', 1, 0)`)
    const commit = session.query('t-commit', 'commit')
    // Matching no row is no error by itself: without the raise, the COMMIT behind it would have gone through.
    expect((await update).rowCount).toBe(0)
    await write
    await expect(raised).rejects.toThrow(/compare_and_swap_failed/)
    expect((await commit).command).toBe('ROLLBACK')
    expect(await stored()).toEqual(before)
  })

  it('with an id that is taken raises before anything of it is stored', async () => {
    const before = await stored()
    const { session } = driver
    const inputs = ledger.log([payment('right')])
    const head = await session.begin()
    const cache = {
      accounts: new Map(),
      parties: new Map(),
      rules: null,
      horizons: NO_HORIZONS,
      rulesVersion: -1n,
    }
    const state = await session.load(head, collectNeeds(inputs), cache, { checkIds: false })
    const effects = decideBatch(state, inputs)
    expect(effects.decisions[0]!.status).toBe('applied')
    const bytes = Buffer.alloc(32, 7)
    const committing = session.commit(head, state, effects, [], {
      hash: bytes,
      format: 1,
      records: 1,
      header: bytes,
      payload: bytes,
    })
    await expect(committing).rejects.toMatchObject({ code: 'compare_and_swap_failed' })
    expect(await stored()).toEqual(before)
  })
})
