/** The read queries against a real Postgres with the real schema. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { contentHash, transactionKey } from '#domain/transactions/canonical.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { UnreachableError } from '#platform/errors.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { balanceAsOf } from '#platform/postgres/queries/balance-as-of.ts'
import { balanceAsOfValueTime } from '#platform/postgres/queries/balance-as-of-value-time.ts'
import { countDeadLettersAt } from '#platform/postgres/queries/count-dead-letters-at.ts'
import type { Cursor, Page } from '#platform/postgres/queries/cursor.ts'
import { commandOf, FIXTURE_TIME_MS, LedgerFixture } from '#platform/postgres/queries/fixtures.ts'
import { listHeld } from '#platform/postgres/queries/list-held.ts'
import { listTransactions, type TransactionFilters } from '#platform/postgres/queries/list-transactions.ts'
import { readAccount } from '#platform/postgres/queries/read-account.ts'
import { readAccountIds, readKnownAccounts } from '#platform/postgres/queries/read-account-ids.ts'
import { isApplied } from '#platform/postgres/queries/read-applied-offsets.ts'
import { readBalances } from '#platform/postgres/queries/read-balances.ts'
import { readDeadLetter } from '#platform/postgres/queries/read-dead-letter.ts'
import { type DeadLetterFilter, readDeadLetters } from '#platform/postgres/queries/read-dead-letters.ts'
import { readEntries } from '#platform/postgres/queries/read-entries.ts'
import { readOutcomes } from '#platform/postgres/queries/read-outcomes.ts'
import { readProgress } from '#platform/postgres/queries/read-progress.ts'
import { readTransaction } from '#platform/postgres/queries/read-transaction.ts'
import { sequencesBetween } from '#platform/postgres/queries/sequences-between.ts'

let ledger: LedgerFixture
let pool: ReadPool

const posting = (debit: string, credit: string, amount: bigint) => ({
  debit,
  credit,
  amount,
  currency: 'EUR',
})
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Two accounts beyond 2^53, a multi-posting transaction, a refused one, a duplicate, a released and a waiting hold, a capture. */
beforeAll(async () => {
  const {
    postgres,
    ledger: { name },
  } = testConfiguration('queries')
  ledger = await LedgerFixture.open(postgres, name)
  pool = makePool({ ...postgres, applicationName: 'test' })
  await ledger.openAccount('bank', { normalSide: 'debit', limited: false })
  await ledger.openAccount('alice', { overdraftLimit: 500n })
  await ledger.openAccount('bob')
  const fund = commandOf({ id: 'fund', postings: [posting('bank', 'alice', 2n ** 60n)] })
  await ledger.decide({ command: fund, status: 'applied' })
  const split = commandOf({
    id: 'split',
    source: 'shop',
    postings: [posting('alice', 'bob', 100n), posting('alice', 'bank', 11n)],
    valueTime: FIXTURE_TIME_MS + 30 * DAY_MS,
  })
  await ledger.decide({ command: split, status: 'applied' })
  await ledger.decide({ command: split, status: 'duplicate' })
  const broke = commandOf({ id: 'broke', postings: [posting('bob', 'alice', 9999n)] })
  await ledger.decide({ command: broke, status: 'rejected', reason: 'insufficient_funds' })
  const held = commandOf({ id: 'held', postings: [posting('alice', 'bob', 7n)] })
  await ledger.decide({ command: held, status: 'held' })
  await ledger.decide({ command: { ...held, actor: 'reviewer' }, status: 'applied', cause: 'review' })
  await ledger.endHold('', 'held', 'released')
  await ledger.decide({
    command: commandOf({ id: 'waiting', postings: [posting('alice', 'bob', 5n)] }),
    status: 'held',
  })
  await ledger.decide({
    command: commandOf({ id: 'auth', kind: 'authorize', postings: [posting('alice', 'bob', 20n)] }),
    status: 'authorized',
  })
  await ledger.decide({
    command: commandOf({
      id: 'capture',
      kind: 'capture',
      parentId: 'auth',
      postings: [posting('alice', 'bob', 20n)],
    }),
    status: 'applied',
  })
  await ledger.endHold('', 'auth', 'captured')
})

afterAll(async () => {
  await pool?.close()
  await ledger?.close()
})

