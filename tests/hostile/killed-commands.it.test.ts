/**
 * Commands that mend are killed in the middle: run once more, they finish, and nothing is there twice. Where exactly the kill meets
 * them differs from run to run; what must hold doesn't.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { HistoryFixture } from '#loadtest/generator/testing/history-fixture.ts'
import { processEnvironment } from '#platform/config/environment.ts'
import { until } from '#platform/kafka/kafka.fixtures.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { LedgerDigest } from '#processors/audit/replay/digest.ts'
import { auditLedgerOutputs } from '#processors/auditing-outputs.ts'
import { openArchiver } from '#processors/archive/open-archiver.ts'
import { digestOfTables } from '#processors/recover/table-digest.ts'
import { recover } from '#processors/recovering.ts'
import { TOPICS, topicConfiguration } from '#schemas/topics.ts'

const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))
const TIMEOUT_MS = 240_000
const folder = mkdtempSync(join(tmpdir(), 'tallystream-killed-'))
const configuration = testConfiguration('killed', {
  ARCHIVE_URL: pathToFileURL(join(folder, 'archive')).href,
  BATCH_RECORDS_MAX: '100',
})
const { name: ledger } = configuration.ledger
const logger = createLogger({ level: 'silent', service: 'tests' })
/** A repair publishes some thousands of messages at a time: there must be more than one such part. */
const TRANSACTIONS = 3_500

let history: HistoryFixture
const children: ChildProcess[] = []

/** A command of the product, in a process of its own. */
const start = (...words: string[]): ChildProcess => {
  const { kafka, schemaRegistry, postgres, redis, archive } = configuration
  const child = spawn(process.execPath, [MAIN, ...words, '--json'], {
    stdio: 'ignore',
    env: {
      ...processEnvironment(),
      LEDGER: ledger,
      KAFKA_BROKERS: kafka.brokers.join(','),
      SCHEMA_REGISTRY_URL: schemaRegistry.url,
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url,
      ARCHIVE_URL: archive.url!,
      LOG_LEVEL: 'warn',
    },
  })
  children.push(child)
  return child
}

/** Waits for a moment of a command, and kills it then. */
const killAt = async (child: ChildProcess, moment: () => Promise<boolean>): Promise<void> => {
  await until(async () => child.exitCode !== null || (await moment()), 60_000)
  expect(child.exitCode, 'it had ended before it could be killed').toBe(null)
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

const audit = (repair = false) =>
  auditLedgerOutputs({
    configuration,
    repair,
    logger,
    onBatch: () => undefined,
    signal: new AbortController().signal,
  })

const archiveNow = async (): Promise<void> => {
  const { kafka, registry, ledger: opened } = history.pipeline
  const { archiver, close } = openArchiver({
    ...{ configuration, kafka, pool: opened.pool, schemas: registry, holder: 'tests' },
    logger: { info: () => undefined, warn: () => undefined },
    onSegment: () => undefined,
    onIncident: () => undefined,
  })
  await archiver.archiveNow()
  await close()
}

/** Whoever was killed holds its lease for up to a minute: a test doesn't wait for that. */
const endLeases = () => history.rows(`update leases set expires_at = now() - interval '1 second'`)

beforeAll(async () => {
  history = await HistoryFixture.create(configuration)
  await history.generate('first', { seed: 5, transactions: TRANSACTIONS, accounts: 80 })
  await archiveNow()
}, TIMEOUT_MS)
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(async () => {
  await history?.close()
  rmSync(folder, { recursive: true })
})

describe('audit outputs --repair', () => {
  const topic = () => history.pipeline.topic('transactions.processed')

  /** Most of what was published is gone, though it counts as published. */
  const loseOutputs = async (): Promise<void> => {
    const { admin } = history.pipeline
    const lost = [TOPICS.processed, TOPICS.entries, TOPICS.batches]
    const wanted = lost.map((definition) => ({
      name: history.pipeline.topic(definition.name),
      partitions: 1,
      replication: 1,
      config: topicConfiguration(definition),
    }))
    await admin.deleteTopics(wanted.map(({ name }) => name))
    // A deletion takes a moment: until then they would be found and not be made.
    await until(async () => (await admin.checkTopics(wanted)).every(({ property }) => property === 'missing'))
    await admin.ensureTopics(wanted)
  }

  const MOMENTS = {
    'amid a part': async () => (await history.pipeline.admin.ranges(topic())).some(({ end }) => end > 0n),
    'after parts of it': async () => {
      const ranges = await history.pipeline.admin.ranges(topic())
      return ranges.reduce((sum, { end }) => sum + Number(end), 0) > TRANSACTIONS / 2
    },
  }

  test.each(Object.entries(MOMENTS))(
    'killed %s: the next one publishes the rest, each output once',
    async (_name, moment) => {
      await loseOutputs()
      const before = await audit()
      expect(before.missing.length).toBeGreaterThan(TRANSACTIONS)
      await killAt(start('audit', 'outputs', '--repair'), moment)
      await endLeases()
      const { repaired } = await audit(true)
      expect(repaired).toBeGreaterThan(0)
      const { findings } = await audit()
      expect(findings).toEqual([])
    },
    TIMEOUT_MS,
  )
})

describe('recover', () => {
  const head = async () => {
    const [row] = await history
      .rows<{ sequence: bigint }>('select sequence from ledger_head')
      .catch(() => [{ sequence: 0n }])
    return row?.sequence ?? 0n
  }
  const recoverNow = () =>
    recover({
      ...{ configuration, logger, onPlan: () => undefined, onBatch: () => undefined },
      signal: new AbortController().signal,
    })

  test(
    'killed twice: it goes on where it was, and the ledger is what it was',
    async () => {
      const { sequence } = await history.pipeline.ledger.store.readHead()
      const digest = await digestOfTables(history.pool, new LedgerDigest())
      await history.rows(`drop schema "${configuration.postgres.schema}" cascade`)
      for (const share of [3n, 2n]) {
        await killAt(start('recover'), async () => (await head()) > sequence / share)
        expect(await head()).toBeLessThan(sequence)
        // Another one at once takes it for at work; nothing decides on a ledger that isn't whole.
        await expect(recoverNow()).rejects.toMatchObject({ code: 'engine_running' })
        await history.pipeline.start(['processor'])
        await until(() => history.pipeline.incidents.length > 0, 30_000)
        await history.pipeline.stop()
        history.pipeline.incidents.length = 0
        await endLeases()
      }
      const result = await recoverNow()
      expect(result).toMatchObject({ sequence, digest, decided_anew: 0 })
      expect(result.batches).toBeLessThan(Number(sequence))
      await history.generate('second', { seed: 6, transactions: 300, accounts: 80 })
      expect(history.pipeline.incidents).toEqual([])
      expect((await audit()).findings).toEqual([])
    },
    TIMEOUT_MS,
  )
})
