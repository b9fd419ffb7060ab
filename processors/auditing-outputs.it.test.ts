/** What left a ledger is compared with what was decided, on the real broker; what is missing is published once. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { waitUntilApplied } from '#connectors/ingest/applied.ts'
import { IngestPublisher } from '#connectors/ingest/publisher.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { publishRun } from '#loadtest/generator/publish-run.ts'
import { planRun } from '#loadtest/generator/run-plan.ts'
import { FencedProducer } from '#platform/kafka/fenced-producer.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import { readToEnd, testConsumer } from '#platform/kafka/kafka.fixtures.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { readAccountIds } from '#platform/postgres/queries/read-account-ids.ts'
import { readBalances } from '#platform/postgres/queries/read-balances.ts'
import { closeRedis, openRedis, type RedisClient, untilRedisReady } from '#platform/redis/client.ts'
import { rebuildCache } from '#platform/redis/rebuild-cache.ts'
import { auditLedgerOutputs } from './auditing-outputs.ts'
import { publisherGroup } from './publish/position.ts'
import { publisherTransactionalId } from './publish/publisher.ts'
import { PipelineFixture } from './testing/pipeline-fixture.ts'

const configuration = testConfiguration('outputs')
const { name: ledger, topicPrefix, clusterId } = configuration.ledger
let fixture: PipelineFixture
let publisher: IngestPublisher
let pool: ReadPool
let redis: RedisClient

const load = async (run: string, transactions: number): Promise<void> => {
  const { tickMs } = await fixture.ledger.store.readHead()
  const plan = planRun({ run, seed: 3, transactions, accounts: 80, mix: 'default', endTimeMs: tickMs })
  const options = { pool, clusterId, topicPrefix, idleTimeoutMs: 30_000 }
  const awaitApplied = (positions: Parameters<typeof waitUntilApplied>[0]) =>
    waitUntilApplied(positions, options)
  await awaitApplied((await publishRun(plan, { publisher, awaitApplied })).positions)
}

/** Stops the engine when all that it has decided is published. */
const settle = async (): Promise<void> => {
  await fixture.stop()
  await fixture.start(['publisher'])
  await fixture.published()
  await fixture.stop()
}

/** Commits a position at the ledger's head, ahead of outputs, as a torn transaction leaves it; and with it these messages. */
const moveOn = async (messagesByTopic: Parameters<FencedProducer['publish']>[0]['messagesByTopic']) => {
  const transactionalId = publisherTransactionalId(ledger)
  const producer = new FencedProducer({ kafka: fixture.kafka, transactionalId })
  await producer.fence()
  const { sequence } = await fixture.ledger.store.readHead()
  const position = { ...publisherGroup(topicPrefix, ledger), offset: sequence }
  await producer.publish({ messagesByTopic, position })
  await producer.close()
}

const audit = (repair = false) =>
  auditLedgerOutputs({
    configuration,
    repair,
    logger: createLogger({ level: 'silent', service: 'tests' }),
    onBatch: () => undefined,
    signal: new AbortController().signal,
  })

const read = async (name: string): Promise<IngestRecord[]> => {
  const consumer = testConsumer([fixture.topic(name)])
  await consumer.consumer.start()
  const records = await readToEnd(consumer, fixture.topic(name))
  await consumer.consumer.stop()
  return records
}

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration)
  publisher = await IngestPublisher.open({ kafka: fixture.kafka, registry: fixture.registry, topicPrefix })
  pool = makePool({ ...configuration.postgres, applicationName: 'tests' })
  redis = openRedis({ url: configuration.redis.url, sslCa: undefined, connectionName: 'tests' })
  await untilRedisReady(redis, 5_000)
  await fixture.start(['processor', 'publisher', 'ticker'])
  await load('one', 1_000)
  await settle()
})
afterAll(async () => {
  closeRedis(redis)
  await publisher.close()
  await pool.close()
  await fixture.close()
})

