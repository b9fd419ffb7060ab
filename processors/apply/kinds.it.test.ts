/**
 * Every kind of transaction over the real tables, step by step. After each step another processor takes over with nothing in
 * memory, so that what the tables hold must be all that is needed.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CardInput, LedgerInput, RuleInput } from '#domain/ledger/inputs.ts'
import {
  account,
  external,
  posting,
  review,
  START_MS,
  tick,
  transaction,
} from '#domain/ledger/testing/memory-ledger.ts'
import type { CardChange, Posting, RuleChange } from '#domain/transactions/command.ts'
import { cardChange, ruleChange } from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { LedgerFixture } from '../testing/ledger-fixture.ts'

let ledger: LedgerFixture

beforeAll(async () => {
  ledger = await LedgerFixture.create(testConfiguration('kinds'))
  await step(
    account('alice', { overdraftLimit: 50n }),
    account('bob'),
    account('carol'),
    account('usd', { currency: 'USD' }),
    external('world'),
    account('nostro', { normalSide: 'debit', accountClass: 'nostro' }),
    account('fx eur', { accountClass: 'position', limited: false }),
    account('fx usd', { accountClass: 'position', limited: false, currency: 'USD' }),
  )
  await step(post('seed', move('world', 'alice', 1_000n)))
})
afterAll(() => ledger.close())

const move = (debit: string, credit: string, amount: bigint, currency = 'EUR'): Posting =>
  posting({ debit, credit, amount, currency })
const post = (id: string, ...postings: Posting[]) => transaction({ id, postings })
const authorize = (id: string, ...postings: Posting[]) => transaction({ id, kind: 'authorize', postings })
const capture = (id: string, parentId: string, ...postings: Posting[]) =>
  transaction({ id, kind: 'capture', parentId, postings })
const cancel = (id: string, parentId: string) => transaction({ id, kind: 'void', parentId, postings: [] })
const reverse = (id: string, parentId: string, ...postings: Posting[]) =>
  transaction({ id, kind: 'reverse', parentId, postings })
const card = (changes: Partial<CardChange>): CardInput => ({
  type: 'card',
  topic: 'cards',
  partition: 0,
  offset: 0n,
  change: cardChange(changes),
})
const rule = (changes: Partial<RuleChange>): RuleInput => ({
  type: 'rule',
  topic: 'rules',
  partition: 0,
  offset: 0n,
  change: ruleChange(changes),
})

/** Applies inputs as one batch by a processor of its own. @returns outcomes, refusals included */
const step = async (...inputs: LedgerInput[]): Promise<string[]> => {
  const driver = await ledger.openDriver()
  const [result] = await driver.apply(ledger.log(inputs))
  await driver.session.release([...driver.claims.values()])
  await driver.session.close()
  expect(await ledger.differences()).toEqual([])
  return [
    ...result!.effects.decisions.map(({ status, reason }) => reason ?? status),
    ...result!.effects.notifications.map(({ reason }) => reason),
  ]
}

/** Posted and reserved minor units. */
const of = async (id: string): Promise<[number, number]> => {
  const row = (await ledger.balances()).get(id)!
  return [Number(row.posted), Number(row.reserved)]
}

describe('post', () => {
  it('moves all of its postings or none', async () => {
    expect(await step(post('multi', move('alice', 'bob', 100n), move('alice', 'carol', 50n)))).toEqual([
      'applied',
    ])
    expect([await of('alice'), await of('bob'), await of('carol')]).toEqual([
      [850, 0],
      [100, 0],
      [50, 0],
    ])
    const tooMuch = post('multi over', move('bob', 'carol', 60n), move('bob', 'alice', 60n))
    expect(await step(tooMuch)).toEqual(['insufficient_funds'])
    expect(await of('bob')).toEqual([100, 0])
  })

  it('stops at the overdraft limit', async () => {
    expect(await step(post('to the limit', move('alice', 'world', 900n)))).toEqual(['applied'])
    expect(await step(post('one more', move('alice', 'world', 1n)))).toEqual(['insufficient_funds'])
    expect(await of('alice')).toEqual([-50, 0])
    await step(post('back', move('world', 'alice', 900n)))
  })

  it('looks at a debit-normal account from its own side', async () => {
    expect(await step(post('nostro empty', move('world', 'nostro', 1n)))).toEqual(['insufficient_funds'])
    expect(
      await step(
        post('nostro in', move('nostro', 'world', 70n)),
        post('nostro out', move('world', 'nostro', 30n)),
      ),
    ).toEqual(['applied', 'applied'])
    expect(await of('nostro')).toEqual([-40, 0])
  })

  it('refuses unknown accounts and other currencies', async () => {
    expect(await step(post('u', move('alice', 'nobody', 1n)), post('c', move('alice', 'usd', 1n)))).toEqual([
      'unknown_account',
      'currency_mismatch',
    ])
  })
})

