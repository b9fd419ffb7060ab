/**
 * Versions of the product side by side, as in a rolling upgrade: processes of an older and a newer release, which know other
 * versions of the outputs' schemas, decide; a process of this release publishes, audits and explains what they have stored.
 */
import { rmSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { accountValue, transactionValue } from '#connectors/ingest/wire.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import { accountChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { Engines } from '#loadtest/faults/engines.ts'
import { readToEnd, testConsumer } from '#platform/kafka/kafka.fixtures.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { auditReplay } from '#processors/auditing.ts'
import { auditLedgerOutputs } from '#processors/auditing-outputs.ts'
import { Tracer } from '#processors/auditing-trace.ts'
import { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'
import { copySource } from '../source-copy.ts'

const FOLDERS = [
  'api',
  'cli',
  'connectors',
  'domain',
  'infra',
  'loadtest',
  'platform',
  'processors',
  'schemas',
]
const START_TIMEOUT_MS = 60_000
const signal = new AbortController().signal

interface Schema {
  fields: { name: string; type?: unknown; default?: unknown }[]
}

const withFields = (file: string, change: (fields: Schema['fields']) => Schema['fields']) => ({
  file: `schemas/avro/${file}.avsc`,
  change: (text: string) => {
    const schema = JSON.parse(text) as Schema
    return JSON.stringify({ ...schema, fields: change(schema.fields) })
  },
})
const withNote = (fields: Schema['fields']) => [
  ...fields,
  { name: 'note', type: ['null', 'string'], default: null },
]

const configuration = testConfiguration('upgrade')
const startedMs = Date.now()
const copies: string[] = []
let fixture: PipelineFixture

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration, startedMs)
  copies.push(
    copySource('older-version', FOLDERS, [
      withFields('transaction-processed', (fields) => fields.filter(({ name }) => name !== 'metadata')),
    ]),
    copySource('newer-version', FOLDERS, [
      withFields('transaction-processed', withNote),
      withFields('balance', withNote),
    ]),
  )
})
afterAll(async () => {
  for (const copy of copies) rmSync(copy, { recursive: true, force: true })
  await fixture?.close()
})

/** Lets a process of another version decide. */
const decidedBy = async (root: string, publish: () => Promise<RecordPosition[]>): Promise<void> => {
  const engines = new Engines({ configuration, root, keptUp: 'none' })
  try {
    const engine = engines.start({ roles: 'processor' })
    await expect
      .poll(() => engine.isUp || engine.lines.slice(-3), { timeout: START_TIMEOUT_MS, interval: 50 })
      .toBe(true)
    await fixture.applied(await publish())
    expect((await engines.stop(engine)).code).toBe(0)
  } finally {
    await engines.close()
  }
}

const COUNT = 5
const idsOf = (prefix: string) => Array.from({ length: COUNT }, (_, place) => `${prefix}${place}`)
const pay = (ids: readonly string[]) =>
  fixture.publishValues(
    'transactions',
    ids.map((id) => transactionValue(transactionCommand({ id, occurredAt: startedMs }))),
  )

const read = async (topic: string) => {
  const consumer = testConsumer([fixture.topic(topic)])
  await consumer.consumer.start()
  const records = await readToEnd(consumer, fixture.topic(topic))
  await consumer.consumer.stop()
  return records
}

test('what another version has decided is published, audited and explained', async () => {
  const [older, newer] = copies as [string, string]
  await decidedBy(older, async () => {
    const accounts = await fixture.publishValues('accounts', [
      accountValue(accountChange({ accountId: 'alice', limited: false })),
      accountValue(accountChange({ accountId: 'bob' })),
    ])
    // Between topics there is no order.
    await fixture.applied(accounts)
    return await pay(idsOf('older'))
  })
  await fixture.start(['publisher'])
  await fixture.published()
  // While this version publishes, as in the middle of the upgrade to the next.
  await decidedBy(newer, () => pay(idsOf('newer')))
  await fixture.published()
  await fixture.stop()
  await fixture.start(['processor', 'publisher'])
  await fixture.applied(await pay(idsOf('ours')))
  await fixture.published()
  await fixture.stop()
  expect(fixture.incidents).toEqual([])

  const ids = [...idsOf('older'), ...idsOf('newer'), ...idsOf('ours')]
  const processed = await read('transactions.processed')
  expect(processed.map(({ key }) => String(key))).toEqual(ids)
  const versions = new Set(processed.map(({ value }) => value!.readInt32BE(1)))
  expect(versions.size, 'schemas that the decisions are encoded by').toBe(3)
  const entries = await fixture.decode<{ transactionId: string }>(
    'entries',
    (await read('ledger.entries')).map(({ value }) => value),
  )
  expect(entries.map(({ transactionId }) => transactionId)).toEqual(ids.flatMap((id) => [id, id]))

  const outputs = await auditLedgerOutputs({
    configuration,
    repair: false,
    logger: createLogger({ level: 'silent', service: 'tests' }),
    onBatch: () => undefined,
    signal,
  })
  expect({ findings: outputs.findings, cache: outputs.cache }).toEqual({
    findings: [],
    cache: { accounts: 2, differences: [] },
  })
  const replay = await auditReplay({
    configuration,
    from: 'earliest',
    to: 'latest',
    checkpoints: copies[0]!,
    actor: 'tests',
    onMessage: () => undefined,
    onProgress: () => undefined,
    signal,
  })
  expect(replay).toMatchObject({ differences: 0, transactions: ids.length })

  const tracer = new Tracer(configuration)
  try {
    for (const id of ['older0', 'newer0', 'ours0']) {
      const traced = await tracer.transaction(transactionKey(transactionCommand({ id }).source, id))
      const places = traced!.decisions[0]!.outputs.filter(({ place }) => place === null)
      expect(places, id).toEqual([])
    }
  } finally {
    await tracer.close()
  }
})