describe('the audit of outputs', () => {
  it('finds all of them, once, in order', async () => {
    const { findings, cache, topics, published } = await audit()
    expect(findings).toEqual([])
    expect(cache.differences).toEqual([])
    expect(published).toBe((await fixture.ledger.store.readHead()).sequence)
    const byName = new Map(topics.map((topic) => [topic.topic, topic]))
    const [stored] = await fixture.ledger.rows<{ transactions: bigint; postings: bigint; accounts: bigint }>(
      `select (select count(*) from transactions) as transactions, (select count(*) from postings) as postings,
         (select count(*) from accounts) as accounts`,
    )
    expect(byName.get('transactions.processed')).toMatchObject({ found: Number(stored!.transactions) })
    expect(byName.get('ledger.entries')).toMatchObject({ found: Number(stored!.postings) * 2 })
    expect(byName.get('balances')).toMatchObject({ expected: Number(stored!.accounts) })
    expect(byName.get('ledger.batches')).toMatchObject({ found: Number(published) })
    expect(cache.accounts).toBe(Number(stored!.accounts))
  })

  it('finds what is there twice and what nobody decided', async () => {
    const [first] = await read('transactions.processed')
    await fixture.publish([
      { topic: 'transactions.processed', key: first!.key, value: first!.value!, partition: 0 },
      { topic: 'ledger.entries', key: Buffer.from('1.2.3'), value: Buffer.from('poison'), partition: 0 },
    ])
    const { findings } = await audit()
    expect(findings.map(({ topic, kind }) => `${kind} ${topic}`).sort()).toEqual([
      'repeated ledger.entries',
      'repeated transactions.processed',
    ])
  })

  it('finds what was never sent, and publishes it once', async () => {
    const before = (await audit()).findings.length
    await fixture.start(['processor'])
    await load('two', 300)
    await fixture.stop()
    // A position that went ahead of its outputs, as after a torn transaction.
    const { sequence } = await fixture.ledger.store.readHead()
    const producer = new FencedProducer({
      kafka: fixture.kafka,
      transactionalId: publisherTransactionalId(ledger),
    })
    await producer.fence()
    const group = publisherGroup(topicPrefix, ledger)
    await producer.publish({ messagesByTopic: new Map(), position: { ...group, offset: sequence } })
    await producer.close()
    const found = await audit()
    expect(found.findings.length).toBeGreaterThan(before + 300)
    expect(new Set(found.findings.slice(before).map(({ kind }) => kind))).toContain('missing')
    const repaired = await audit(true)
    expect(repaired.repaired).toBe(found.missing.length)
    expect((await audit()).findings.length).toBe(before)
    expect((await audit(true)).repaired).toBe(0)
    const values = await fixture.decode<{ sequence: bigint; index: number }>(
      'processed',
      (await read('transactions.processed')).map(({ value }) => value),
    )
    const [stored] = await fixture.ledger.rows<{ count: bigint }>('select count(*) from transactions')
    // But for the one that the test before sent twice.
    expect(new Set(values.map((each) => `${each.sequence}.${each.index}`)).size).toBe(values.length - 1)
    expect(values.length - 1).toBe(Number(stored!.count))
  })

  it('and the publisher goes on behind a repair', async () => {
    const before = (await audit()).findings.length
    await fixture.start(['processor', 'publisher', 'ticker'])
    await load('three', 100)
    await settle()
    expect(fixture.incidents).toEqual([])
    expect((await audit()).findings.length).toBe(before)
  })

  it('publishes once what two repairs at once find missing', async () => {
    const before = (await audit()).findings.length
    await fixture.start(['processor'])
    await load('twice', 50)
    await fixture.stop()
    await moveOn(new Map())
    const { missing } = await audit()
    const repairs = await Promise.all([audit(true), audit(true)])
    expect(repairs.map(({ repaired }) => repaired).sort((a, b) => a - b)).toEqual([0, missing.length])
    expect((await audit()).findings.length).toBe(before)
  })

  it('mends what is missing amid the outputs, and the publisher goes on behind the highest batch', async () => {
    const before = (await audit()).findings.length
    await fixture.start(['processor'])
    await load('amid', 50)
    await fixture.stop()
    await moveOn(new Map())
    // The last batch is there, those before it aren't.
    const heads = (await audit()).missing.filter(({ topic }) => topic === 'ledger.batches')
    expect(heads.length).toBeGreaterThan(1)
    await moveOn(new Map([[`${topicPrefix}ledger.batches`, [heads.at(-1)!.output]]]))
    expect((await audit(true)).repaired).toBeGreaterThan(heads.length)
    await fixture.start(['processor', 'publisher', 'ticker'])
    await load('amid2', 20)
    await settle()
    expect(fixture.incidents).toEqual([])
    expect((await audit()).findings.length).toBe(before)
  })

  it('does not take it for complete where Kafka has lost the position and the batches', async () => {
    const topic = fixture.topic('ledger.batches')
    const { sequence } = await fixture.ledger.store.readHead()
    const admin = fixture.kafka.admin()
    await admin.connect()
    await admin.deleteGroups([publisherGroup(topicPrefix, ledger).groupId])
    await admin.disconnect()
    const [range] = await fixture.admin.ranges(topic)
    await fixture.admin.deleteRecords(topic, new Map([[0, range!.end]]))
    expect((await audit()).published).toBe(sequence)
  })

  it('refuses a repair while a publisher is at work', async () => {
    await fixture.ledger.pool.query(
      `insert into leases (name, holder, expires_at) values ('publisher', 'somebody', now() + interval '1 hour')`,
    )
    await fixture.start(['processor'])
    await load('four', 20)
    await fixture.stop()
    const { sequence } = await fixture.ledger.store.readHead()
    const producer = new FencedProducer({
      kafka: fixture.kafka,
      transactionalId: publisherTransactionalId(ledger),
    })
    await producer.fence()
    await producer.publish({
      messagesByTopic: new Map(),
      position: { ...publisherGroup(topicPrefix, ledger), offset: sequence },
    })
    await producer.close()
    await expect(audit(true)).rejects.toMatchObject({ code: 'publisher_running' })
    await fixture.ledger.pool.query('delete from leases')
    expect((await audit(true)).repaired).toBeGreaterThan(0)
  })
})

