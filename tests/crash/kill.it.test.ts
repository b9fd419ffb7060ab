/** Nothing lost, nothing twice: engine processes are killed, frozen and stopped under load, and then everything is counted. */
import { expect, test } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { reportText, runKills } from './kill-run.ts'

const TRANSACTIONS = 20_000
const KILLS = 10
/** Three seconds from one fault to the next: time to take over, and no more. */
const RATE = 480
const SEED = 20_260
/** A dead process' work is done by another within seconds; the machine of a test run is a busy one. */
const STAND_STILL_MAX_MS = 10_000

test('processors and publishers killed under load: every input applied once, every output out once', {
  timeout: 300_000,
}, async () => {
  const report = await runKills({
    configuration: testConfiguration('kills'),
    transactions: TRANSACTIONS,
    rate: RATE,
    kills: KILLS,
    seed: SEED,
  })
  process.stderr.write(`${reportText(report)}\n`)

  expect(report.endedByThemselves).toEqual([])
  expect(report.findings.filter(({ examined, wrong }) => examined === 0 || wrong > 0)).toEqual([])
  expect(report.passed).toBe(true)
  const { faults, worst } = report
  const count = (kind: string) => faults.filter((fault) => fault.kind === kind).length
  expect([count('kill'), count('zombie'), count('stop'), count('end-sessions')]).toEqual([KILLS, 2, 1, 1])
  expect(worst.commitsMs).toBeLessThan(STAND_STILL_MAX_MS)
  expect(worst.publishedMs).toBeLessThan(STAND_STILL_MAX_MS)
})
