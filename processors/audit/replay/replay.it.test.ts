/**
 * A generated history of all kinds through the real engine, decided again from its topics: equal bit for bit; and each way in
 * which it could not be equal is found, with its place.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type BatchHeader, batchHash } from '#domain/ledger/batch-record.ts'
import { currencyByNumeric } from '#domain/money/currency.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { HistoryFixture } from '#loadtest/generator/testing/history-fixture.ts'
import { type AuditReplayOptions, auditReplay } from '../../auditing.ts'
import type { ReplayReport } from './report.ts'

const configuration = testConfiguration('replay')
const SIZE = { transactions: 3_000, accounts: 80 }
let folder: string
let history: HistoryFixture

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'replay-it-'))
  history = await HistoryFixture.create(configuration)
  await history.generate('r1', { seed: 11, ...SIZE })
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await history?.close()
})

const audit = (changes: Partial<AuditReplayOptions> = {}): Promise<ReplayReport> =>
  auditReplay({
    configuration,
    from: 'earliest',
    to: 'latest',
    checkpoints: folder,
    actor: 'tests',
    onMessage: () => undefined,
    onProgress: () => undefined,
    signal: new AbortController().signal,
    ...changes,
  })

const rows = <Row>(text: string, values: unknown[] = []): Promise<Row[]> => history.rows<Row>(text, values)

/** The documented bytes of the digest, put together from the tables. */
const digestOfTables = async (): Promise<string> => {
  const hash = createHash('sha256').update('tallystream digest 1\n')
  const postings = await rows<Record<string, bigint> & { key: string; posting: number }>(
    `select t.key, p.posting, p.debit_no, p.credit_no, p.amount, p.debit_posted, p.credit_posted,
       (extract(epoch from p.value_at) * 1000)::bigint as value_ms
     from postings p join transactions t using (sequence, index) order by p.sequence, p.index, p.posting`,
  )
  for (const posting of postings) {
    const bytes = Buffer.alloc(59)
    bytes[0] = 1
    bytes.write(posting.key.replaceAll('-', ''), 1, 'hex')
    bytes.writeUInt16BE(posting.posting, 17)
    bytes.writeUInt32BE(Number(posting.debit_no), 19)
    bytes.writeUInt32BE(Number(posting.credit_no), 23)
    const longs = ['amount', 'debit_posted', 'credit_posted', 'value_ms']
    for (const [place, name] of longs.entries()) bytes.writeBigInt64BE(posting[name]!, 27 + place * 8)
    hash.update(bytes)
  }
  const accounts = await rows<Record<string, bigint> & { currency: number }>(
    'select * from accounts order by account_no',
  )
  for (const account of accounts) {
    const bytes = Buffer.alloc(30)
    bytes[0] = 2
    bytes.writeUInt32BE(Number(account.account_no), 1)
    bytes.writeBigInt64BE(account.posted!, 5)
    bytes.writeBigInt64BE(account.reserved!, 13)
    bytes.writeBigInt64BE(account.overdraft_limit!, 21)
    bytes[29] = account.limited ? 1 : 0
    hash.update(bytes)
    const { account_id: id, account_class: kind, normal_side: side, status } = account
    for (const field of [id, currencyByNumeric(account.currency)!.code, kind, side, status]) {
      const text = Buffer.from(String(field))
      const length = Buffer.alloc(2)
      length.writeUInt16BE(text.length)
      hash.update(length).update(text)
    }
  }
  return hash.digest('hex')
}

it('equals what was decided, and its digest is that of the tables', async () => {
  const report = await audit()
  expect(report.listed).toEqual([])
  expect(report.differences).toBe(0)
  const [{ decided, batches, chain }] = (await rows<{ decided: bigint; batches: bigint; chain: Buffer }>(
    `select (select count(*) from transactions where cause = 0) as decided, (select count(*) from batches) as batches,
       (select hash from ledger_head) as chain`,
  )) as [{ decided: bigint; batches: bigint; chain: Buffer }]
  expect(report).toMatchObject({
    transactions: Number(decided),
    batches: Number(batches),
    chain: chain.toString('hex'),
    began: 'genesis',
  })
  expect(decided).toBeGreaterThan(2_900n)
  expect(Object.keys(report.outcomes).length).toBeGreaterThan(30)
  for (const currency of new Set(report.sums.map((sum) => sum.currency))) {
    const own = report.sums.filter((sum) => sum.currency === currency)
    expect(own.reduce((sum, { posted }) => sum + BigInt(posted), 0n)).toBe(0n)
  }
  expect(report.digest).toBe(await digestOfTables())
})

it('goes on from its checkpoint, and from an earlier place where that is damaged', async () => {
  const first = await rows<{ sequence: bigint }>('select sequence from ledger_head')
  await history.generate('r2', { seed: 12, ...SIZE })
  const next = first[0]!.sequence + 1n
  const resumed = await audit({ from: next })
  expect(resumed.listed).toEqual([])
  expect(resumed).toMatchObject({ differences: 0, began: String(first[0]!.sequence), from: String(next) })
  const whole = await audit()
  expect(whole).toMatchObject({ differences: 0, chain: resumed.chain, sums: resumed.sums })
  expect(whole.transactions).toBeGreaterThan(resumed.transactions)

  // A stored entry that was changed: no checkpoint agrees with it, so that the genesis is the nearest.
  const messages: string[] = []
  await rows('update postings set amount = amount + 1 where sequence = (select min(sequence) from postings)')
  const again = await audit({ from: 'latest', onMessage: (message) => messages.push(message) })
  await rows('update postings set amount = amount - 1 where sequence = (select min(sequence) from postings)')
  expect(again).toMatchObject({ began: 'genesis', differences: 0 })
  expect(messages.join('\n')).toMatch(/is not the sum of its stored entries/)
})

