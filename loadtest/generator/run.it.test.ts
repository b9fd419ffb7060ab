/** A generated run through the real stack comes out as the independent model says, and the comparison notices when it doesn't. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { waitUntilApplied } from '#connectors/ingest/applied.ts'
import { IngestPublisher } from '#connectors/ingest/publisher.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { readProgress } from '#platform/postgres/queries/read-progress.ts'
import { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'
import { checkExpectation, readExpectation, writeExpectation } from './expectation.ts'
import { publishRun } from './publish-run.ts'
import { planRun } from './run-plan.ts'

const configuration = testConfiguration('generator')
let folder: string
let fixture: PipelineFixture
let publisher: IngestPublisher
let pool: ReadPool

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'generator-it-'))
  fixture = await PipelineFixture.create(configuration)
  await fixture.start(['processor', 'publisher', 'ticker'])
  const { topicPrefix } = configuration.ledger
  publisher = await IngestPublisher.open({ kafka: fixture.kafka, registry: fixture.registry, topicPrefix })
  pool = makePool({ ...configuration.postgres, applicationName: 'tests' })
})

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await pool?.close()
  await publisher?.close()
  await fixture?.close()
})

const awaitApplied = (positions: Iterable<RecordPosition>) =>
  waitUntilApplied(positions, {
    pool,
    clusterId: configuration.ledger.clusterId,
    topicPrefix: configuration.ledger.topicPrefix,
    idleTimeoutMs: 30_000,
  })

describe.each([
  { mix: 'default', run: 'it1', transactions: 8_000, accounts: 300 },
  { mix: 'plain', run: 'it2', transactions: 8_000, accounts: 300 },
] as const)('the $mix mix', ({ mix, run, transactions, accounts }) => {
  test('comes out as expected, through a file and back', async () => {
    const progress = await readProgress(pool)
    const plan = planRun({ run, seed: 11, transactions, accounts, mix, endTimeMs: progress!.tickMs })
    const summary = await publishRun(plan, { publisher, awaitApplied })
    expect(summary.published).toBe(transactions)
    await awaitApplied(summary.positions)
    const file = join(folder, `${run}.json`)
    await writeExpectation(file, summary.expectation)
    expect(await readExpectation(file)).toMatchObject({ ...summary.expectation })
    const result = await checkExpectation(file, { pool })
    expect(result.differences).toEqual([])
    expect(result.accounts).toBeGreaterThan(accounts)
    expect(fixture.incidents).toEqual([])
    await expectNoticed(file)
  })
})

/** A cent less, an account that isn't there, a count that is off: each is found. */
async function expectNoticed(file: string): Promise<void> {
  const expectation = await readExpectation(file)
  const [firstId, first] = Object.entries(expectation.accounts)[0]!
  const changed = {
    ...expectation,
    accounts: {
      ...expectation.accounts,
      [firstId]: { ...first, posted: first.posted - 1n },
      'cust:nowhere': first,
    },
    outcomes: { ...expectation.outcomes, applied: expectation.outcomes.applied! + 1 },
  }
  const { differences } = await checkExpectation(changed, { pool })
  expect(differences.map(({ what, name }) => `${what} ${name}`).sort()).toEqual(
    [`account ${firstId}`, 'account cust:nowhere', 'outcome applied'].sort(),
  )
}
