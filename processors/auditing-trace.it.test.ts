/** A transaction's story on the real stack: every step names what is really there. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accountValue, ruleValue, transactionValue } from '#connectors/ingest/wire.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import {
  accountChange,
  review,
  ruleChange,
  transactionCommand,
} from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { readToEnd, testConsumer } from '#platform/kafka/kafka.fixtures.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import { Tracer } from './auditing-trace.ts'
import { PipelineFixture } from './testing/pipeline-fixture.ts'

const configuration = testConfiguration('trace')
const startedMs = Date.now()
let fixture: PipelineFixture
let tracer: Tracer
const positions = new Map<string, RecordPosition>()

const send = async (id: string, changes: Parameters<typeof transactionCommand>[0] = {}): Promise<void> => {
  const value = transactionValue(transactionCommand({ id, occurredAt: startedMs, ...changes }))
  const [position] = await fixture.publishValues('transactions', [value])
  positions.set(id, position!)
  await fixture.applied([position!])
}

const keyOf = (id: string): string => transactionKey(transactionCommand({ id }).source, id)

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration, startedMs)
  tracer = new Tracer(configuration)
  await fixture.start(['processor', 'publisher'])
  await fixture.applied(
    await fixture.publishValues('accounts', [
      accountValue(accountChange({ accountId: 'alice', limited: false })),
      accountValue(accountChange({ accountId: 'bob' })),
    ]),
  )
  await fixture.applied(
    await fixture.publishValues('rules', [
      ruleValue(ruleChange({ ruleId: 'large', action: 'hold', threshold: 5_000n, occurredAt: startedMs })),
    ]),
  )
  for (let n = 0; n < 30; n += 1) await send(`other-${n}`)
  await send('paid')
  await send('undo', { kind: 'reverse', parentId: 'paid', postings: [] })
  await fixture.published()
})
afterAll(async () => {
  await tracer.close()
  await fixture.close()
})

describe('the story of a transaction', () => {
  it('begins with the bytes on the topic and ends with the messages that left', async () => {
    const traced = (await tracer.transaction(keyOf('paid')))!
    expect(traced.transaction).toMatchObject({ id: 'paid', kind: 'post' })
    const [first] = traced.decisions
    const { offset } = positions.get('paid')!
    expect(first!.input).toMatchObject({ topic: 'transactions', partition: 0, offset })
    const value = transactionValue(transactionCommand({ id: 'paid', occurredAt: startedMs }))
    const [position] = await fixture.publishValues('transactions', [value])
    const consumer = testConsumer([fixture.topic('transactions')])
    await consumer.consumer.start()
    const records = await readToEnd(consumer, fixture.topic('transactions'))
    await consumer.consumer.stop()
    const bytes = records.find((record) => record.partition === 0 && record.offset === offset)!.value!
    expect(first!.input.record).toMatchObject({
      keptIn: 'topic',
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    })
    await fixture.applied([position!])
    expect(first!.decision).toMatchObject({ status: 'applied', cause: 'transaction' })
    expect(first!.decision.postings).toHaveLength(1)
    const [stored] = await fixture.ledger.rows<{ hash: Buffer }>(
      'select hash from batches where sequence = $1',
      [String(first!.decision.sequence)],
    )
    expect(first!.batch).toMatchObject({ hash: stored!.hash.toString('hex'), isWhole: true })
    expect(traced.related.map(({ id, kind, status }) => `${kind} ${id} ${status}`)).toEqual([
      'reverse undo applied',
    ])
    expect(traced.reversed).toEqual([{ posting: 0, amountMinor: first!.decision.postings[0]!.amountMinor }])
  })

  it('names messages that really are where it says', async () => {
    const traced = (await tracer.transaction(keyOf('paid')))!
    const { outputs, decision } = traced.decisions[0]!
    expect(outputs.map(({ topic }) => topic)).toEqual([
      'transactions.processed',
      'ledger.entries',
      'ledger.entries',
      'ledger.batches',
    ])
    for (const { topic, key, place } of outputs) {
      const consumer = testConsumer([fixture.topic(topic)])
      await consumer.consumer.start()
      const records = await readToEnd(consumer, fixture.topic(topic))
      await consumer.consumer.stop()
      const found = records.find(
        (each) => each.partition === place!.partition && each.offset === place!.offset,
      )
      expect(found!.key!.toString()).toBe(key)
      if (topic !== 'transactions.processed') continue
      const [value] = await fixture.decode<{ sequence: bigint; index: number }>('processed', [found!.value])
      expect(value).toMatchObject({ sequence: decision.sequence, index: decision.index })
    }
  })

  it('is found by its id, by its place, and not where there is none', async () => {
    const { sequence, index } = (await tracer.transaction(keyOf('paid')))!.decisions[0]!.decision
    expect(await tracer.placed(sequence, index)).toMatchObject({ id: 'paid', key: keyOf('paid') })
    expect(await tracer.named('paid', undefined)).toMatchObject([{ id: 'paid', key: keyOf('paid') }])
    expect(await tracer.named('nothing', undefined)).toEqual([])
    expect(await tracer.transaction(keyOf('nothing'))).toBeUndefined()
    expect(await tracer.placed(sequence, 1_000)).toBeUndefined()
  })

  it('has what a rule saw, and the review that followed', async () => {
    await send('big', { postings: [{ debit: 'alice', credit: 'bob', amount: 10_000n, currency: 'EUR' }] })
    const held = (await tracer.transaction(keyOf('big')))!
    expect(held.decisions).toHaveLength(1)
    expect(held.decisions[0]!.decision.status).toBe('held')
    expect(held.decisions[0]!.rules).toMatchObject([
      { ruleId: 'large', value: 10_000n, threshold: 5_000n, action: 'hold' },
    ])
    expect(held.hold).toMatchObject({ kind: 'review', status: 'active' })
    await fixture.applied(
      await fixture.publishValues('reviews', [
        { ...review({ transactionId: 'big' }), occurredAt: BigInt(startedMs) },
      ]),
    )
    const released = (await tracer.transaction(keyOf('big')))!
    expect(
      released.decisions.map(({ decision }) => `${decision.cause} ${decision.status} ${decision.actor}`),
    ).toEqual([expect.stringMatching(/^transaction held/), 'review applied reviewer'])
    expect(released.decisions[1]!.input).toMatchObject({ topic: 'reviews', record: { keptIn: 'topic' } })
  })

  it('says what is kept nowhere any more, and a batch that was changed', async () => {
    await fixture.admin.deleteRecords(
      fixture.topic('transactions'),
      new Map([[0, positions.get('undo')!.offset]]),
    )
    const { sequence } = (await tracer.transaction(keyOf('paid')))!.decisions[0]!.decision
    await fixture.ledger.rows(`update batches set header = header || ' '::bytea where sequence = $1`, [
      String(sequence),
    ])
    const [first] = (await tracer.transaction(keyOf('paid')))!.decisions
    expect(first!.input.record).toBeNull()
    expect(first!.batch).toMatchObject({ isWhole: false })
  })
})