describe('authorize, capture, void', () => {
  it('reserves, captures parts, and never more than was authorized', async () => {
    expect(await step(authorize('auth', move('alice', 'bob', 300n)))).toEqual(['authorized'])
    expect(await of('alice')).toEqual([850, 300])
    expect(await step(post('spoken for', move('alice', 'world', 601n)))).toEqual(['insufficient_funds'])
    expect(await step(capture('part 1', 'auth', move('alice', 'bob', 100n)))).toEqual(['applied'])
    expect([await of('alice'), await of('bob')]).toEqual([
      [750, 200],
      [200, 0],
    ])
    expect(await step(capture('over', 'auth', move('alice', 'bob', 201n)))).toEqual([
      'capture_exceeds_authorization',
    ])
    expect(await step(capture('other', 'auth', move('alice', 'carol', 1n)))).toEqual([
      'posting_not_in_parent',
    ])
    expect(await step(capture('rest', 'auth'))).toEqual(['applied'])
    expect(await step(capture('again', 'auth'))).toEqual(['parent_closed'])
    expect([await of('alice'), await of('bob')]).toEqual([
      [550, 0],
      [400, 0],
    ])
  })

  it('frees what a void leaves', async () => {
    await step(authorize('auth 2', move('alice', 'bob', 80n)))
    await step(capture('auth 2 part', 'auth 2', move('alice', 'bob', 30n)))
    expect(await of('alice')).toEqual([520, 50])
    expect(await step(cancel('void', 'auth 2'))).toEqual(['voided'])
    expect(await of('alice')).toEqual([520, 0])
    expect(await step(cancel('void again', 'auth 2'))).toEqual(['parent_closed'])
    expect(await step(cancel('void nothing', 'no such'), cancel('void post', 'seed'))).toEqual([
      'parent_unknown',
      'parent_not_authorized',
    ])
  })

  it('expires by a tick', async () => {
    await step(transaction({ id: 'auth 3', kind: 'authorize', expiresAt: START_MS + 1_000 }))
    expect(await of('alice')).toEqual([520, 100])
    expect(await step(tick(START_MS + 2_000))).toEqual(['expired'])
    expect(await of('alice')).toEqual([520, 0])
    expect(await step(capture('too late', 'auth 3'))).toEqual(['parent_closed'])
  })
})

describe('reverse', () => {
  it('gives back parts and the rest, and never more than was posted', async () => {
    await step(post('sale', move('alice', 'bob', 120n)))
    expect(await step(reverse('refund 1', 'sale', move('alice', 'bob', 20n)))).toEqual(['applied'])
    expect([await of('alice'), await of('bob')]).toEqual([
      [420, 0],
      [530, 0],
    ])
    expect(await step(reverse('refund over', 'sale', move('alice', 'bob', 101n)))).toEqual([
      'reversal_exceeds_posted',
    ])
    expect(await step(reverse('refund rest', 'sale'))).toEqual(['applied'])
    expect(await step(reverse('refund more', 'sale'))).toEqual(['reversal_exceeds_posted'])
    expect(await of('alice')).toEqual([520, 0])
    expect(await step(reverse('of a reverse', 'refund rest'), reverse('of a hold', 'auth 3'))).toEqual([
      'parent_not_posted',
      'parent_not_posted',
    ])
  })

  it('of a capture gives its money back', async () => {
    expect(await step(reverse('refund capture', 'part 1'))).toEqual(['applied'])
    expect(await of('alice')).toEqual([620, 0])
  })

  it('passes a limit only where the account says so', async () => {
    await step(account('strict'), account('lenient', { reversalMayOverdraw: true }))
    await step(post('s', move('alice', 'strict', 10n)), post('l', move('alice', 'lenient', 10n)))
    await step(post('s out', move('strict', 'world', 10n)), post('l out', move('lenient', 'world', 10n)))
    expect(await step(reverse('s back', 's'), reverse('l back', 'l'))).toEqual([
      'insufficient_funds',
      'applied',
    ])
    expect([await of('strict'), await of('lenient')]).toEqual([
      [0, 0],
      [-10, 0],
    ])
  })
})

