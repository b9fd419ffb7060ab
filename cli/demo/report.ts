/** What the demo tells a person at the end. */
import type { ReasonCode } from '#domain/transactions/outcomes.ts'
import type { FraudFindings } from './fraud.ts'
import type { LatencySummary } from './latency.ts'

export interface DemoReport {
  /** Whether every check held. */
  readonly ok: boolean
  readonly transactions: number
  /** By status, `rejected:reason` and `dead:reason`; as the independent model expects, and checked. Their sum is `transactions`. */
  readonly outcomes: Readonly<Record<string, number>>
  /** Transactions before those, which gave the accounts their money. */
  readonly funding: number
  /** Decisions that followed without a record of the run: by status, for example `expired`. */
  readonly followUps: Readonly<Record<string, number>>
  /** What fraud rules found in the run's transactions. */
  readonly fraud: FraudFindings
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

/** What the ledger's words mean to somebody who sees them for the first time. */
const STATUS_WORDS: Readonly<Record<string, string>> = {
  applied: 'money has moved: payments, captures, reversals, exchanges',
  authorized: 'money is reserved, until it is captured, voided or expires',
  voided: 'a reservation was given back',
  held: 'a fraud rule wants a person to look; the money is reserved meanwhile',
  duplicate: 'sent again with the same id and content: no effect',
  expired: 'a reservation that nobody captured in time has ended',
  declined: 'a reviewer refused a held transaction',
}

/** Reasons by what they are about, in the order of precedence. */
export const REASON_GROUPS: Readonly<Record<string, readonly ReasonCode[]>> = {
  'the record itself': [
    'id_invalid',
    'card_number_refused',
    'kind_unknown',
    'field_too_long',
    'postings_count',
    'amount_not_positive',
    'amount_too_large',
    'currency_unknown',
    'same_account',
    'parent_required',
    'parent_not_allowed',
    'country_invalid',
    'uetr_invalid',
    'time_in_future',
    'too_old',
    'too_large',
    'id_conflict',
  ],
  'accounts and cards': [
    'unknown_account',
    'currency_mismatch',
    'exchange_invalid',
    'account_closed',
    'account_frozen',
    'card_unknown',
    'card_account_mismatch',
    'card_blocked',
    'card_expired',
    'card_limit_exceeded',
  ],
  'what it refers to': [
    'parent_unknown',
    'parent_too_old',
    'parent_not_authorized',
    'parent_not_posted',
    'parent_closed',
    'posting_not_in_parent',
    'capture_exceeds_authorization',
    'reversal_exceeds_posted',
  ],
  'fraud rules': ['fraud_rejected'],
  money: ['insufficient_funds', 'balance_overflow'],
}

const LINE_WIDTH = 118
const INDENT = 34

/** Words behind an indent, on as many lines as they need. */
function wrapped(words: readonly string[]): string {
  const lines: string[] = []
  for (const word of words) {
    const line = lines.at(-1)
    if (line !== undefined && INDENT + line.length + word.length + 2 <= LINE_WIDTH) {
      lines[lines.length - 1] = `${line}, ${word}`
    } else lines.push(word)
  }
  return lines.join(`,\n${' '.repeat(INDENT)}`)
}

const total = (counts: readonly (readonly [string, number])[]): number =>
  counts.reduce((sum, [, number]) => sum + number, 0)

const listed = (counts: readonly (readonly [string, number])[]): string =>
  wrapped(counts.toSorted((a, b) => b[1] - a[1]).map(([name, number]) => `${name} ${count(number)}`))

const line = (number: number, name: string, words: string): string =>
  `${count(number).padStart(9)}  ${name.padEnd(INDENT - 13)}  ${words}`

/** The outcomes, each transaction once: accepted by status, rejected by group of reasons, unreadable by reason. */
function outcomeLines(outcomes: DemoReport['outcomes']): string[] {
  const some = Object.entries(outcomes).filter(([, number]) => number > 0)
  const under = (prefix: string) =>
    some
      .filter(([name]) => name.startsWith(`${prefix}:`))
      .map(([name, number]) => [name.slice(prefix.length + 1), number] as const)
  const accepted = some.filter(([name]) => !name.includes(':')).toSorted((a, b) => b[1] - a[1])
  const [rejected, dead] = [under('rejected'), under('dead')]
  const known = new Set<string>(Object.values(REASON_GROUPS).flat())
  const groups = [
    ...Object.entries(REASON_GROUPS).map(([title, reasons]) => {
      const names = new Set<string>(reasons)
      return [title, rejected.filter(([name]) => names.has(name))] as const
    }),
    ['other', rejected.filter(([name]) => !known.has(name))] as const,
  ].filter(([, reasons]) => reasons.length > 0)
  return [
    `accepted: ${count(total(accepted))}`,
    ...accepted.map(([name, number]) => line(number, name, STATUS_WORDS[name] ?? '')),
    `rejected: ${count(total(rejected))}, every bad case mixed in on purpose; by what is wrong, each with its reasons`,
    ...groups.map(([title, reasons]) => line(total(reasons), title, listed(reasons))),
    ...(dead.length === 0 ? [] : [`could not be read: ${count(total(dead))}`]),
    ...(dead.length === 0 ? [] : [line(total(dead), 'dead letters', listed(dead))]),
  ]
}

/** What came without a record of its own: it isn't among the transactions above. */
function followUpLines(followUps: DemoReport['followUps']): string[] {
  const some = Object.entries(followUps).filter(([, number]) => number > 0)
  if (some.length === 0) return []
  return [
    `decided afterwards, by time or by a reviewer, about transactions counted above: ${count(total(some))}`,
    ...some.map(([name, number]) => line(number, name, STATUS_WORDS[name] ?? '')),
  ]
}

const ACTION_WORDS: Readonly<Record<string, string>> = {
  alert: 'alert: only told',
  hold: 'hold: for a reviewer',
  reject: 'reject',
}

/** What fraud rules did, and which of them asked for it; several may speak of one transaction. */
function fraudLines({ actions, rules }: FraudFindings): string[] {
  const acted = total(Object.entries(actions))
  if (acted === 0) return []
  const by = (action: string) =>
    rules.filter((rule) => rule.action === action).map(({ ruleId, count }) => [ruleId, count] as const)
  return [
    `fraud rules spoke of ${count(acted)} of them, each explained in GET /fraud/alerts; below the rules that asked for it`,
    ...Object.keys(ACTION_WORDS)
      .filter((action) => actions[action] !== undefined)
      .map((action) => line(actions[action]!, ACTION_WORDS[action]!, listed(by(action)))),
  ]
}

/** The summary as text. */
export const reportText = (report: DemoReport, options: { readonly staysUp: boolean }): string => {
  const sumsHold = report.sums.every(({ sum }) => Number(sum) === 0)
  return [
    '',
    `${count(report.transactions)} transactions, ${count(report.perSecond)} a second; ready after ${(report.firstAppliedMs / 1_000).toFixed(1)} s`,
    `a payment over HTTP and its outcome: ${report.latency.p50Ms.toFixed(0)} ms (99 %: ${report.latency.p99Ms.toFixed(0)} ms; ${report.latency.samples} more transactions, one after another, behind the stream)`,
    '',
    `each of the ${count(report.transactions)} counts once below, by what the ledger made of it when it came (${count(report.funding)} more funded the accounts before)`,
    ...outcomeLines(report.outcomes),
    ...followUpLines(report.followUps),
    ...fraudLines(report.fraud),
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
