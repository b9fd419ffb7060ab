/** A long time at 70 % of capacity: whether rate, memory, latency or tables drift. */
import { OperatingError } from '#platform/errors.ts'
import { processFigures } from '../engine-figures.ts'
import type { BenchLedger, Lab } from '../lab.ts'
import { LatencyHistogram, type LatencySummary } from '../latency-histogram.ts'
import type { Detail, Measurement } from '../measure.ts'
import { OpenLoop, SentLog } from '../open-loop.ts'
import { significant } from '../statistics.ts'
import { bloatOf } from '../table-sizes.ts'
import { watchCommits } from '../watches.ts'
import { expectRight, openLedger, planFor, startEngine, until, untilPublished } from './engine.ts'

const LOAD_SHARE = 0.7
const QUARTERS = ['first', 'second', 'third', 'fourth'] as const

/** The value is the 99th percentile until committed in the last quarter, ms. */
export const measureSoak = (lab: Lab): Promise<Measurement> => {
  const ratePerSecond = lab.measured('throughput').value * LOAD_SHARE
  const quarterSeconds = (lab.extent.soakMinutes * 60) / QUARTERS.length
  return lab.withLedger({}, async (ledger) => {
    const transfers = Math.ceil(ratePerSecond * quarterSeconds) * QUARTERS.length
    const plan = await planFor(lab, ledger, { transfers })
    startEngine(ledger, 1)
    await openLedger(lab, ledger, plan)
    const log = new SentLog()
    let committed = new LatencyHistogram()
    const commits = watchCommits(ledger, log, (transfer, atMs) =>
      committed.record(atMs - log.dueMs[transfer]!),
    )
    const loop = new OpenLoop({
      publisher: ledger.publisher,
      records: plan.records()[Symbol.iterator](),
      log,
      signal: lab.signal,
    })
    const quarters: Record<string, Detail> = {}
    let last: LatencySummary | null = null
    for (const name of QUARTERS) {
      committed = new LatencyHistogram()
      const counted = committed
      const startMs = performance.now()
      const { first, next } = await loop.run(ratePerSecond, quarterSeconds)
      await until(lab, ledger, async () => counted.samples >= next - first)
      last = counted.summary()
      quarters[name] = {
        applied_per_s: significant((next - first) / ((performance.now() - startMs) / 1_000)),
        committed_ms: last as unknown as Detail,
        rss_mib: memoryOf(ledger),
        accounts: (await bloatOf(ledger.pool)) as unknown as Detail,
      }
      lab.progress(`${name} quarter: p99 ${last?.p99} ms`)
    }
    await commits.stop()
    await untilPublished(lab, ledger)
    if (log.dueMs.length === plan.transactions) await expectRight(ledger, plan.expectation)
    if (last === null) throw new OperatingError('bench_too_short', 'nothing was sent in the last quarter')
    return { value: last.p99, details: { load_per_s: significant(ratePerSecond), quarters } }
  })
}

const memoryOf = ({ engines }: BenchLedger): Detail =>
  Object.fromEntries(
    engines.running.map(({ roles, pid }) => [roles?.split(',')[0] ?? 'all', processFigures(pid).rssMib]),
  )