/** Goes through every page. */
async function all<Item>(read: (before: Cursor | null) => Promise<Page<Item>>): Promise<Item[]> {
  const items: Item[] = []
  let before: Cursor | null = null
  for (let pages = 0; pages < 100; pages += 1) {
    const page: Page<Item> = await read(before)
    items.push(...page.items)
    if (page.next === null) return items
    before = page.next
  }
  throw new Error('the pages do not end')
}

test('balances are exact beyond 2^53 and carry their version', async () => {
  const balances = await readBalances(pool, ['alice', 'nobody', 'bank'])
  expect(balances).toHaveLength(2)
  expect(balances.find(({ accountId }) => accountId === 'alice')).toEqual({
    accountId: 'alice',
    currency: 'EUR',
    normalSide: 'credit',
    posted: 2n ** 60n - 111n - 7n - 20n,
    reserved: 32n,
    limited: true,
    overdraftLimit: 500n,
    version: { timeline: 1n, sequence: ledger.sequence },
    recordedAtMs: ledger.nowMs,
  })
  expect(await readAccount(pool, 'bank')).toMatchObject({
    normalSide: 'debit',
    status: 'open',
    openedSequence: 1n,
  })
  expect(await readAccount(pool, 'nobody')).toBeUndefined()
})

test('account ids page in key order', async () => {
  expect(await readAccountIds(pool, '', 2)).toEqual(['alice', 'bank'])
  expect(await readAccountIds(pool, 'bank', 2)).toEqual(['bob'])
  expect(await readKnownAccounts(pool, ['bob', 'nobody'])).toEqual(new Set(['bob']))
})

test.each([1, 2, 3, 100])(
  'entries come newest first, complete, whatever the page size (%i)',
  async (limit) => {
    const entries = await all((before) => readEntries(pool, { accountId: 'alice', before, limit }))
    expect(
      entries.map((entry) => [entry.transactionId, entry.side, entry.counterparty, entry.amountMinor]),
    ).toEqual([
      ['capture', 'debit', 'bob', 20n],
      ['held', 'debit', 'bob', 7n],
      ['split', 'debit', 'bank', 11n],
      ['split', 'debit', 'bob', 100n],
      ['fund', 'credit', 'bank', 2n ** 60n],
    ])
    expect(entries[0]?.postedAfter).toBe(2n ** 60n - 138n)
    expect(entries.at(-1)).toMatchObject({ entry: 1, currency: 'EUR', kind: 'post' })
  },
)

const list = async (filters: TransactionFilters, limit = 2): Promise<string[]> => {
  const idsOf = async (window: number) =>
    (await all((before) => listTransactions(pool, { filters, before, limit, window }))).map(({ id }) => id)
  const ids = await idsOf(1_000)
  // However little a page looks through, all of them together find the same.
  for (const window of [1, 2, 3]) expect(await idsOf(window)).toEqual(ids)
  return ids
}

test('transactions are listed newest first, one a transaction, as they are now', async () => {
  const items = await all((before) => listTransactions(pool, { filters: {}, before, limit: 2 }))
  expect(items.map(({ id, status, reason }) => [id, status, reason])).toEqual([
    ['capture', 'applied', null],
    ['auth', 'authorized', null],
    ['waiting', 'held', null],
    ['held', 'applied', null],
    ['broke', 'rejected', 'insufficient_funds'],
    ['split', 'applied', null],
    ['fund', 'applied', null],
  ])
  expect(items[5]?.postings).toMatchObject([
    { debit: 'alice', credit: 'bob', amountMinor: 100n },
    { debit: 'alice', credit: 'bank', amountMinor: 11n },
  ])
  expect(items[3]?.postings).toMatchObject([{ debit: 'alice', amountMinor: 7n }])
  expect(items[2]?.postings).toMatchObject([{ debit: 'alice', amountMinor: 5n }])
  expect(items[4]?.postings).toEqual([])
})

test('a cursor that nobody gave out, whatever its numbers, is a place like any other', async () => {
  const far = 2n ** 63n - 1n
  const listed = await listTransactions(pool, { filters: {}, before: [1n, far], limit: 2 })
  expect(listed.items.length).toBeLessThanOrEqual(2)
  await listTransactions(pool, { filters: { accountId: 'alice' }, before: [far, far], limit: 2 })
  const entries = await readEntries(pool, { accountId: 'alice', before: [far, far, far], limit: 1 })
  expect(entries.items.map(({ transactionId }) => transactionId)).toEqual(['capture'])
})

