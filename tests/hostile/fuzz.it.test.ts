/** 20,000 spoiled records of every ingest topic at a real engine process: the counts add up, the books balance, the engine goes on. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { BatchHeader } from '#domain/ledger/batch-record.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { seededRandom } from '#loadtest/faults/seeded-random.ts'
import { HostileRun } from './hostile-run.ts'
import { Fuzzer } from './mutations.ts'

const RECORDS = 20_000
const SLICE = 1_000
const PARTITIONS = 8
const SEED = 20_000
const APPLY_TIMEOUT_MS = 400_000

let run: HostileRun
beforeAll(async () => {
  run = await HostileRun.start(testConfiguration('fuzz'))
})
afterAll(() => run?.close())

test(`${RECORDS} seeded mutations: every offset has one fate, sums are zero, and good records go through`, {
  timeout: 500_000,
}, async () => {
  const { contracts } = run.fixture
  const random = seededRandom(SEED)
  const fuzzer = new Fuzzer({ contracts, random, nowMs: Date.now(), partitions: PARTITIONS })
  const sent: Record<string, number> = {}
  for (let count = 0; count < RECORDS; count += SLICE) {
    const records = Array.from({ length: SLICE }, () => fuzzer.next())
    for (const { topic } of records) sent[topic] = (sent[topic] ?? 0) + 1
    await run.fixture.publish(records)
  }
  await run.untilApplied(APPLY_TIMEOUT_MS)

  const { offsets, applied, rejected, duplicates, deadLetters, lost, twice } = await run.accountFor()
  const dead = Object.entries(deadLetters).reduce(
    (sum, [reason, count]) => sum + (reason === 'id_conflict' ? 0 : count),
    0,
  )
  process.stderr.write(
    `fuzz ${SEED}: ${applied} applied, ${rejected} rejected, ${duplicates} duplicates, ${dead} dead letters; ${JSON.stringify(deadLetters)}\n`,
  )
  expect({ lost, twice }).toEqual({ lost: [], twice: [] })
  expect(offsets).toBe(sent.transactions)
  expect(applied + rejected + duplicates + dead).toBe(offsets)
  for (const count of [applied, rejected, duplicates, deadLetters.avro_invalid, deadLetters.json_invalid])
    expect(count).toBeGreaterThan(20)

  await expectContiguous()
  expect(await run.fixture.ledger.differences()).toEqual([])
  const sums =
    'select currency, sum(signed_amount) as sum from ledger_entries group by currency having sum(signed_amount) <> 0'
  expect(await run.fixture.ledger.rows(sums)).toEqual([])
  expect(run.engine.state).toBe('running')
})

/** In one run: within a longer row of digits nobody could tell it. */
const CARD_NUMBER = /(?<!\d)4111111111111111(?!\d)/

test('no card number is left anywhere', async () => {
  const rows: { table: string; text: string }[] = []
  for (const table of ['transactions', 'holds', 'accounts', 'cards', 'rules', 'commands', 'dead_letters']) {
    const bytes =
      table === 'dead_letters'
        ? `|| encode(coalesce(key, ''), 'escape') || encode(coalesce(value, ''), 'escape')`
        : ''
    const text = `select '${table}' as "table", t::text ${bytes} as text from ${table} t`
    rows.push(...(await run.fixture.ledger.rows<{ table: string; text: string }>(text)))
  }
  expect(rows.length).toBeGreaterThan(RECORDS / 2)
  expect(rows.filter(({ text }) => CARD_NUMBER.test(text))).toEqual([])
  for (const batch of await run.fixture.ledger.batches())
    expect(CARD_NUMBER.test(batch.payload.toString('latin1')), `batch ${batch.sequence}`).toBe(false)
})

/** Batch by batch the stretches of each partition follow each other from its first offset to its end, and no input is left out. */
async function expectContiguous(): Promise<void> {
  const next = new Map<string, bigint>()
  for (const batch of await run.fixture.ledger.batches()) {
    const { sources, order } = JSON.parse(batch.header.toString('utf8')) as BatchHeader
    for (const { topic, partition, from, next: end } of sources) {
      const name = `${topic}:${partition}`
      expect([name, BigInt(from)]).toEqual([name, next.get(name) ?? 0n])
      next.set(name, BigInt(end))
    }
    expect(order.reduce((sum, [, count]) => sum + count, 0)).toBe(batch.records)
  }
  for (const topic of ['transactions', 'accounts', 'cards', 'reviews', 'rules', 'commands']) {
    for (const { partition, end } of await run.fixture.admin.ranges(run.fixture.topic(topic)))
      expect([topic, partition, next.get(`${topic}:${partition}`) ?? 0n]).toEqual([topic, partition, end])
  }
}
