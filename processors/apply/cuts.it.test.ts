/** The same log decided in batches of 1, 7 and 1000, in three ledgers: the same outcomes, entries and balances. */
import { afterAll, describe, expect, it } from 'vitest'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import {
  account,
  external,
  posting,
  review,
  START_MS,
  tick,
  transaction,
} from '#domain/ledger/testing/memory-ledger.ts'
import { ruleChange } from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { LedgerFixture } from '../testing/ledger-fixture.ts'

/** A small generator of numbers, seeded: the same log every time. */
const seeded = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const ACCOUNTS = ['a0', 'a1', 'a2', 'a3', 'a4']

/** A log in which records refer to earlier ones, repeat them, and time passes. */
const makeLog = (length: number): LedgerInput[] => {
  const pick = seeded(20_260_115)
  const inputs: LedgerInput[] = [
    external('world'),
    ...ACCOUNTS.map((id, place) => account(id, { overdraftLimit: BigInt(place * 40) })),
    {
      type: 'rule',
      topic: 'rules',
      partition: 0,
      offset: 0n,
      change: ruleChange({ threshold: 200n, action: 'hold' }),
    },
    {
      type: 'rule',
      topic: 'rules',
      partition: 0,
      offset: 0n,
      change: ruleChange({ ruleId: 'often', type: 'velocity_count', threshold: 60n, windowMs: 3_600_000 }),
    },
    ...ACCOUNTS.map((id) =>
      transaction({ id: `seed-${id}`, postings: [posting({ debit: 'world', credit: id, amount: 2_000n })] }),
    ),
  ]
  const ids: string[] = []
  for (let n = 0; n < length; n += 1) {
    const from = pick(ACCOUNTS.length)
    const to = (from + 1 + pick(ACCOUNTS.length - 1)) % ACCOUNTS.length
    const amount = BigInt(1 + pick(400))
    const postings = [posting({ debit: ACCOUNTS[from]!, credit: ACCOUNTS[to]!, amount })]
    const parentId = ids[Math.max(0, ids.length - 1 - pick(12))] ?? 'none'
    const id = pick(12) === 0 && ids.length > 0 ? ids[pick(ids.length)]! : `t${n}`
    const occurredAt = START_MS + n * 100
    const partition = pick(3)
    const make = pick(21)
    const earlier = inputs[pick(inputs.length)]!
    if (make === 20 && earlier.type === 'transaction') inputs.push({ ...earlier, partition })
    else if (make < 8) inputs.push({ ...transaction({ id, postings, occurredAt }), partition })
    else if (make < 11)
      inputs.push({
        ...transaction({
          id,
          kind: 'authorize',
          postings,
          occurredAt,
          expiresAt: START_MS + n * 100 + 9_000,
        }),
        partition,
      })
    else if (make < 13)
      inputs.push({ ...transaction({ id, kind: 'capture', parentId, postings: [], occurredAt }), partition })
    else if (make < 14)
      inputs.push({ ...transaction({ id, kind: 'void', parentId, postings: [], occurredAt }), partition })
    else if (make < 16)
      inputs.push({ ...transaction({ id, kind: 'reverse', parentId, postings: [], occurredAt }), partition })
    else if (make < 18) inputs.push(review(parentId, pick(2) === 0 ? 'release' : 'decline'))
    else if (make < 19) inputs.push(tick(START_MS + n * 100))
    else inputs.push(account(ACCOUNTS[from]!, { action: pick(3) === 0 ? 'freeze' : 'unfreeze' }))
    ids.push(id)
  }
  return inputs
}

const LOG = makeLog(600)
const ledgers: LedgerFixture[] = []
afterAll(async () => {
  for (const ledger of ledgers) await ledger.close()
})

/** What must not depend on cuts: sequence numbers and the tables' own numbering are left out. */
const resultOf = async (size: number) => {
  const ledger = await LedgerFixture.create(testConfiguration(`cut${size}`))
  ledgers.push(ledger)
  const driver = await ledger.openDriver()
  const results = await driver.apply(ledger.log(LOG), size)
  expect(await ledger.differences()).toEqual([])
  return {
    batches: results.length,
    decisions: results.flatMap(({ effects }) =>
      effects.decisions.map(
        (d) => `${d.command.id} ${d.cause} ${d.status} ${d.reason ?? ''} ${d.recordedAt}`,
      ),
    ),
    refusals: results.flatMap(({ effects }) => effects.notifications.map((n) => `${n.subject} ${n.reason}`)),
    entries: await ledger.rows(
      `select t.id, e.side, e.amount, a.account_id, e.posted_after, e.recorded_at, e.value_at
       from ledger_entries e join transactions t using (sequence, index) join accounts a using (account_no)
       order by e.sequence, e.index, e.entry`,
    ),
    balances: await ledger.rows(
      'select account_id, status, posted, reserved, profile from accounts order by 1',
    ),
    holds: await ledger.rows('select id, kind, status, postings, expires_at_ms from holds order by key'),
    reversals: await ledger.rows('select key, posting, reversed from reversals order by 1, 2'),
    head: await ledger.rows(
      'select tick_ms, pending_ticks, expiring, accounts_count, cards_count from ledger_head',
    ),
  }
}

describe('where batches are cut', () => {
  it('changes nothing but the numbers of the batches', async () => {
    const [whole, sevens, ones] = [await resultOf(1_000), await resultOf(7), await resultOf(1)]
    expect(whole.batches).toBe(1)
    expect(ones.batches).toBe(LOG.length)
    const kinds = new Set(whole.decisions.map((line) => line.split(' ').slice(2, 4).join(' ')))
    // The log must reach what could go wrong.
    for (const expected of ['applied ', 'held ', 'expired ', 'voided ', 'declined ', 'duplicate ']) {
      expect([...kinds]).toContain(expected)
    }
    expect({ ...sevens, batches: 1 }).toEqual(whole)
    expect({ ...ones, batches: 1 }).toEqual(whole)
  })
})