describe('exchange', () => {
  const exchange = (id: string, ...postings: Posting[]) => transaction({ id, kind: 'exchange', postings })
  it('moves two currencies through position accounts, each in balance', async () => {
    const sell = move('alice', 'fx eur', 100n)
    const buy = move('fx usd', 'usd', 110n, 'USD')
    expect(await step(exchange('fx', sell, buy))).toEqual(['applied'])
    expect([await of('fx eur'), await of('fx usd'), await of('usd')]).toEqual([
      [100, 0],
      [-110, 0],
      [110, 0],
    ])
    expect(
      await step(exchange('one currency', sell), exchange('no position', sell, move('alice', 'bob', 1n))),
    ).toEqual(['exchange_invalid', 'exchange_invalid'])
    const sums = await ledger.rows('select currency, sum(posted)::text as sum from accounts group by 1')
    expect(sums).toEqual(expect.arrayContaining([expect.objectContaining({ sum: '0' })]))
    expect(sums.every((row) => (row as { sum: string }).sum === '0')).toBe(true)
  })
})

describe('accounts', () => {
  const change = (accountId: string, action: 'freeze' | 'unfreeze' | 'close') =>
    account(accountId, { action })
  it('that are frozen or closed take nothing', async () => {
    expect(await step(change('carol', 'freeze'))).toEqual([])
    expect(await step(post('frozen', move('alice', 'carol', 1n)))).toEqual(['account_frozen'])
    expect(await step(change('carol', 'unfreeze'), change('carol', 'unfreeze'))).toEqual(['not_frozen'])
    expect(await step(change('carol', 'close'))).toEqual(['balance_not_zero'])
    await step(post('empty', move('carol', 'alice', 50n)))
    expect(await step(change('carol', 'close'))).toEqual([])
    expect(await step(post('closed', move('alice', 'carol', 1n)))).toEqual(['account_closed'])
    expect(await step(change('carol', 'freeze'), account('carol'))).toEqual(['account_closed'])
    expect(await step(account('alice', { currency: 'USD' }))).toEqual(['exists_with_other_content'])
  })

  it('are captured from only while they are open', async () => {
    await step(authorize('auth 4', move('alice', 'bob', 10n)))
    await step(change('bob', 'freeze'))
    expect(await step(capture('auth 4 part', 'auth 4'))).toEqual(['account_frozen'])
    await step(change('bob', 'unfreeze'))
    expect(await step(capture('auth 4 all', 'auth 4'))).toEqual(['applied'])
  })
})

