/** A ledger brought back on the real stack: from nothing, and from an earlier moment; equal bit for bit, and going on afterwards. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { waitUntilApplied } from '#connectors/ingest/applied.ts'
import { IngestPublisher } from '#connectors/ingest/publisher.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { publishRun } from '#loadtest/generator/publish-run.ts'
import { planRun } from '#loadtest/generator/run-plan.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { readToEnd, testConsumer } from '#platform/kafka/kafka.fixtures.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { AuditLog } from '#platform/postgres/audit-log.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { openArchiver } from './archive/open-archiver.ts'
import { LedgerDigest } from './audit/replay/digest.ts'
import { auditReplay } from './auditing.ts'
import { digestOfTables } from './recover/table-digest.ts'
import { type RecoverOptions, recover } from './recovering.ts'
import { PipelineFixture } from './testing/pipeline-fixture.ts'
import { copyTables, restoreTables } from './testing/schema-copy.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallystream-recover-test-'))
const configuration = testConfiguration('recover', {
  ARCHIVE_URL: pathToFileURL(join(folder, 'archive')).href,
  BATCH_RECORDS_MAX: '200',
})
const { schema } = configuration.postgres
const logger = createLogger({ level: 'silent', service: 'tests' })
const EARLIER = `${schema.slice(0, 50)}_earlier`
const ROLES = ['processor', 'publisher', 'ticker'] as const

let fixture: PipelineFixture
let publisher: IngestPublisher
let pool: ReadPool

const awaitApplied = (positions: Iterable<RecordPosition>) =>
  waitUntilApplied(positions, {
    pool,
    clusterId: configuration.ledger.clusterId,
    topicPrefix: configuration.ledger.topicPrefix,
    idleTimeoutMs: 30_000,
  })

const load = async (run: string, transactions: number): Promise<void> => {
  const { tickMs } = await fixture.ledger.store.readHead()
  const plan = planRun({ run, seed: 7, transactions, accounts: 120, mix: 'default', endTimeMs: tickMs })
  await awaitApplied((await publishRun(plan, { publisher, awaitApplied })).positions)
}

const archiveNow = async (): Promise<void> => {
  const { archiver, close } = openArchiver({
    configuration,
    pool: fixture.ledger.pool,
    kafka: fixture.kafka,
    schemas: fixture.registry,
    holder: 'tests',
    logger: { info: () => undefined, warn: () => undefined },
    onSegment: () => undefined,
    onIncident: () => undefined,
  })
  await archiver.archiveNow()
  await close()
}

/** Stops the engine when all that it has decided is published. */
const settle = async (): Promise<void> => {
  await fixture.stop()
  await fixture.start(['publisher'])
  await fixture.published()
  await fixture.stop()
}

const TABLES = {
  accounts: 'account_no',
  cards: 'card_no',
  transaction_ids: 'key',
  transactions: 'sequence, index',
  postings: 'sequence, index, posting',
  holds: 'key',
  reversals: 'key, posting',
  fraud_parties: 'kind, name',
  fraud_labels: 'key',
  rules: 'rule_id, version, index',
  dead_letters: 'sequence, index',
  batches: 'sequence',
  ingest_offsets: 'cluster_id, topic, partition',
  ledger_head: 'sequence',
}

/** A hash over each table's rows as text, and the head; without what may differ. */
const pictureOf = async () => {
  const picture: Record<string, unknown> = {}
  for (const [table, order] of Object.entries(TABLES)) {
    const left = [
      ...['epoch', 'owner', 'owner_backend_pid', 'owner_backend_start', 'owner_member'],
      // Known again as soon as somebody takes the partition.
      ...['topic_id', 'timeline', 'created_at'],
    ]
    const [row] = await fixture.ledger.rows<{ rows: bigint; hash: string }>(
      `select count(*) as rows, md5(coalesce(string_agg((to_jsonb(t) - $1::text[])::text, ',' order by ${order}), '')) as hash
       from ${table} t`,
      [left],
    )
    picture[table] = row
  }
  return picture
}

const runRecover = (options: Partial<RecoverOptions> = {}) =>
  recover({
    configuration,
    logger,
    onPlan: () => undefined,
    onBatch: () => undefined,
    signal: new AbortController().signal,
    ...options,
  })

