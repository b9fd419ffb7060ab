/** Going over to another Kafka cluster, with brokers of its own: a copy is gone on with exactly, anything else is not read. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { accountValue, ruleValue, transactionValue } from '#connectors/ingest/wire.ts'
import type { TransactionCommand } from '#domain/transactions/command.ts'
import { accountChange, ruleChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { type RunningStack, resetStack, startStack } from '#infra/local/stack.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import { INGEST_TOPICS } from '#schemas/topics.ts'
import { PipelineFixture } from '../testing/pipeline-fixture.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallystream-clusters-test-'))
const startedMs = Date.now()
let other: RunningStack
let fixtures: PipelineFixture[] = []

beforeAll(async () => {
  other = await startStack({ dataDir: folder, services: ['kafka'] })
})
afterEach(async () => {
  for (const fixture of fixtures.toReversed()) await fixture.close()
  fixtures = []
})
afterAll(async () => {
  await other.stop()
  await resetStack({ dataDir: folder })
  rmSync(folder, { recursive: true, force: true })
})

const create = async (configuration: Configuration): Promise<PipelineFixture> => {
  const fixture = await PipelineFixture.create(configuration, startedMs)
  fixtures.push(fixture)
  return fixture
}

/** The same ledger, with its topics on the other brokers. */
const elsewhere = (here: Configuration, clusterId: string): Configuration => ({
  ...here,
  kafka: { ...here.kafka, brokers: other.endpoints.kafkaBrokers!.split(',') },
  ledger: { ...here.ledger, clusterId },
})

const payment = (id: string, changes: Partial<TransactionCommand> = {}) =>
  transactionValue(
    transactionCommand({
      id,
      occurredAt: startedMs,
      postings: [{ debit: 'alice', credit: 'bob', amount: 100n, currency: 'EUR' }],
      ...changes,
    }),
  )
const payments = (label: string, count: number) =>
  Array.from({ length: count }, (_, n) => payment(`${label}${n}`))
const account = (accountId: string, changes: object = {}) =>
  accountValue(accountChange({ accountId, ...changes }))

/** Alice may overdraw for a while, pays, and may no longer: told again in part, this would come out otherwise. */
const history = async (here: PipelineFixture): Promise<void> => {
  const opened = [account('alice', { limited: false }), account('bob')]
  await here.applied(await here.publishValues('accounts', opened))
  await here.applied(
    await here.publishValues('rules', [ruleValue(ruleChange({ ruleId: 'large', threshold: 50_000n }))]),
  )
  await here.applied(await here.publishValues('transactions', payments('old', 20)))
  const changes = [
    account('alice', { action: 'set_limit', limited: true, overdraftLimit: 9_000n }),
    account('alice', { action: 'set_limit', limited: true, overdraftLimit: 2_000n }),
  ]
  await here.applied(await here.publishValues('accounts', changes))
}

/** Copies what is on the ingest topics, each partition in order, as mirroring tools do: some records twice, other offsets. */
const mirror = async (
  here: PipelineFixture,
  there: PipelineFixture,
  options: { without?: (topic: string, record: IngestRecord, last: boolean) => boolean } = {},
): Promise<void> => {
  const reader = new RangeReader(here.kafka)
  const producer = there.kafka.producer({
    transactionalId: `mirror-${there.topic('')}`,
    idempotent: true,
    maxInFlightRequests: 1,
  })
  await producer.connect()
  for (const { name } of INGEST_TOPICS) {
    const topic = here.topic(name)
    for (const { partition, start, end } of await here.admin.ranges(topic)) {
      const all: IngestRecord[] = []
      for await (const records of reader.read(topic, partition, start, end)) all.push(...records)
      const kept = all.filter((record, at) => options.without?.(name, record, at === all.length - 1) !== true)
      for (const [at, record] of kept.entries()) {
        const transaction = await producer.transaction()
        const message = { partition, key: record.key, value: record.value, headers: record.headers ?? {} }
        const again = name === 'transactions' && at % 3 === 0
        await transaction.send({ topic, messages: again ? [message, message] : [message] })
        await transaction.commit()
      }
    }
  }
  await producer.disconnect()
  await reader.close()
}

const statuses = async (fixture: PipelineFixture): Promise<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const { status, reason } of await fixture.ledger.history()) {
    const outcome = reason ?? status
    counts[outcome] = (counts[outcome] ?? 0) + 1
  }
  return counts
}
const postedOf = async (fixture: PipelineFixture): Promise<Record<string, bigint>> =>
  Object.fromEntries([...(await fixture.ledger.balances())].map(([id, { posted }]) => [id, posted]))
const codes = (fixture: PipelineFixture): string[] => [...new Set(fixture.incidents.map(({ code }) => code))]