describe('the audit of the cache', () => {
  it('finds a balance that is not what Postgres has', async () => {
    const { sequence, timeline, tickMs } = await fixture.ledger.store.readHead()
    await rebuildCache(redis, {
      keyPrefix: configuration.redis.keyPrefix,
      head: { timeline, sequence, recordedAtMs: tickMs },
      readAccountIds: (after, limit) => readAccountIds(pool, after, limit),
      readBalances: (ids) => readBalances(pool, ids),
    })
    expect((await audit()).cache).toMatchObject({ differences: [] })
    const [key] = await redis.keys(`${configuration.redis.keyPrefix}*:b:*`)
    const text = (await redis.get(key!))!
    const fields = text.split('|')
    fields[2] = String(BigInt(fields[2]!) + 1n)
    await redis.set(key!, fields.join('|'))
    const { differences } = (await audit()).cache
    expect(differences).toMatchObject([{ kind: 'different', cached: fields.join('|') }])
    expect(key!.endsWith(`:${differences[0]!.account}`)).toBe(true)
    await redis.set(key!, text)
    expect((await audit()).cache.differences).toEqual([])
  })
})

describe('without the flat entries', () => {
  it('none are published and none are missed; switched on again, they are found missing and mended', async () => {
    const before = (await audit()).findings.length
    configuration.engine.publishLedgerEntries = false
    await fixture.start(['processor', 'publisher', 'ticker'])
    await load('three', 200)
    await settle()
    const { topics } = await audit()
    expect(topics.map(({ topic }) => topic)).not.toContain('ledger.entries')
    configuration.engine.publishLedgerEntries = true
    const { findings, missing } = await audit(true)
    const added = findings.slice(before)
    expect(new Set(missing.map(({ topic }) => topic))).toEqual(new Set(['ledger.entries']))
    expect(new Set(added.map(({ topic }) => topic))).toEqual(new Set(['ledger.entries']))
    expect((await audit()).missing).toEqual([])
  })
})
