/**
 * Latency under open-loop load at 10, 50 and 80 % of what the engine was measured to do: from the moment at which a transfer is due until
 * it is committed, its decision readable, and a balance visible over HTTP.
 */
import type { AccountChange } from '#domain/transactions/command.ts'
import { OperatingError } from '#platform/errors.ts'
import { ACTOR, type GeneratedRecord } from '../../generator/records.ts'
import type { BenchLedger, Lab } from '../lab.ts'
import { LatencyHistogram } from '../latency-histogram.ts'
import type { Detail, Measurement } from '../measure.ts'
import { OpenLoop, SentLog } from '../open-loop.ts'
import { serveApi } from '../served.ts'
import { significant } from '../statistics.ts'
import { probesIn, type Watch, watchBalances, watchCommits, watchOutputs } from '../watches.ts'
import { openLedger, planFor, publishingOn, startEngine, until, untilPublished } from './engine.ts'

const LEVELS = [0.1, 0.5, 0.8] as const
/** The level that the result speaks of. */
const NAMED_LEVEL = 0.5
/** Before each level, at its rate: what is compiled late and what is left of the level before don't count. */
const WARM_UP_SECONDS = 2

/** Needs the throughput of this run. The value is what a client waits for at half load: the balance, p50. */
export const measureLatency = (lab: Lab): Promise<Measurement> => {
  const capacity = lab.measured('throughput').value
  return lab.withLedger({}, async (ledger) => {
    const { seconds } = lab.extent
    const perSecond = LEVELS.reduce((sum, level) => sum + level, 0) * capacity
    const transfers = Math.ceil(perSecond * (seconds + WARM_UP_SECONDS)) + LEVELS.length * 2
    const plan = await planFor(lab, ledger, { transfers })
    startEngine(ledger, 1)
    await openLedger(lab, ledger, plan)
    const probes = probeAccounts(plan.run, LEVELS.length * (probesIn(seconds) + 1))
    await publishingOn(lab, ledger).awaitApplied(await ledger.publisher.accounts(probes))
    await untilPublished(lab, ledger)
    const api = await serveApi(ledger.configuration)
    const run = await LatencyRun.open(lab, ledger, {
      run: plan.run,
      apiUrl: api.url,
      records: plan.records(),
    })
    try {
      const levels = new Map<number, Level>()
      for (const level of LEVELS) {
        const accounts = probes.splice(0, probesIn(seconds)).map(({ accountId }) => accountId)
        levels.set(level, await run.level(level * capacity, accounts))
        lab.progress(`at ${level * 100} %: ${shown(levels.get(level)!)}`)
      }
      const named = levels.get(NAMED_LEVEL)!
      if (named.visible === null) throw new OperatingError('bench_too_short', 'no balance was asked for')
      return {
        value: named.visible.p50,
        details: {
          ...(named as unknown as Record<string, Detail>),
          at_10: levels.get(0.1) as unknown as Detail,
          at_80: levels.get(0.8) as unknown as Detail,
        },
      }
    } finally {
      await run.close()
      await api.stop()
    }
  })
}

type Summary = ReturnType<LatencyHistogram['summary']>

interface Level {
  readonly rate_per_s: number
  readonly committed: Summary
  readonly readable: Summary
  readonly visible: Summary
}

const shown = ({ rate_per_s: rate, committed, readable, visible }: Level): string =>
  [
    `${rate}/s`,
    ...Object.entries({ committed, readable, visible }).map(
      ([name, each]) => `${name} p50 ${each?.p50} ms p99 ${each?.p99} ms`,
    ),
  ].join('; ')

/** No limit, so that nothing needs to be paid in; the first one pays. */
const probeAccounts = (run: string, count: number): AccountChange[] =>
  Array.from({ length: count }, (_, place) => ({
    action: 'open',
    accountId: `probe:${run}-${place}`,
    currency: 'USD',
    accountClass: 'customer',
    normalSide: 'credit',
    limited: false,
    overdraftLimit: 0n,
    reversalMayOverdraw: false,
    actor: ACTOR,
    occurredAt: Date.now() - 60_000,
  }))

/** What is counted now. */
interface Counting {
  /** Transfers below are of a warm-up or an earlier level. */
  first: number
  readonly committed: LatencyHistogram
  readonly readable: LatencyHistogram
}

class LatencyRun {
  readonly #lab: Lab
  readonly #ledger: BenchLedger
  readonly #options: { run: string; apiUrl: string }
  readonly #log: SentLog
  readonly #loop: OpenLoop
  readonly #watches: Watch[] = []
  #counting: Counting = nothingCounted()

  private constructor(lab: Lab, ledger: BenchLedger, options: LatencyRunOptions) {
    this.#lab = lab
    this.#ledger = ledger
    this.#options = options
    this.#log = new SentLog()
    this.#loop = new OpenLoop({
      publisher: ledger.publisher,
      records: options.records[Symbol.iterator](),
      log: this.#log,
      signal: lab.signal,
    })
  }

  static async open(lab: Lab, ledger: BenchLedger, options: LatencyRunOptions): Promise<LatencyRun> {
    const run = new LatencyRun(lab, ledger, options)
    const into = (which: 'committed' | 'readable') => (transfer: number, atMs: number) => {
      if (transfer >= run.#counting.first) run.#counting[which].record(atMs - run.#log.dueMs[transfer]!)
    }
    run.#watches.push(watchCommits(ledger, run.#log, into('committed')))
    run.#watches.push(await watchOutputs(ledger, options.run, into('readable')))
    return run
  }

  async close(): Promise<void> {
    await Promise.all(this.#watches.map((watch) => watch.stop()))
  }

  /** One rate, after a warm-up at the same. @throws OperatingError `bench_wrong_result` where a decision was read twice */
  async level(ratePerSecond: number, accounts: readonly string[]): Promise<Level> {
    const { seconds } = this.#lab.extent
    const { run, apiUrl } = this.#options
    await this.#loop.run(ratePerSecond, WARM_UP_SECONDS)
    const { committed, readable } = this.#count()
    const visible = new LatencyHistogram()
    const balances = watchBalances(this.#ledger, {
      apiUrl,
      run,
      from: `external:${run}-USD`,
      accounts,
      onSeen: (ms) => visible.record(ms),
    })
    const { first, next } = await this.#loop.run(ratePerSecond, seconds)
    await balances.stop()
    const sent = next - first
    await until(this.#lab, this.#ledger, async () => committed.samples >= sent && readable.samples >= sent)
    if (readable.samples !== sent) {
      const message = `${sent} transfers sent, ${readable.samples} decisions read`
      throw new OperatingError('bench_wrong_result', message)
    }
    return {
      rate_per_s: significant(ratePerSecond),
      committed: committed.summary(),
      readable: readable.summary(),
      visible: visible.summary(),
    }
  }

  /** From now on. */
  #count(): Counting {
    this.#counting = { ...nothingCounted(), first: this.#log.dueMs.length }
    return this.#counting
  }
}

interface LatencyRunOptions {
  readonly run: string
  readonly apiUrl: string
  readonly records: Iterable<GeneratedRecord>
}

const nothingCounted = (): Counting => ({
  first: Number.POSITIVE_INFINITY,
  committed: new LatencyHistogram(),
  readable: new LatencyHistogram(),
})
