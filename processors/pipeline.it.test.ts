/** The whole engine on the real stack: what the stages hand to each other through Postgres and Kafka alone. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accountValue, transactionValue } from '#connectors/ingest/wire.ts'
import { accountChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { readToEnd, testConsumer } from '#platform/kafka/kafka.fixtures.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import { INGEST_TOPICS } from '#schemas/topics.ts'
import { PipelineFixture } from './testing/pipeline-fixture.ts'

let fixture: PipelineFixture
const configuration = testConfiguration('pipeline')
const startedMs = Date.now()

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration, startedMs)
})
afterAll(() => fixture.close())

const COUNT = 300
const ids = Array.from({ length: COUNT }, (_, n) => `t${n}`)
let positions: RecordPosition[]

const read = async (topic: string) => {
  const consumer = testConsumer([fixture.topic(topic)])
  await consumer.consumer.start()
  const records = await readToEnd(consumer, fixture.topic(topic))
  await consumer.consumer.stop()
  return records
}

describe('the engine', () => {
  it('applies what is published, each record once, restarted in between', async () => {
    await fixture.start(['processor'])
    await fixture.applied(
      await fixture.publishValues('accounts', [
        accountValue(accountChange({ accountId: 'alice', limited: false })),
        accountValue(accountChange({ accountId: 'bob' })),
      ]),
    )
    const values = ids.map((id) => transactionValue(transactionCommand({ id, occurredAt: startedMs })))
    const half = COUNT / 2
    positions = await fixture.publishValues('transactions', values.slice(0, half))
    await fixture.stop()
    positions.push(...(await fixture.publishValues('transactions', values.slice(half))))
    await fixture.start(['processor'])
    await fixture.applied(positions)
    await fixture.stop()
    const balances = await fixture.ledger.balances()
    expect(balances.get('bob')!.posted).toBe(BigInt(COUNT) * 100n)
    expect(balances.get('alice')!.posted).toBe(BigInt(COUNT) * -100n)
    expect(await fixture.ledger.differences()).toEqual([])
    expect((await fixture.ledger.history()).map(({ id }) => id)).toEqual(ids)
  })

  it('publishes with nothing but what is stored: the inputs may be gone', async () => {
    for (const { name } of INGEST_TOPICS) {
      const ranges = await fixture.admin.ranges(fixture.topic(name))
      const below = new Map(
        ranges.filter(({ end }) => end > 0n).map(({ partition, end }) => [partition, end]),
      )
      if (below.size > 0) await fixture.admin.deleteRecords(fixture.topic(name), below)
    }
    await fixture.start(['publisher'])
    await fixture.published()
    const processed = await read('transactions.processed')
    expect(processed.map(({ key }) => String(key))).toEqual(ids)
    const entries = await fixture.decode<{ account: string; side: string; postedAfter: bigint }>(
      'entries',
      (await read('ledger.entries')).map(({ value }) => value),
    )
    expect(entries).toHaveLength(COUNT * 2)
    expect(entries.filter(({ account }) => account === 'bob').map(({ postedAfter }) => postedAfter)).toEqual(
      ids.map((_, place) => BigInt(place + 1) * 100n),
    )
    const balances = await fixture.decode<{ account: string; posted: bigint }>(
      'balances',
      (await read('balances')).map(({ value }) => value),
    )
    expect(balances.findLast(({ account }) => account === 'bob')!.posted).toBe(BigInt(COUNT) * 100n)
    await fixture.stop()
  })

  it('makes its own time, which ends what is over', async () => {
    await fixture.start(['processor', 'publisher', 'ticker'])
    const authorize = transactionCommand({
      id: 'short',
      kind: 'authorize',
      occurredAt: startedMs,
      expiresAt: Date.now() + 1_500,
    })
    await fixture.applied(await fixture.publishValues('transactions', [transactionValue(authorize)]))
    const statuses = async () =>
      (await fixture.ledger.history()).filter(({ id }) => id === 'short').map(({ status }) => status)
    await expect.poll(statuses, { timeout: 10_000, interval: 100 }).toEqual(['authorized', 'expired'])
    expect((await fixture.ledger.balances()).get('alice')!.reserved).toBe(0n)
    expect(fixture.incidents).toEqual([])
    await fixture.stop()
  })

  it('stops within five seconds where Postgres stalls, and what it left undone is done later', async () => {
    await fixture.start(['processor', 'publisher', 'ticker'])
    await fixture.published()
    const stall = await fixture.ledger.pool.connect()
    let positions: RecordPosition[]
    try {
      await stall.query('begin')
      // Whoever decides, publishes, or gives a lease back waits for this.
      await stall.query('lock table ledger_head, leases in access exclusive mode')
      const stalled = transactionCommand({ id: 'stalled', occurredAt: startedMs })
      positions = await fixture.publishValues('transactions', [transactionValue(stalled)])
      const waiting = async () =>
        Number(
          (
            await stall.query(
              "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'tallystream%'",
            )
          ).rows[0].n,
        )
      // One is enough: who else waits comes and goes, as their statements run out of time.
      await expect.poll(waiting, { timeout: 15_000, interval: 20 }).toBeGreaterThan(0)
      const startedAtMs = performance.now()
      await fixture.stop()
      expect(performance.now() - startedAtMs).toBeLessThan(5_000)
    } finally {
      await stall.query('rollback')
      stall.release()
    }
    await fixture.start(['processor', 'publisher'])
    await fixture.applied(positions)
    await fixture.published()
    expect(await fixture.ledger.differences()).toEqual([])
    expect(fixture.incidents).toEqual([])
  })
})