it('finds a balance that was changed by hand', async () => {
  const account = `(select account_no from accounts where posted > 0 order by account_no limit 1)`
  await rows(`update accounts set posted = posted + 1 where account_no = ${account}`)
  const report = await audit()
  await rows(`update accounts set posted = posted - 1 where account_no = ${account}`)
  expect(report.differences).toBe(1)
  expect(report.listed[0]).toMatchObject({ kind: 'accounts' })
})

/** Rewrites history as somebody with the whole database could: a changed batch, and every later hash made to fit. */
const rewrite = async (
  sequence: bigint,
  change: (payload: Buffer, header: BatchHeader) => void,
): Promise<void> => {
  const batches = await history.pipeline.ledger.batches()
  let previous: Buffer | null = null
  for (const batch of batches.filter((each) => each.sequence >= sequence)) {
    const header = JSON.parse(String(batch.header)) as BatchHeader
    if (batch.sequence === sequence) change(batch.payload, header)
    const bytes = Buffer.from(JSON.stringify(header))
    const before: Buffer = previous ?? batch.previousHash
    const hash = batchHash(before, bytes, batch.payload)
    await rows(
      'update batches set previous_hash = $2, hash = $3, header = $4, payload = $5 where sequence = $1',
      [String(batch.sequence), before, hash, bytes, zstdCompressSync(batch.payload)],
    )
    previous = hash
  }
  await rows('update ledger_head set hash = $1', [previous])
}

it('finds a decision that was rewritten together with the whole chain after it, and where it came from', async () => {
  const [target] = await rows<{
    sequence: bigint
    id: string
    topic: string
    partition: number
    offset: bigint
    amount: bigint
  }>(
    `select t.sequence, t.id, t.topic, t.partition, t."offset", p.amount from transactions t join postings p using (sequence, index)
     where t.kind = 0 and p.amount between 100 and 8000 and t.cause = 0 order by t.sequence desc, t.index limit 1`,
  )
  const zigzag = (value: bigint): Buffer => {
    const bytes: number[] = []
    let left = Number(value) * 2
    for (; left > 127; left = Math.floor(left / 128)) bytes.push((left % 128) + 128)
    return Buffer.from([...bytes, left])
  }
  const { sequence, id, amount } = target!
  await rewrite(sequence, (payload) => {
    // Within the frame of this transaction: one minor unit more.
    const at = payload.indexOf(zigzag(amount), payload.indexOf(id) + id.length)
    payload[at] = payload[at]! ^ 2
  })
  const report = await audit()
  expect(report.differences).toBe(1)
  expect(report.listed[0]).toMatchObject({
    batch: String(sequence),
    kind: 'transactions.processed',
    topic: target!.topic,
    partition: target!.partition,
    offset: String(target!.offset),
    subject: id,
  })
  expect(JSON.stringify(report.listed[0]!.replayed)).toContain(`"amount":"${amount}"`)
  await rewrite(sequence, (payload) => {
    const at = payload.indexOf(zigzag(amount ^ 1n), payload.indexOf(id) + id.length)
    payload[at] = payload[at]! ^ 2
  })
})

it('finds a batch that was removed', async () => {
  await rows('create table kept as select * from batches')
  const [removed] = await rows<{ sequence: bigint }>(
    'delete from batches where sequence = (select max(sequence) - 2 from batches) returning sequence',
  )
  const report = await audit()
  const chain = report.listed.filter(({ kind }) => kind === 'chain')
  expect(chain).toMatchObject([{ batch: String(removed!.sequence + 1n) }])
  expect(report.differences).toBeGreaterThan(1)
  await rows('insert into batches select * from kept where sequence = $1', [String(removed!.sequence)])
  await rows('drop table kept')
})

it('finds that the last batches were cut off, however few are left', async () => {
  const [head] = await rows<{ sequence: bigint }>('select sequence from ledger_head')
  const last = head!.sequence
  await rows('create table kept as select * from batches')
  await rows('delete from batches where sequence = $1', [String(last)])
  expect((await audit()).listed).toContainEqual(
    expect.objectContaining({
      kind: 'chain',
      batch: String(last),
      subject: `batches ${last} to ${last} are missing`,
    }),
  )
  await rows('delete from batches where sequence > 3')
  expect(await audit()).toMatchObject({
    batches: 3,
    to: '3',
    differences: 1,
    listed: [{ kind: 'chain', batch: '4' }],
  })
  await rows('delete from batches')
  expect(await audit()).toMatchObject({ batches: 0, listed: [{ kind: 'chain', batch: '1' }] })
  await rows('insert into batches select * from kept')
  await rows('drop table kept')
})

it('refuses a stretch that ends before it begins', async () => {
  await expect(audit({ from: 3n, to: 2n })).rejects.toMatchObject({ code: 'configuration_invalid' })
})

it('refuses a batch beyond the end, at either end of the stretch; a later time means the last batch', async () => {
  const { to } = await audit()
  const beyond = {
    code: 'configuration_invalid',
    message: `expected a batch up to ${to}, where the history ends, got ${BigInt(to) + 1n}`,
  }
  await expect(audit({ to: BigInt(to) + 1n })).rejects.toMatchObject(beyond)
  await expect(audit({ from: BigInt(to) + 1n })).rejects.toMatchObject(beyond)
  expect((await audit({ to: new Date(Date.now() + 86_400_000) })).to).toBe(to)
})

it('says which records are gone from the topics', async () => {
  await history.pipeline.admin.deleteRecords(history.pipeline.topic('accounts'), new Map([[0, 3n]]))
  await expect(audit()).rejects.toMatchObject({ code: 'records_gone' })
})
