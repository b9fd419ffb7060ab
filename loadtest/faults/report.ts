/** What a run found: one object for machines, a page for people. */
import type { Category } from './checks/rules.ts'
import type { Findings } from './findings.ts'
import type { Gaps } from './progress-watch.ts'
import type { TakeoverSummary } from './takeover.ts'

export interface TimedFault extends Gaps {
  readonly name: string
  readonly target: string
  readonly atSeconds: number
}

export interface FaultReport {
  readonly seed: number
  readonly transactions: number
  readonly faults: number
  /** On the topic `transactions`: copies and retries of the producer are records too. */
  readonly records: number
  readonly decisions: Readonly<Record<string, number>>
  readonly deadLetters: number
  readonly batches: bigint
  readonly streamSeconds: number
  /** From the last record sent to the last one applied and published. */
  readonly drainSeconds: number
  readonly sumDrift: Readonly<Record<string, bigint>>
  /** Until the first of the dead owner's partitions went on. */
  readonly takeover: TakeoverSummary
  /** Until the last of them went on. */
  readonly takeoverOfAll: TakeoverSummary
  /** Owners that were hit and whose takeover isn't measured: how many, by what became of them (takeover.ts). */
  readonly unmeasured: Readonly<Record<string, number>>
  /** The slowest of them, in words. */
  readonly slowestTakeovers: readonly string[]
  /** How long each process took that was asked to end, ms. */
  readonly stopsMs: readonly number[]
  /** Of processes that a fault kept from starting. */
  readonly restarts: number
  readonly balanceReads: {
    readonly cached: number
    readonly uncached: number
    /** Of them, those that Redis couldn't be told of. */
    readonly untold: number
    readonly failed: number
  }
  readonly faultList: readonly TimedFault[]
  readonly findings: Findings
}

const CATEGORIES: readonly Category[] = [
  'lost',
  'duplicated',
  'unaccounted',
  'fold_mismatches',
  'redis_mismatches',
  'outputs_missing',
  'outputs_repeated',
  'order_violations',
  'offset_regressions',
  'old_epoch_commits',
  'limits_broken',
]

/** The one object of `--json`: counts of what is wrong, and takeover times. */
export const summaryJson = (report: FaultReport): Record<string, unknown> => {
  const { findings, takeover } = report
  const count = (category: Category) => [category, findings.wrongIn(category)] as const
  const [lost, duplicated, unaccounted, ...rest] = CATEGORIES.map(count)
  const sumDrift = Object.entries(report.sumDrift).map(([currency, minor]) => [currency, String(minor)])
  return {
    seed: report.seed,
    transactions: report.transactions,
    faults: report.faults,
    ...Object.fromEntries([lost!, duplicated!, unaccounted!]),
    sum_drift: Object.fromEntries(sumDrift),
    ...Object.fromEntries(rest),
    takeover_ms: takeover,
  }
}

/** Whether nothing is wrong. */
export const hasPassed = ({ findings, sumDrift }: FaultReport): boolean =>
  findings.passed && Object.values(sumDrift).every((minor) => minor === 0n)

/** What is wrong, once more where one looks first. */
const brokenText = (findings: Findings): string =>
  findings.all
    .filter(({ examined, wrong }) => examined === 0 || wrong > 0)
    .map(({ rule, examined, wrong, examples }) => `${rule} (${wrong} of ${examined}): ${examples.join('; ')}`)
    .join('\n  ')

/** The report as a person reads it. */
export const reportText = (report: FaultReport): string => {
  const { findings, faultList, balanceReads, takeover, takeoverOfAll, unmeasured } = report
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1).padStart(5)} s`
  const decisions = Object.entries(report.decisions).map(([status, count]) => `${count} ${status}`)
  return [
    `seed ${report.seed}: ${report.transactions} transactions, ${report.records} records in ${report.streamSeconds} s, drained after ${report.drainSeconds} s, ${report.batches} batches`,
    `${decisions.join(', ')}, ${report.deadLetters} dead letters`,
    'faults; longest stand-still of commits, of a partition, of publishing around each:',
    ...faultList.map(
      (fault) =>
        `  ${String(fault.atSeconds).padStart(6)} s  ${seconds(fault.commitsMs)} ${seconds(fault.partitionMs)} ${seconds(fault.publishedMs)}  ${fault.name}: ${fault.target}`,
    ),
    `takeover, from the owner's last commit to the next on its partitions (${takeover.samples} owners):`,
    `  first partition: p50 ${takeover.p50} ms, p99 ${takeover.p99} ms, max ${takeover.max} ms`,
    `  all partitions:  p50 ${takeoverOfAll.p50} ms, p99 ${takeoverOfAll.p99} ms, max ${takeoverOfAll.max} ms`,
    `  not measured: ${Object.entries(unmeasured)
      .map(([why, count]) => `${count} ${why}`)
      .join(', ')}`,
    ...report.slowestTakeovers.map((text) => `  ${text}`),
    `stops took ${report.stopsMs.join(', ')} ms; ${report.restarts} starts were tried again`,
    `balances read meanwhile: ${balanceReads.cached} from Redis, ${balanceReads.uncached} from Postgres (${balanceReads.untold} of which Redis couldn't be told), ${balanceReads.failed} without an answer`,
    'checks (examined, wrong):',
    ...findings.all.flatMap(({ rule, examined, wrong, examples }) => [
      `  ${String(examined).padStart(8)} ${String(wrong).padStart(6)}  ${rule}`,
      ...examples.map((example) => `                     ${example}`),
    ]),
    `sums of all balances: ${Object.entries(report.sumDrift)
      .map(([currency, minor]) => `${currency} ${minor}`)
      .join(', ')}`,
    hasPassed(report) ? 'passed' : `FAILED: ${brokenText(findings)}`,
  ].join('\n')
}