/** Every decision's output exactly once, in ledger order; @returns how many */
const expectOutputsOnce = async (): Promise<number> => {
  const topic = fixture.topic('transactions.processed')
  const consumer = testConsumer([topic])
  await consumer.consumer.start()
  const records = await readToEnd(consumer, topic)
  await consumer.consumer.stop()
  const values = await fixture.decode<{ sequence: bigint; index: number; id: string }>(
    'processed',
    records.map(({ value }) => value),
  )
  const published = values.map(({ sequence, index, id }) => `${sequence}.${index} ${id}`)
  const stored = await fixture.ledger.rows<{ sequence: bigint; index: number; id: string }>(
    'select sequence, index, id from transactions order by sequence, index',
  )
  expect(published).toEqual(stored.map(({ sequence, index, id }) => `${sequence}.${index} ${id}`))
  return published.length
}

const drop = () => fixture.ledger.pool.query(`drop schema "${schema}" cascade`)

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration)
  const { topicPrefix } = configuration.ledger
  publisher = await IngestPublisher.open({ kafka: fixture.kafka, registry: fixture.registry, topicPrefix })
  pool = makePool({ ...configuration.postgres, applicationName: 'tests' })
  await fixture.start(ROLES)
  await load('one', 1_500)
  await fixture.published()
  await new AuditLog(fixture.ledger.pool).append([
    { atMs: Date.now(), actor: 'tests', action: 'cli rules set', subject: 'large', details: {} },
  ])
  await archiveNow()
  await fixture.stop()
  await copyTables(fixture.ledger.pool, schema, EARLIER)
  // What is archived is gone from the topics.
  const positions = await fixture.ledger.rows<{ topic: string; partition: number; next: bigint }>(
    `select topic, partition, next_offset as next from ingest_offsets where topic <> 'ticks'`,
  )
  for (const { topic, partition, next } of positions) {
    if (next > 0n) await fixture.admin.deleteRecords(fixture.topic(topic), new Map([[partition, next]]))
  }
  await fixture.start(ROLES)
  await load('two', 1_500)
  await settle()
})
afterAll(async () => {
  await publisher.close()
  await pool.close()
  await fixture.ledger.pool.query(`drop schema if exists "${EARLIER}" cascade`)
  await fixture.close()
  rmSync(folder, { recursive: true })
})

describe('a database that was deleted', () => {
  it('comes back from archive and topics, every row as it was, and goes on with each output once', async () => {
    const before = await pictureOf()
    const head = await fixture.ledger.store.readHead()
    const digest = await digestOfTables(pool, new LedgerDigest())
    const noted = await new AuditLog(fixture.ledger.pool).readAfter(0n, 100)
    await drop()
    const result = await runRecover()
    expect(await pictureOf()).toEqual(before)
    expect(noted).toHaveLength(1)
    expect(await new AuditLog(fixture.ledger.pool).readAfter(0n, 100)).toEqual(noted)
    expect(result.digest).toBe(digest)
    // The topics no longer have the first records: replay reads archive and topics as one.
    const replayed = await auditReplay({
      configuration,
      from: 'earliest',
      to: 'latest',
      checkpoints: join(folder, 'checkpoints'),
      actor: 'tests',
      onMessage: () => undefined,
      onProgress: () => undefined,
      signal: new AbortController().signal,
    })
    expect(replayed).toMatchObject({ differences: 0, digest })
    expect(result).toMatchObject({ sequence: head.sequence, published: head.sequence, decided_anew: 0 })
    expect(result.from_archive).toBeGreaterThan(0)
    expect(result.from_topics).toBeGreaterThan(0)
    expect(BigInt(result.from_archive + result.from_topics)).toBe(head.sequence)
    expect(result.timeline).toBe(head.timeline + 1n)
    expect(await fixture.ledger.differences()).toEqual([])
    await fixture.start(ROLES)
    await load('three', 300)
    await settle()
    expect(fixture.incidents).toEqual([])
    expect(await expectOutputsOnce()).toBeGreaterThan(3_000)
  })
})

