/** What the demo tells a person at the end. */
import type { LatencySummary } from './latency.ts'

export interface DemoReport {
  /** Whether every check held. */
  readonly ok: boolean
  readonly transactions: number
  /** By status, `rejected:reason` and `dead:reason`; as the independent model expects, and checked. */
  readonly outcomes: Readonly<Record<string, number>>
  /** Transactions a second, from the first sent to the last applied. */
  readonly perSecond: number
  /** From the start of the command to accounts that are open and funded, ms. */
  readonly firstAppliedMs: number
  readonly latency: LatencySummary
  /** Sum of all balances by currency, major units. */
  readonly sums: readonly { readonly currency: string; readonly sum: string }[]
  readonly accounts: number
  readonly foldMismatches: number
  readonly servedAccounts: number
  readonly servedFromRedis: number
  readonly servedMismatches: number
  readonly modelDifferences: number
  readonly urls: Readonly<Record<'api' | 'docs' | 'metrics' | 'balance', string>>
}

const count = (number: number): string => number.toLocaleString('en')
const mark = (holds: boolean): string => (holds ? 'ok  ' : 'FAIL')

/** The summary as text. */
export const reportText = (report: DemoReport, options: { readonly staysUp: boolean }): string => {
  const outcomes = Object.entries(report.outcomes).filter(([, number]) => number > 0)
  const of = (test: (name: string) => boolean): string[] =>
    outcomes
      .filter(([name]) => test(name))
      .sort((a, b) => b[1] - a[1])
      .map(([name, number]) => `  ${count(number).padStart(9)}  ${name.replace(/^(rejected|dead):/, '')}`)
  const isRejected = (name: string) => name.startsWith('rejected')
  const isDead = (name: string) => name.startsWith('dead')
  const sumsHold = report.sums.every(({ sum }) => Number(sum) === 0)
  return [
    '',
    `${count(report.transactions)} transactions, ${count(report.perSecond)} a second; ready after ${(report.firstAppliedMs / 1_000).toFixed(1)} s`,
    `a payment over HTTP and its outcome: ${report.latency.p50Ms.toFixed(0)} ms (99 %: ${report.latency.p99Ms.toFixed(0)} ms; ${report.latency.samples} one after another, behind the stream)`,
    '',
    'accepted',
    ...of((name) => !isRejected(name) && !isDead(name)),
    'rejected, by reason',
    ...of(isRejected),
    'could not be read (dead letters), by reason',
    ...of(isDead),
    '',
    `${mark(sumsHold)}  the sum of all balances is 0 in ${report.sums.map(({ currency }) => currency).join(', ')}`,
    `${mark(report.foldMismatches === 0)}  balance = sum of its entries, for all ${count(report.accounts)} accounts of the ledger`,
    `${mark(report.servedMismatches === 0 && report.servedFromRedis > 0)}  balance by API = Postgres, for the ${count(report.servedAccounts)} accounts of this run (${count(report.servedFromRedis)} answered by Redis)`,
    `${mark(report.modelDifferences === 0)}  balances and outcomes = those of an independent model`,
    ...(options.staysUp ? addresses(report) : []),
  ].join('\n')
}

/** Addresses to try, as long as it stays up. */
const addresses = (report: DemoReport): string[] => [
  '',
  `API      ${report.urls.api}`,
  `OpenAPI  ${report.urls.docs}`,
  `metrics  ${report.urls.metrics}`,
  `try      curl ${report.urls.balance}`,
]
