/** The batch record: its hash over header and payload, its link to the one before, and frames that say all that happened. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BatchHeader, batchHash, readFrames } from '#domain/ledger/batch-record.ts'
import {
  account,
  external,
  posting,
  START_MS,
  tick,
  transaction,
} from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import type { StoredBatch } from '#platform/postgres/batch-store.ts'
import { messagesOf } from '../publish/messages.ts'
import { LedgerFixture, outputsOf } from '../testing/ledger-fixture.ts'

let ledger: LedgerFixture
let genesis: Buffer
let batches: StoredBatch[]

const pay = (id: string, partition = 0) => ({
  ...transaction({ id, postings: [posting({ debit: 'world', credit: 'alice', amount: 100n })] }),
  partition,
})

beforeAll(async () => {
  ledger = await LedgerFixture.create(testConfiguration('chain'))
  const [head] = await ledger.rows<{ hash: Buffer }>('select hash from ledger_head')
  genesis = head!.hash
  const driver = await ledger.openDriver()
  await driver.apply(
    ledger.log([account('alice'), external('world'), pay('one'), pay('two', 1), pay('three', 1)]),
  )
  const [gap] = ledger.log([{ type: 'advance' as const, topic: 'transactions', partition: 2, offset: 0n }])
  await driver.apply([...ledger.log([pay('one'), tick(START_MS + 1_000), pay('four')]), gap!])
  await driver.apply(ledger.log([account('alice', { action: 'freeze' }), pay('five')]))
  batches = await ledger.batches()
})
afterAll(() => ledger.close())

const headerOf = (batch: StoredBatch): BatchHeader => JSON.parse(batch.header.toString('utf8'))

describe('the chain of batches', () => {
  it('begins at the genesis, goes on without a gap, and ends at the head', async () => {
    expect(batches.map(({ sequence }) => sequence)).toEqual([1n, 2n, 3n])
    const previous = [genesis, ...batches.map(({ hash }) => hash)]
    batches.forEach((batch, place) => {
      expect(batch.previousHash).toEqual(previous[place])
      expect(batchHash(batch.previousHash, batch.header, batch.payload)).toEqual(batch.hash)
    })
    const [head] = await ledger.rows('select sequence, hash from ledger_head')
    expect(head).toEqual({ sequence: 3n, hash: batches[2]!.hash })
  })

  it('names sources, order, skipped stretches, versions and outcomes', () => {
    const header = headerOf(batches[1]!)
    expect(header).toMatchObject({
      format: 1,
      ledger: ledger.configuration.ledger.name,
      cluster: ledger.configuration.ledger.clusterId,
      sequence: '2',
      tick: START_MS + 1_000,
      logic: 1,
      canonical: 1,
      outcomes: { applied: 1, duplicate: 1 },
    })
    expect(header.sources.map(({ topic, partition, from, next }) => [topic, partition, from, next])).toEqual([
      ['transactions', 0, '1', '3'],
      ['ticks', 0, '0', '1'],
      ['transactions', 2, '0', '1'],
    ])
    expect(header.order).toEqual([
      [0, 1],
      [1, 1],
      [0, 1],
      [2, 1],
    ])
    expect(header.skips).toEqual([[2, '0']])
  })

  it('has the decisions in ledger order, with entries and balances that follow from each other', async () => {
    const decisions = await outputsOf<{ id: string; status: string; index: number; postings: unknown[] }>(
      batches[0]!,
      'transactions.processed',
    )
    expect(decisions.map(({ key, value }) => [key, value.id, value.status, value.index])).toEqual([
      ['one', 'one', 'applied', 0],
      ['two', 'two', 'applied', 1],
      ['three', 'three', 'applied', 2],
    ])
    const postings = decisions.flatMap(({ value }) => value.postings) as {
      debitPosted: bigint
      creditPosted: bigint
    }[]
    expect(postings.map((each) => [each.debitPosted, each.creditPosted])).toEqual([
      [-100n, 100n],
      [-200n, 200n],
      [-300n, 300n],
    ])
    const balances = await outputsOf<{ posted: bigint; sequence: bigint }>(batches[0]!, 'balances')
    expect(balances.map(({ key, value }) => [key, value.posted, value.sequence]).sort()).toEqual([
      ['alice', 300n, 1n],
      ['world', -300n, 1n],
    ])
    const accounts = await outputsOf<{ status: string }>(batches[2]!, 'accounts.current')
    expect(accounts.map(({ key, value }) => [key, value.status])).toEqual([['alice', 'frozen']])
  })

  it('keeps every frame readable to its last byte, and nothing else', () => {
    for (const { payload } of batches) {
      const frames = readFrames(payload)
      const bytes = frames.reduce((sum, frame) => sum + 7 + frame.key.length + frame.value.length, 0)
      expect(bytes).toBe(payload.length)
      expect(() => readFrames(payload.subarray(0, payload.length - 1))).toThrow(/behind the payload/)
    }
  })

  it.each([
    ['payload', (batch: StoredBatch) => ({ ...batch, payload: flipped(batch.payload) })],
    ['header', (batch: StoredBatch) => ({ ...batch, header: flipped(batch.header) })],
    ['previous hash', (batch: StoredBatch) => ({ ...batch, previousHash: flipped(batch.previousHash) })],
  ])('shows a changed byte in the %s before it is published', (_label, change) => {
    const tampered = [batches[0]!, change(batches[1]!)]
    expect(() => messagesOf(tampered, { sequence: 0n, hash: null }, '', null, null)).toThrow(
      expect.objectContaining({ code: 'batch_damaged' }),
    )
  })

  it('shows a batch that was rewritten as a whole, and a missing one', () => {
    const other = batches[0]!
    const payload = flipped(other.payload)
    const rewritten = { ...other, payload, hash: batchHash(other.previousHash, other.header, payload) }
    expect(() => messagesOf([rewritten, batches[1]!], { sequence: 0n, hash: null }, '', null, null)).toThrow(
      expect.objectContaining({ code: 'batch_damaged' }),
    )
    expect(() =>
      messagesOf([batches[0]!, batches[2]!], { sequence: 0n, hash: null }, '', null, null),
    ).toThrow(expect.objectContaining({ code: 'batch_gap' }))
  })
})

/** The bytes with the last one changed. */
const flipped = (bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes)
  copy[copy.length - 1]! ^= 1
  return copy
}