describe('a copy on another cluster', () => {
  it('is gone on with: balances are exact, limits and rules are those of now, nothing waits for the old offsets', async () => {
    const configuration = testConfiguration('cluster_copy')
    const here = await create(configuration)
    await here.start(['processor', 'publisher', 'ticker'])
    await history(here)
    await here.published()
    await here.stop()
    const before = await here.ledger.rows(
      'select account_id, status, limited, overdraft_limit from accounts order by 1',
    )
    const rules = await here.ledger.rows('select * from rules')

    const there = await create(elsewhere(configuration, 'there'))
    await mirror(here, there)
    await there.start(['processor', 'publisher', 'ticker'])
    const more = await there.publishValues('transactions', [
      ...payments('new', 3),
      // Above the limit of now, below the one that was told before it.
      payment('too much', { postings: [{ debit: 'alice', credit: 'bob', amount: 5_000n, currency: 'EUR' }] }),
    ])
    await there.applied(more)
    expect(codes(there)).toEqual([])
    const { duplicate, ...outcomes } = await statuses(there)
    expect(outcomes).toEqual({ applied: 20, insufficient_funds: 4 })
    expect(duplicate).toBeGreaterThanOrEqual(20)
    expect(await postedOf(there)).toEqual({ alice: -2_000n, bob: 2_000n })
    // Reference data was not applied again.
    expect(
      await there.ledger.rows('select account_id, status, limited, overdraft_limit from accounts order by 1'),
    ).toEqual(before)
    expect(await there.ledger.rows('select * from rules')).toEqual(rules)
    // Time goes on by the ticks of here.
    const [{ now }] = (await there.ledger.rows<{ now: bigint }>(
      'select tick_ms as now from ledger_head',
    )) as [{ now: bigint }]
    await expect
      .poll(
        async () =>
          (await there.ledger.rows<{ now: bigint }>('select tick_ms as now from ledger_head'))[0]!.now,
        { timeout: 20_000 },
      )
      .toBeGreaterThan(now)
    await there.published()
    await there.stop()

    // And back: what happened meanwhile was copied back; what was read here once isn't read again.
    const back = await create(configuration)
    await mirror(there, back, { without: (_topic, { offset }) => offset < (more[0]?.offset ?? 0n) })
    await back.start(['processor'])
    await back.applied(await back.publishValues('transactions', payments('back', 1)))
    expect(codes(back)).toEqual([])
    expect((await statuses(back)).insufficient_funds).toBe(5)
    expect(await postedOf(back)).toEqual({ alice: -2_000n, bob: 2_000n })
    await back.stop()
  })

  it('that lacks the last transactions is still known by those before', async () => {
    const configuration = testConfiguration('cluster_lag')
    const here = await create(configuration)
    await here.start(['processor'])
    await history(here)
    await here.stop()
    const there = await create(elsewhere(configuration, 'there'))
    await mirror(here, there, { without: (topic, _record, last) => topic === 'transactions' && last })
    await there.start(['processor'])
    await there.applied(await there.publishValues('transactions', payments('old', 21)))
    expect(codes(there)).toEqual([])
    expect((await statuses(there)).applied).toBe(20)
    expect(await postedOf(there)).toEqual({ alice: -2_000n, bob: 2_000n })
  })
})

describe('brokers that are not the ledger’s', () => {
  it('with other records on the same topics: an incident, and nothing is applied', async () => {
    const configuration = testConfiguration('cluster_foreign')
    const here = await create(configuration)
    await here.start(['processor'])
    await history(here)
    await here.stop()
    const before = await here.ledger.rows('select * from ledger_head')
    const there = await create(elsewhere(configuration, 'there'))
    await there.publishValues('accounts', [account('mallory', { limited: false }), account('carol')])
    await there.publishValues('transactions', payments('foreign', 5))
    await there.publish([{ topic: 'transactions', key: null, value: Buffer.from('{}'), partition: 3 }])
    await there.start(['processor'])
    await expect.poll(() => codes(there), { timeout: 20_000 }).toEqual(['cluster_unknown_history'])
    // Every partition but those of topics that were never used has an incident of its own by now, also those never read before.
    await expect
      .poll(() => new Set(there.incidents.map(({ message }) => message.split(': ')[0])).size, {
        timeout: 20_000,
      })
      .toBeGreaterThan(12)
    expect(await there.ledger.rows('select * from ledger_head')).toEqual(before)
    expect(Object.keys(await postedOf(there)).toSorted()).toEqual(['alice', 'bob'])
  })

  it('under the name of those that are: the engine does not start; nor under a second name for the same ones', async () => {
    const configuration = testConfiguration('cluster_name')
    const here = await create(configuration)
    await here.start(['processor'])
    await history(here)
    const there = await create(elsewhere(configuration, 'there'))
    await expect(there.start(['processor'])).rejects.toMatchObject({ code: 'cluster_in_use' })
    await here.stop()
    const sameName = await create(elsewhere(configuration, configuration.ledger.clusterId))
    await expect(sameName.start(['processor'])).rejects.toMatchObject({ code: 'cluster_changed' })
    const twoNames = await create({
      ...configuration,
      ledger: { ...configuration.ledger, clusterId: 'second' },
    })
    await expect(twoNames.start(['processor'])).rejects.toMatchObject({ code: 'cluster_renamed' })
  })
})
