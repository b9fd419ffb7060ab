/** What a replay hands over: one JSON document and one page that says the same. */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatMinorAmount } from '#domain/money/amount.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import type { Difference } from './differences.ts'
import type { LedgerMemory } from './ledger-memory.ts'

/** Sum of the balances of one class of accounts, minor units as decimal strings. */
export interface ClassSum {
  readonly currency: string
  readonly accountClass: string
  readonly accounts: number
  readonly posted: string
  readonly reserved: string
}

export interface ReplayReport {
  readonly report: 'replay'
  readonly version: 1
  readonly ledger: string
  /** First and last batch. */
  readonly from: string
  readonly to: string
  /** Where the state at the beginning came from: `genesis`, or the batch of a verified checkpoint. */
  readonly began: string
  /** Hash of the last batch. */
  readonly chain: string
  readonly batches: number
  readonly records: number
  readonly transactions: number
  readonly outcomes: Readonly<Record<string, number>>
  readonly sums: readonly ClassSum[]
  readonly digest: string
  readonly differences: number
  /** The first of them. */
  readonly listed: readonly Difference[]
  readonly seconds: number
  readonly ratePerSecond: number
  readonly startedAt: string
  readonly finishedAt: string
  /** Who let it run. */
  readonly actor: string
}

/** By currency and class, in alphabetical order. */
export const sumsOf = (memory: LedgerMemory): ClassSum[] => {
  const sums = new Map<string, { accounts: number; posted: bigint; reserved: bigint }>()
  for (const { currency, accountClass, posted, reserved } of memory.accountsInOrder()) {
    const name = `${currency} ${accountClass}`
    const sum = sums.get(name) ?? { accounts: 0, posted: 0n, reserved: 0n }
    sums.set(name, {
      accounts: sum.accounts + 1,
      posted: sum.posted + posted,
      reserved: sum.reserved + reserved,
    })
  }
  return [...sums]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { accounts, posted, reserved }]) => {
      const [currency, accountClass] = name.split(' ') as [string, string]
      return { currency, accountClass, accounts, posted: String(posted), reserved: String(reserved) }
    })
}

/** Writes `replay-<from>-<to>.json` and `.md`. @returns where the page is */
export const writeReport = async (folder: string, report: ReplayReport): Promise<string> => {
  await mkdir(folder, { recursive: true })
  const base = join(folder, `replay-${report.ledger}-${report.from}-${report.to}`)
  const json = `${JSON.stringify(report, null, 2)}\n`
  const seal = createHash('sha256').update(json).digest('hex')
  await writeFile(`${base}.json`, json)
  await writeFile(`${base}.md`, pageOf(report, seal))
  return `${base}.md`
}

/** The page. @param seal SHA-256 of the JSON document */
export const pageOf = (report: ReplayReport, seal: string): string => {
  const verdict =
    report.differences === 0
      ? 'Every batch has the hash that the replay gives. No differences.'
      : `**${report.differences} differences.**`
  return `${[
    `# Replay of ledger ${report.ledger}, batches ${report.from} to ${report.to}`,
    verdict,
    rows(
      ['', ''],
      [
        [
          'began with',
          report.began === 'genesis' ? 'the genesis' : `the checkpoint of batch ${report.began}`,
        ],
        ['batches', grouped(report.batches)],
        ['records', grouped(report.records)],
        ['transactions', grouped(report.transactions)],
        ['hash of the last batch', report.chain],
        ['digest of entries and balances', report.digest],
        ['rate', `${grouped(report.ratePerSecond)} transactions/s (${report.seconds} s)`],
        ['from, to (wall clock)', `${report.startedAt}, ${report.finishedAt}`],
      ],
    ),
    '## Outcomes',
    rows(
      ['outcome', 'decisions'],
      Object.entries(report.outcomes)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, count]) => [name, grouped(count)]),
    ),
    '## Sums by currency and class of accounts',
    rows(
      ['currency', 'class', 'accounts', 'posted (credits less debits)', 'reserved'],
      [...report.sums, ...totalsOf(report.sums)].map((sum) => [
        sum.currency,
        sum.accountClass,
        grouped(sum.accounts),
        amount(sum.posted, sum.currency),
        amount(sum.reserved, sum.currency),
      ]),
    ),
    ...differencesPart(report),
    '## Signed off',
    `Run by ${report.actor}, ${report.finishedAt}. SHA-256 of the JSON document beside this page: \`${seal}\`.`,
  ].join('\n\n')}\n`
}

const differencesPart = ({ differences, listed }: ReplayReport): string[] => {
  if (differences === 0) return []
  const shown = listed.map((each) => [
    each.batch,
    each.kind,
    each.topic === null ? '' : `${each.topic}:${each.partition}:${each.offset}`,
    each.subject,
    JSON.stringify(each.stored),
    JSON.stringify(each.replayed),
  ])
  const more = differences > listed.length ? [`The first ${listed.length} of ${differences}.`] : []
  return [
    '## Differences',
    ...more,
    rows(['batch', 'where', 'topic:partition:offset', 'what', 'stored', 'replayed'], shown),
  ]
}

/** Each currency's sum over all classes: zero, where every posting was made whole. */
const totalsOf = (sums: readonly ClassSum[]): ClassSum[] => {
  const currencies = [...new Set(sums.map(({ currency }) => currency))]
  return currencies.map((currency) => {
    const own = sums.filter((sum) => sum.currency === currency)
    const total = (field: 'posted' | 'reserved') =>
      String(own.reduce((sum, each) => sum + BigInt(each[field]), 0n))
    return {
      currency,
      accountClass: 'all',
      accounts: own.reduce((sum, { accounts }) => sum + accounts, 0),
      posted: total('posted'),
      reserved: total('reserved'),
    }
  })
}

const amount = (minor: string, currency: string): string =>
  formatMinorAmount(BigInt(minor), currencyByCode(currency)?.exponent ?? 0)

const grouped = (count: number): string => count.toLocaleString('en')

/** A table; what could end a cell is escaped. */
const rows = (heading: readonly string[], body: readonly (readonly string[])[]): string => {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replace(/\s+/g, ' ')).join(' | ')} |`
  return [line(heading), line(heading.map(() => '---')), ...body.map(line)].join('\n')
}