test('filters', async () => {
  expect(await list({ statuses: ['held'] })).toEqual(['waiting'])
  expect(await list({ statuses: ['applied'] })).toEqual(['capture', 'held', 'split', 'fund'])
  expect(await list({ statuses: ['rejected', 'authorized'] })).toEqual(['auth', 'broke'])
  expect(await list({ kind: 'capture' })).toEqual(['capture'])
  expect(await list({ reason: 'insufficient_funds' })).toEqual(['broke'])
  expect(await list({ source: 'shop' })).toEqual(['split'])
  expect(await list({ to: new Date(FIXTURE_TIME_MS + 5 * HOUR_MS) })).toEqual(['fund'])
  expect(await list({ from: new Date(FIXTURE_TIME_MS + 11 * HOUR_MS) })).toEqual(['capture', 'auth'])
  expect(await list({ accountId: 'bank' }, 1)).toEqual(['split', 'fund'])
  expect(await list({ accountId: 'alice', source: 'shop' }, 1)).toEqual(['split'])
  expect(await list({ accountId: 'nobody' })).toEqual([])
})

test('a page looks through so many transactions at most, and goes on behind them', async () => {
  const page = (before: Cursor | null) =>
    listTransactions(pool, { filters: { source: 'shop' }, before, limit: 2, window: 3 })
  const first = await page(null)
  expect(first.items).toEqual([])
  expect(first.next).not.toBeNull()
  const looked = [first]
  for (let next = first.next; next !== null; next = looked.at(-1)!.next) looked.push(await page(next))
  expect(looked.flatMap(({ items }) => items.map(({ id }) => id))).toEqual(['split'])
  expect(looked.length).toBeGreaterThan(2)
})

test('a stretch of time is a stretch of the history: nothing newer is looked through for something old', async () => {
  const at = (hours: number) => new Date(FIXTURE_TIME_MS + hours * HOUR_MS)
  const everything = await all((before) => listTransactions(pool, { filters: {}, before, limit: 100 }))
  for (const hours of [-1, 0, 1, 3, 5, 8, 11, 20]) {
    const before = everything.filter(({ recordedAt }) => recordedAt < at(hours))
    const { first, last } = await sequencesBetween(pool, { from: at(hours), to: at(hours) })
    expect(last).toBe(first)
    for (const { sequence, recordedAt } of everything) {
      if (sequence > last) expect(recordedAt >= at(hours), `${sequence} at ${hours}`).toBe(true)
      if (sequence < first) expect(recordedAt < at(hours), `${sequence} at ${hours}`).toBe(true)
    }
    // The very last before it, so that a page isn't filled with what can't be meant.
    if (before.length > 0) expect(last).toBeGreaterThanOrEqual(before[0]!.sequence)
    const page = await listTransactions(pool, {
      filters: { to: at(hours) },
      before: null,
      limit: 1,
      window: 3,
    })
    expect(page.items.map(({ id }) => id)).toEqual(before.slice(0, 1).map(({ id }) => id))
  }
})

test('a transaction shows every decision about it', async () => {
  const held = await readTransaction(pool, transactionKey('', 'held'))
  expect(held?.decisions.map(({ cause, status, actor }) => [cause, status, actor])).toEqual([
    ['transaction', 'held', 'tester'],
    ['review', 'applied', 'reviewer'],
  ])
  expect(held?.decisions[1]?.postings).toMatchObject([{ debit: 'alice', credit: 'bob', amountMinor: 7n }])
  expect(held?.hold).toMatchObject({ kind: 'review', status: 'released' })
  const capture = await readTransaction(pool, transactionKey('', 'capture'))
  expect(capture).toMatchObject({ kind: 'capture', parent: { id: 'auth', source: '' } })
  const auth = await readTransaction(pool, transactionKey('', 'auth'))
  expect(auth?.decisions.map(({ status }) => status)).toEqual(['authorized'])
  expect(auth?.hold?.status).toBe('captured')
  expect(await readTransaction(pool, transactionKey('other', 'held'))).toBeUndefined()
})