describe('a database that was restored to an earlier moment', () => {
  let published: bigint
  let hashes: string[]
  const hashesUpTo = async (sequence: bigint): Promise<string[]> => {
    const rows = await fixture.ledger.rows<{ hash: Buffer }>(
      'select hash from batches where sequence <= $1 order by sequence',
      [String(sequence)],
    )
    return rows.map(({ hash }) => hash.toString('hex'))
  }

  it('is not decided on', async () => {
    published = (await fixture.ledger.store.readHead()).sequence
    hashes = await hashesUpTo(published)
    // Decided, but not published: these will be decided anew.
    await fixture.start(['processor'])
    await load('tail', 100)
    await fixture.stop()
    await restoreTables(fixture.ledger.pool, EARLIER, schema)
    const { sequence } = await fixture.ledger.store.readHead()
    expect(sequence).toBeLessThan(published)
    await fixture.start(ROLES)
    const deadline = Date.now() + 15_000
    while (fixture.incidents.length === 0 && Date.now() < deadline)
      await new Promise((r) => setTimeout(r, 20))
    await fixture.stop()
    expect(fixture.incidents.map(({ code }) => code)).toContain('database_behind_published')
    expect((await fixture.ledger.store.readHead()).sequence).toBe(sequence)
    fixture.incidents.length = 0
  })

  it('gets what was published, stopped in between, and stays closed until it is whole', async () => {
    const stopped = new AbortController()
    let batches = 0
    const onBatch = () => {
      batches += 1
      if (batches === 3) stopped.abort()
    }
    await expect(runRecover({ onBatch, signal: stopped.signal })).rejects.toMatchObject({ code: 'stopped' })
    await fixture.start(['processor'])
    const deadline = Date.now() + 15_000
    while (fixture.incidents.length === 0 && Date.now() < deadline)
      await new Promise((r) => setTimeout(r, 20))
    await fixture.stop()
    expect(fixture.incidents.length).toBeGreaterThan(0)
    fixture.incidents.length = 0
    const result = await runRecover()
    expect(result).toMatchObject({ sequence: published, published, from_archive: 0 })
    expect(result.decided_anew).toBeGreaterThanOrEqual(100)
    expect(await hashesUpTo(published)).toEqual(hashes)
    expect(result.head_hash).toBe(hashes.at(-1))
  })

  it('and its unpublished tail is decided anew, each output once', async () => {
    await fixture.start(ROLES)
    await load('four', 200)
    await settle()
    expect(fixture.incidents).toEqual([])
    await expectOutputsOnce()
    expect(await fixture.ledger.differences()).toEqual([])
    expect(await hashesUpTo(published)).toEqual(hashes)
  })
})

describe('a recovery', () => {
  it('stops where what is decided again is not what was recorded, and commits nothing of it', async () => {
    await restoreTables(fixture.ledger.pool, EARLIER, schema)
    // Its time: no tick of the history is later.
    await fixture.ledger.pool.query('update ledger_head set tick_ms = tick_ms + 1e12::bigint')
    const { sequence } = await fixture.ledger.store.readHead()
    await expect(runRecover()).rejects.toMatchObject({ code: 'recover_difference' })
    expect((await fixture.ledger.store.readHead()).sequence).toBe(sequence)
  })

  it('stops where the database was decided on after it was restored', async () => {
    await restoreTables(fixture.ledger.pool, EARLIER, schema)
    await fixture.ledger.pool.query(`update ledger_head set hash = decode(repeat('00', 32), 'hex')`)
    await expect(runRecover()).rejects.toMatchObject({ code: 'recover_other_past' })
  })

  it('is refused while the engine is at work', async () => {
    await restoreTables(fixture.ledger.pool, EARLIER, schema)
    await fixture.ledger.pool.query(
      `insert into leases (name, holder, expires_at) values ('publisher', 'somebody', now() + interval '1 minute')`,
    )
    await expect(runRecover()).rejects.toMatchObject({ code: 'engine_running' })
    await fixture.ledger.pool.query('delete from leases')
  })

  it('without the archive says that records are missing', async () => {
    await drop()
    const without: Configuration = { ...configuration, archive: { ...configuration.archive, url: undefined } }
    await expect(runRecover({ configuration: without })).rejects.toMatchObject({ code: 'records_gone' })
    expect((await runRecover()).from_archive).toBeGreaterThan(0)
  })
})