describe('cards', () => {
  const by = (id: string, amount: bigint, token = 'tok_1') =>
    transaction({ id, card: token, postings: [move('alice', 'bob', amount)] })
  it('have limits, a state and an owner', async () => {
    expect(
      await step(
        card({ transactionLimit: 50n, dailyLimit: 80n }),
        card({ card: 'tok_2', accountId: 'bob' }),
        card({ card: 'tok_3', expiresAt: START_MS + 2_000 }),
        card({ card: 'tok_4', accountId: 'nobody' }),
      ),
    ).toEqual(['unknown_account'])
    expect(await step(by('card 1', 50n), by('card 2', 51n), by('card 3', 31n))).toEqual([
      'applied',
      'card_limit_exceeded',
      'card_limit_exceeded',
    ])
    expect(await step(by('card 4', 30n), by('card 5', 1n))).toEqual(['applied', 'card_limit_exceeded'])
    expect(await step(by('no card', 1n, 'tok_9'), by('expired', 1n, 'tok_3'))).toEqual([
      'card_unknown',
      'card_expired',
    ])
    const foreign = transaction({ id: 'foreign', card: 'tok_2', postings: [move('alice', 'world', 1n)] })
    expect(await step(foreign)).toEqual(['card_account_mismatch'])
    expect(await step(card({ action: 'block' }))).toEqual([])
    expect(await step(by('blocked', 1n))).toEqual(['card_blocked'])
    expect(await step(tick(START_MS + 86_400_000), card({ action: 'unblock' }))).toEqual([])
    expect(await step(by('next day', 50n))).toEqual(['applied'])
    expect(await ledger.rows(`select spent, day_amount from cards where card = 'tok_1'`)).toEqual([
      { spent: 130n, day_amount: 50n },
    ])
  })

  it('counts a capture for the card of its authorization, until it is reversed', async () => {
    const spent = () => ledger.rows(`select spent, reserved from cards where card = 'tok_2'`)
    const [before] = await spent()
    await step(post('for the card', move('world', 'bob', 9n)))
    const held = transaction({
      id: 'card auth',
      kind: 'authorize',
      card: 'tok_2',
      postings: [move('bob', 'world', 9n)],
    })
    expect(await step(held)).toEqual(['authorized'])
    expect(await step(capture('card capture', 'card auth'))).toEqual(['applied'])
    expect(await spent()).not.toEqual([before])
    expect(await step(reverse('card reversal', 'card capture'))).toEqual(['applied'])
    expect(await spent()).toEqual([before])
    const sums = await ledger.rows(
      `select card, spent, (select coalesce(sum(case when p.debit_no = c.account_no then p.amount
             when p.credit_no = c.account_no then -p.amount else 0 end), 0)::bigint
           from transactions t join postings p using (sequence, index) where t.card_no = c.card_no) as entries
       from cards c order by card`,
    )
    for (const { card: token, spent: sum, entries } of sums as {
      card: string
      spent: bigint
      entries: bigint
    }[])
      expect([token, sum]).toEqual([token, entries])
  })
})

describe('held transactions', () => {
  it('wait for the first review', async () => {
    await step(post('more', move('world', 'alice', 5_000n)))
    expect(await step(rule({ threshold: 200n, action: 'hold' }))).toEqual([])
    const before = await of('alice')
    const held = ['held 1', 'held 2'].map((id) => post(id, move('alice', 'bob', 201n)))
    expect(await step(...held)).toEqual(['held', 'held'])
    expect(await of('alice')).toEqual([before[0], 402])
    expect(await step(review('held 1', 'release'), review('held 1', 'decline'))).toEqual([
      'applied',
      'not_held',
    ])
    expect(await step(review('held 2', 'decline'))).toEqual(['declined'])
    expect(await of('alice')).toEqual([before[0] - 201, 0])
    expect(await step(reverse('refund held', 'held 1'))).toEqual(['applied'])
    expect(await of('alice')).toEqual([before[0], 0])
  })

  it('can be voided, and are looked at again at their release', async () => {
    const before = await of('alice')
    await step(post('held 6', move('alice', 'bob', 202n)), post('held 7', move('alice', 'bob', 203n)))
    expect(await step(reverse('of a held one', 'held 6'), capture('of held', 'held 6'))).toEqual([
      'parent_not_posted',
      'parent_not_authorized',
    ])
    expect(await step(cancel('void held', 'held 6'))).toEqual(['voided'])
    await step(account('bob', { action: 'freeze' }))
    expect(await step(review('held 7', 'release'))).toEqual(['account_frozen'])
    expect(await of('alice')).toEqual(before)
    await step(account('bob', { action: 'unfreeze' }))
  })

  it('that are authorizations go on as such, and those without a review expire', async () => {
    const before = await of('alice')
    await step(authorize('held auth', move('alice', 'bob', 204n)), post('held 8', move('alice', 'bob', 205n)))
    expect(await step(review('held auth', 'release'))).toEqual(['authorized'])
    expect(await step(capture('held auth part', 'held auth', move('alice', 'bob', 4n)))).toEqual(['applied'])
    expect(await of('alice')).toEqual([before[0] - 4, 405])
    expect(await step(tick(START_MS + 30 * 86_400_000))).toEqual(['expired', 'expired'])
    expect(await of('alice')).toEqual([before[0] - 4, 0])
  })
})