test('outcomes are of the record that took the id', async () => {
  const keys = ['split', 'nothing'].map((id) => transactionKey('shop', id))
  const outcomes = await readOutcomes(pool, [
    ...keys,
    transactionKey('', 'waiting'),
    transactionKey('', 'capture'),
  ])
  const byKey = new Map(outcomes.map((outcome) => [outcome.key, outcome]))
  expect(byKey.size).toBe(3)
  const split = byKey.get(keys[0]!)
  expect(split).toMatchObject({ status: 'applied', reason: null, topic: 'transactions', partition: 0 })
  expect([...(split?.accountIds ?? [])].sort()).toEqual(['alice', 'bank', 'bob'])
  expect(split?.content).toBe(
    contentHash(
      commandOf({
        id: 'split',
        source: 'shop',
        postings: [posting('alice', 'bob', 100n), posting('alice', 'bank', 11n)],
        valueTime: FIXTURE_TIME_MS + 30 * DAY_MS,
      }),
    ),
  )
  expect(byKey.get(transactionKey('', 'waiting'))?.accountIds).toEqual(['alice'])
})

test('held transactions page by expiry', async () => {
  const held = await all((after) => listHeld(pool, { after, limit: 1 }))
  expect(held.map(({ id }) => id)).toEqual(['waiting'])
  expect(held[0]?.postings).toMatchObject([{ debit: 'alice', remainingMinor: 5n }])
})

test('a balance as of a recorded time is what the ledger said then', async () => {
  const at = async (hours: number, account = 'alice') =>
    (await balanceAsOf(pool, account, new Date(FIXTURE_TIME_MS + hours * HOUR_MS)))?.posted
  expect(await at(3)).toBe(0n)
  expect(await at(4)).toBe(2n ** 60n)
  expect(await at(5)).toBe(2n ** 60n - 111n)
  expect(await at(1000)).toBe(2n ** 60n - 138n)
  expect(await at(1000, 'bob')).toBe(127n)
  expect(await at(1000, 'nobody')).toBeUndefined()
})

test('a past balance says up to when it is known: no later than the ledger itself', async () => {
  const [head] = await pool.query<{ at: Date }>({
    text: 'select to_timestamp(tick_ms / 1000.0) as at from ledger_head',
  })
  const early = new Date(FIXTURE_TIME_MS + HOUR_MS)
  const far = new Date('2999-01-01T00:00:00Z')
  expect((await balanceAsOf(pool, 'alice', early))!.asOf).toEqual(early)
  expect((await balanceAsOf(pool, 'alice', far))!.asOf).toEqual(head!.at)
  const valueAt = new Date(FIXTURE_TIME_MS)
  expect((await balanceAsOfValueTime(pool, 'alice', { valueAt, recordedAt: early }))!.asOf).toEqual(early)
  expect((await balanceAsOfValueTime(pool, 'alice', { valueAt }))!.asOf).toEqual(head!.at)
})

test('a balance at a value time counts what is effective by then', async () => {
  const at = async (valueMs: number, recordedAt?: Date) =>
    (await balanceAsOfValueTime(pool, 'alice', { valueAt: new Date(valueMs), recordedAt }))?.posted
  expect(await at(FIXTURE_TIME_MS - 1)).toBe(0n)
  expect(await at(FIXTURE_TIME_MS)).toBe(2n ** 60n - 27n)
  expect(await at(FIXTURE_TIME_MS + 31 * DAY_MS)).toBe(2n ** 60n - 138n)
  expect(await at(FIXTURE_TIME_MS, new Date(FIXTURE_TIME_MS + 4 * HOUR_MS))).toBe(2n ** 60n)
})

test('positions, progress', async () => {
  await ledger.advance({ topic: 'accounts', partition: 0, offset: 41n }, 'local')
  expect(await isApplied(pool, 'local', { topic: 'accounts', partition: 0, offset: 41n })).toBe(true)
  expect(await isApplied(pool, 'local', { topic: 'accounts', partition: 0, offset: 42n })).toBe(false)
  expect(await isApplied(pool, 'other', { topic: 'accounts', partition: 0, offset: 1n })).toBe(false)
  expect(await readProgress(pool)).toMatchObject({
    sequence: ledger.sequence,
    timeline: 1n,
    publishedSequence: 0n,
  })
})

