/** An import on the real stack: balances as the file says, bad lines beside it, and again without any effect. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { waitUntilApplied } from '#connectors/ingest/applied.ts'
import { IngestPublisher } from '#connectors/ingest/publisher.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { readBalances } from '#platform/postgres/queries/read-balances.ts'
import { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'
import { importCsv } from './import.ts'
import { readMapping } from './mapping.ts'
import { RejectWriter } from './rejects.ts'

const ROWS = 3_000
const EXAMPLE = new URL('./examples/card-history.json', import.meta.url).pathname

let folder: string
let fixture: PipelineFixture
let publisher: IngestPublisher
let pool: ReadPool
const configuration = testConfiguration('csv')

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'csv-it-'))
  fixture = await PipelineFixture.create(configuration)
  await fixture.start(['processor', 'ticker'])
  publisher = await IngestPublisher.open({
    kafka: fixture.kafka,
    registry: fixture.registry,
    topicPrefix: configuration.ledger.topicPrefix,
  })
  pool = makePool({ ...configuration.postgres, applicationName: 'tests' })
})

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await pool?.close()
  await publisher?.close()
  await fixture?.close()
})

/** Writes a card history, with two lines that can't be imported. @returns what each account must have, cents */
function writeHistory(path: string): Map<string, bigint> {
  const expected = new Map<string, bigint>()
  const add = (account: string, cents: bigint) => expected.set(account, (expected.get(account) ?? 0n) + cents)
  const lines = ['tx_id,epoch,customer_id,terminal_id,amount_cents,fraud,scenario']
  for (let row = 0; row < ROWS; row += 1) {
    const cents = (row * 7_919) % 10_007
    lines.push(`${row},${1_522_540_818 + row},${row % 97},${row % 31},${cents},0,0`)
    // The row without an amount is rejected.
    if (cents === 0) continue
    add(`card:${row % 97}`, -BigInt(cents))
    add(`terminal:${row % 31}`, BigInt(cents))
  }
  lines.splice(1_000, 0, 'not,a,"record')
  writeFileSync(path, gzipSync(`${lines.join('\n')}\n`))
  return expected
}

const importFile = async (path: string) => {
  const awaitApplied = (positions: Parameters<typeof waitUntilApplied>[0]) =>
    waitUntilApplied(positions, {
      pool,
      clusterId: configuration.ledger.clusterId,
      topicPrefix: configuration.ledger.topicPrefix,
      idleTimeoutMs: 30_000,
    })
  const summary = await importCsv({
    path,
    mapping: await readMapping(EXAMPLE),
    actor: 'tester',
    rejects: new RejectWriter(`${path}.rejects`),
    publish: publisher,
    awaitApplied,
  })
  await awaitApplied(summary.positions)
  return summary
}

const outcomes = async () => {
  const rows = await pool.query<{ word: string; count: bigint }>({
    text: `select c.word, count(*) as count from transactions t
      join codes c on c.list = 'status' and c.code = t.status
      where t.source = 'card-history' group by c.word order by c.word`,
  })
  return Object.fromEntries(rows.map(({ word, count }) => [word, Number(count)]))
}

test('balances are the sums of the file; importing again changes nothing', async () => {
  const path = join(folder, 'history.csv.gz')
  const expected = writeHistory(path)
  const summary = await importFile(path)
  expect(summary).toMatchObject({
    records: ROWS + 1,
    published: ROWS - 1,
    rejectedByReason: { quotes_invalid: 1, amount_not_positive: 1 },
    accounts: expected.size,
  })
  const balances = async () => {
    const rows = await readBalances(pool, [...expected.keys()])
    return new Map(rows.map(({ accountId, posted }) => [accountId, posted]))
  }
  expect(await balances()).toEqual(expected)
  expect(await outcomes()).toEqual({ applied: ROWS - 1 })

  await importFile(path)
  expect(await balances()).toEqual(expected)
  expect(await outcomes()).toEqual({ applied: ROWS - 1, duplicate: ROWS - 1 })
})

test('waiting for what no processor applies ends with an error that says so', async () => {
  await fixture.stop()
  const positions = await publisher.accounts([])
  expect(positions).toEqual([])
  const waiting = waitUntilApplied(
    [{ topic: publisher.topicName('accounts'), partition: 0, offset: 1_000_000n }],
    { pool, clusterId: 'local', topicPrefix: configuration.ledger.topicPrefix, idleTimeoutMs: 300 },
  )
  await expect(waiting).rejects.toMatchObject({ code: 'engine_unreachable' })
})
