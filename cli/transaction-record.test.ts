/** What is typed becomes the record that was meant: exact amounts, no time that nobody gave, nothing half. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { type TransactionOptions, transactionRecordOf } from './transaction-record.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallystream-record-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const flat = { from: 'alice', to: 'bob', amount: '12.75', currency: 'EUR' }
const recordOf = (options: Partial<TransactionOptions>) =>
  transactionRecordOf({ actor: 'tester', ...options })

function fileWith(text: string): string {
  const file = join(folder, 'record.json')
  writeFileSync(file, text)
  return file
}

test('a flat payment: minor units, the payer as key, and no time, so that the same again is a duplicate', async () => {
  const record = await recordOf({ ...flat, id: 'pay-1', metadata: ['note=a=b'] })
  expect(record).toEqual({
    id: 'pay-1',
    source: 'cli',
    key: 'alice',
    record: {
      id: 'pay-1',
      source: 'cli',
      actor: 'tester',
      metadata: { note: 'a=b' },
      postings: [{ debit: 'alice', credit: 'bob', amount: 1275n, currency: 'EUR' }],
    },
  })
})

test('ids are made up where none is given, each its own', async () => {
  const ids = await Promise.all(Array.from({ length: 20 }, async () => (await recordOf(flat)).id))
  expect(new Set(ids).size).toBe(20)
})

test('several postings, each in the decimals of its currency; none for a void, whose id is the key', async () => {
  const posting = ['a,p,10.00,EUR', 'q,b,1200,JPY', 'r,s,1.234,KWD']
  const { record } = await recordOf({ kind: 'exchange', posting })
  const amounts = (record.postings as { amount: bigint }[]).map(({ amount }) => amount)
  expect(amounts).toEqual([1000n, 1200n, 1234n])
  const voided = await recordOf({ kind: 'void', parent: 'auth-1', id: 'void-1' })
  expect(voided.key).toBe('void-1')
  expect(voided.record).toEqual({
    id: 'void-1',
    source: 'cli',
    actor: 'tester',
    kind: 'void',
    parentId: 'auth-1',
  })
})

test('times before 1970 are read as the engine reads them', async () => {
  const { record } = await recordOf({
    ...flat,
    occurredAt: '1965-04-01T00:00:00Z',
    valueTime: '2026-01-31T12:00:00Z',
  })
  expect(record).toMatchObject({
    occurredAt: '1965-04-01T00:00:00.000Z',
    valueTime: Date.UTC(2026, 0, 31, 12),
  })
})

test.each<[string, Partial<TransactionOptions>]>([
  ['only some of a payment', { from: 'alice', to: 'bob', amount: '1' }],
  ['a payment of nothing', {}],
  ['an authorization of nothing', { kind: 'authorize' }],
  ['an amount that is not exact', { ...flat, amount: '12.755' }],
  ['an unknown currency', { ...flat, currency: 'EURO' }],
  ['a posting of three parts', { posting: ['a,b,1'] }],
  ['metadata without a key', { ...flat, metadata: ['=x'] }],
  ['a time in the year 0', { ...flat, occurredAt: '0000-12-31T12:00:00Z' }],
  ['a time without a zone', { ...flat, occurredAt: '2026-01-31T12:00:00' }],
  ['a file that is not there', { file: join(folder, 'missing.json') }],
])('%s is wrong usage', async (_name, options) => {
  await expect(recordOf(options)).rejects.toMatchObject({ code: 'configuration_invalid' })
})

test('a file is the record as it stands, with an id, a source and an actor where it has none', async () => {
  const file = fileWith(
    '{"from":"alice","to":"bob","amount":12.75,"currency":"EUR","source":"files","actor":"a"}',
  )
  const { id, source, key, record } = await recordOf({ file })
  expect({ source, key }).toEqual({ source: 'files', key: 'alice' })
  expect(record).toEqual({ ...flat, amount: 12.75, source: 'files', actor: 'a', id })
  expect((await recordOf({ file, id: 'mine', source: 'other' })).record).toMatchObject({
    id: 'mine',
    source: 'other',
  })
})

test.each([
  [
    'an amount that a double would round',
    '{"from":"a","to":"b","amount":0.1234567890123456789,"currency":"EUR"}',
  ],
  ['a misspelt field', '{"kind":"void","parnetId":"x"}'],
  ['a list', '[]'],
  ['no JSON', 'from=a'],
])('a file with %s is wrong usage', async (_name, text) => {
  await expect(recordOf({ file: fileWith(text) })).rejects.toMatchObject({ code: 'configuration_invalid' })
})

test('options beside a file would contradict it', async () => {
  const file = fileWith('{"kind":"void","parentId":"x"}')
  await expect(recordOf({ file, kind: 'post' })).rejects.toMatchObject({ code: 'configuration_invalid' })
})