test('dead letters: both ways, by what they are, with the last word about each', async () => {
  const insert = (
    index: number,
    changes: { reason?: string; value?: string; bytes?: number; topic?: string },
  ) => {
    const { reason = 'json_invalid', value = '{', bytes = value.length, topic = 'transactions' } = changes
    return ledger.run(
      `insert into dead_letters values (5, $1::int, $2, 0, $1::int, $3, 'broken', null, convert_to($4, 'UTF8'), $5,
         sha256('{'), null, to_timestamp($6::double precision / 1000))`,
      [index, topic, reason, value, bytes, FIXTURE_TIME_MS + index * HOUR_MS],
    )
  }
  await insert(0, {})
  await insert(1, { reason: 'avro_invalid', topic: 'accounts' })
  await insert(2, { bytes: 9 })
  await insert(3, { value: '*' })
  const decide = (sequence: number, kind: string, outcome: string) =>
    ledger.run(
      `insert into commands values ($1::bigint, 0, $2, gen_random_uuid(), true, $3, 'transactions:0:0', '{"a":"b"}', 'olga', 'words',
         $4, null, 'commands', 0, 0, now(), now())`,
      [sequence, `c${sequence}`, kind, outcome],
    )
  await decide(4, 'dead_letter.discard', 'applied')
  await decide(6, 'dead_letter.retried', 'applied')
  await decide(7, 'dead_letter.discard', 'rejected')

  const indexes = async (filter: DeadLetterFilter, order: 'newest' | 'oldest' = 'newest') => {
    const letters = await all((after) => readDeadLetters(pool, { after, limit: 2, filter, order }))
    return letters.map(({ index }) => index)
  }
  expect(await indexes({})).toEqual([3, 2, 1, 0])
  expect(await indexes({}, 'oldest')).toEqual([0, 1, 2, 3])
  expect(await indexes({ reason: 'avro_invalid' })).toEqual([1])
  expect(await indexes({ topic: 'transactions' })).toEqual([3, 2, 0])
  expect(await indexes({ status: 'open' })).toEqual([3, 2, 1])
  expect(await indexes({ status: 'retried' })).toEqual([0])
  expect(await indexes({ status: 'discarded' })).toEqual([])
  expect(await indexes({ sequenceMax: 4n })).toEqual([])
  const since = new Date(FIXTURE_TIME_MS + HOUR_MS)
  expect(await indexes({ since })).toEqual([3, 2, 1])
  expect(await indexes({ until: since })).toEqual([0])

  const letters = await all((after) => readDeadLetters(pool, { after, limit: 9, order: 'oldest' }))
  expect(letters.map(({ kept }) => kept)).toEqual(['whole', 'whole', 'cut', 'masked'])
  // A command of an earlier batch can't have been about this letter, and one that was refused says nothing.
  expect(letters[0]?.decided).toMatchObject({ actor: 'olga', reason: 'words', parameters: { a: 'b' } })
  const letter = await readDeadLetter(pool, { topic: 'transactions', partition: 0, offset: 2n })
  expect(letter?.value?.toString()).toBe('{')
  expect(await readDeadLetter(pool, { topic: 'transactions', partition: 0, offset: 1n })).toBeUndefined()
  const positions = letters.map(({ topic, partition, offset }) => ({ topic, partition, offset }))
  expect(await countDeadLettersAt(pool, [...positions, { topic: 'cards', partition: 0, offset: 0n }])).toBe(4)
})

test('the pool can only read, ends long statements, and says when Postgres is away', async () => {
  const write = pool.query({ text: 'update ledger_head set timeline = 9' })
  await expect(write).rejects.toMatchObject({ code: 'postgres_failed' })
  const { postgres } = testConfiguration('queries')
  const impatient = makePool({ ...postgres, applicationName: 'test', statementTimeoutMs: 50 })
  await expect(impatient.query({ text: 'select pg_sleep(5)' })).rejects.toMatchObject({
    code: 'query_timeout',
  })
  await impatient.close()
  const away = makePool({ ...postgres, url: 'postgres://nobody@127.0.0.1:1/none', applicationName: 'test' })
  await expect(away.query({ text: 'select 1' })).rejects.toBeInstanceOf(UnreachableError)
  await away.close()
})
