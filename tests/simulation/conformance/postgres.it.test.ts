/** The simulated Postgres does what the real one does: the same calls on both, and what they bring about compared. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { LedgerFixture } from '#processors/testing/ledger-fixture.ts'
import { STATEMENT_NAMES } from '../postgres/statements.ts'
import { PostgresBench, type PostgresPlace } from './postgres-bench.ts'
import { ROW_CASES } from './postgres-cases.ts'
import { RACE_CASES } from './postgres-races.ts'
import { realPostgres } from './postgres-real.ts'
import { simulatedPostgres } from './postgres-simulated.ts'
import { inSimulation } from './simulated.ts'
import { Transcript } from './transcript.ts'
import { TriedLedger } from './tried-ledger.ts'

const CASES = [...ROW_CASES, ...RACE_CASES]

/** What each case saw, by its name; a case that throws ends the run. */
const runCases = async (place: PostgresPlace, texts: Map<string, string>): Promise<Map<string, string>> => {
  const seen = new Map<string, string>()
  let ledger: TriedLedger | null = null
  for (const { name, run } of CASES) {
    const transcript = new Transcript()
    const bench = new PostgresBench(place, transcript, texts)
    ledger = new TriedLedger(bench, ledger)
    try {
      await run(bench, ledger)
    } catch (error) {
      transcript.note('case', 'threw', (error as Error).stack)
    }
    await bench.closeAll()
    seen.set(name, transcript.text)
  }
  return seen
}

describe('the simulated Postgres and the real one', () => {
  let ledger: LedgerFixture
  let real: Map<string, string>
  let simulated: Map<string, string>
  const texts = new Map<string, string>()

  beforeAll(async () => {
    const configuration = testConfiguration('conformance')
    ledger = await LedgerFixture.create(configuration)
    const { place, head, close } = await realPostgres(ledger, configuration)
    real = await runCases(place, texts)
    await close()
    simulated = await inSimulation((scheduler, process) =>
      runCases(simulatedPostgres(scheduler, process, head), new Map()),
    )
  })
  afterAll(() => ledger.close())

  test.each(CASES.map(({ name }) => name))('%s', (name) => {
    expect(real.get(name)).not.toContain('threw: ')
    expect(simulated.get(name)).toBe(real.get(name))
  })

  test('every statement that the simulation knows is among them', () => {
    const missing = STATEMENT_NAMES.filter((name) => !texts.has(name))
    expect(missing).toEqual([])
  })
})
