/**
 * Two records of one account over 51 days (`statements/subite-series` of the test data): each day's transactions in a camt.054 against the
 * day's total in a camt.052, which is no booked balance but the difference of the bank's INFO and OPAV balances. Days agree or break
 * exactly as a sum over the files' own text says, which knows nothing of the parsers and the matcher.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseStatementFile } from '#connectors/statements/parse-file.ts'
import { itemsOfLine } from '#domain/matching/from-statement.ts'
import { type MatchItem, NO_REFERENCES } from '#domain/matching/item.ts'
import { pairSettings } from '#domain/matching/pair.ts'
import { PairState } from '#domain/reconciliation/pair-state.ts'
import { testDataFolder } from '#platform/config/environment.ts'

const folder = join(testDataFolder() ?? '', 'statements', 'subite-series')
const hasData = testDataFolder() !== undefined && existsSync(folder)
const ACCOUNT = 'LT809872649478701594'
const DAY_MS = 86_400_000
const GROUP_MAX = 1_000
const settings = pairSettings()

interface Day {
  readonly date: string
  readonly number: number
  /** Transactions as the parser reads them. */
  readonly transactions: readonly MatchItem[]
  /** Minor units; null = no total. */
  readonly totalMinor: bigint | null
  /** Sum of the transactions as they stand in the text. */
  readonly sumMinor: bigint
}

const minorOf = (text: string, isCredit: boolean): bigint => {
  const [whole, fraction = ''] = text.split('.')
  const minor = BigInt(`${whole}${fraction.padEnd(2, '0')}`)
  return isCredit ? minor : -minor
}

const AMOUNT = '<Amt Ccy="EUR">([\\d.]+)</Amt><CdtDbtInd>(CRDT|DBIT)</CdtDbtInd>'

function sumOfText(xml: string): bigint {
  const details = [...xml.matchAll(new RegExp(`<TxDtls>(?:(?!<Amt).)*${AMOUNT}`, 'gs'))]
  return details.reduce((sum, [, amount, sign]) => sum + minorOf(amount!, sign === 'CRDT'), 0n)
}

function totalOfText(xml: string): bigint | null {
  const balances = new Map(
    [...xml.matchAll(new RegExp(`<Cd>(OPAV|INFO)</Cd></CdOrPrtry></Tp>${AMOUNT}`, 'g'))].map(
      ([, code, amount, sign]) => [code, minorOf(amount!, sign === 'CRDT')],
    ),
  )
  const [opening, closing] = [balances.get('OPAV'), balances.get('INFO')]
  return opening === undefined || closing === undefined ? null : closing - opening
}

async function readDay(date: string): Promise<Day> {
  const number = Date.parse(date) / DAY_MS
  const path = (message: string) => join(folder, `${ACCOUNT}_CAMT_${message}_${date}.xml`)
  const parsed = await parseStatementFile(path('054'), {
    collectLines: true,
    mapping: null,
    signal: new AbortController().signal,
  })
  expect(parsed.error).toBeNull()
  const transactions = parsed.statements.flatMap(({ id, lines }) =>
    lines!.flatMap((line, at) => {
      const origin = {
        statementKey: `${date}:${id}`,
        ordinal: at + 1,
        account: ACCOUNT,
        currency: 'EUR',
        date,
        provenance: path('054'),
      }
      // A notification says of its entries that they are for information; here they are one of the two records.
      const { items, refusal } = itemsOfLine({ ...line, status: 'booked' }, origin, true)
      expect(refusal).toBeNull()
      return items.map((item): MatchItem => ({ ...item, ...sided('ledger', number, date) }))
    }),
  )
  const total = existsSync(path('052')) ? totalOfText(readFileSync(path('052'), 'utf8')) : null
  return {
    date,
    number,
    transactions,
    totalMinor: total,
    sumMinor: sumOfText(readFileSync(path('054'), 'utf8')),
  }
}

const sided = (side: 'ledger' | 'bank', day: number, date: string) =>
  ({ side, bookingDay: day, valueDay: day, groupKey: `DAY${date}`, references: NO_REFERENCES }) as const

const totalItem = ({ number, date, totalMinor }: Day): MatchItem[] =>
  totalMinor === null || totalMinor === 0n
    ? []
    : [
        {
          ...sided('bank', number, date),
          id: `total:${date}`,
          account: ACCOUNT,
          currency: 'EUR',
          amountMinor: totalMinor,
          original: null,
          counterpartyAccount: null,
          remittance: null,
          isReturn: false,
          provenance: `camt.052 of ${date}`,
        },
      ]

/** Only by day: single payments aren't compared with totals. */
const byDay = {
  ...settings,
  passes: settings.passes
    .filter(({ name }) => name === 'group:key')
    .map((pass) => ({ ...pass, groupMax: GROUP_MAX })),
}

/** Dates whose transactions and total were matched as a whole, and dates with an open break. */
function reconcile(days: readonly Day[], items: readonly MatchItem[]): { agree: string[]; broken: string[] } {
  const state = new PairState(byDay)
  const nowMs = days.at(-1)!.number * DAY_MS
  state.apply({ items: [...items, ...days.flatMap(totalItem)], statements: [], commands: [], nowMs })
  const dateOf = (id: string) => /\d{4}-\d{2}-\d{2}/.exec(id)![0]
  const agree = state.matches().map(({ ledger, bank }) => {
    const dates = new Set([...ledger, ...bank].map(dateOf))
    expect(dates.size).toBe(1)
    return [...dates][0]!
  })
  const open = [...state.breaks()].flatMap(([id, { status }]) => (status === 'closed' ? [] : [dateOf(id)]))
  return { agree: agree.sort(), broken: [...new Set(open)].sort() }
}

describe.skipIf(!hasData)('a day of transactions and its total', () => {
  const dates = hasData
    ? readdirSync(folder)
        .filter((name) => name.startsWith(`${ACCOUNT}_CAMT_054_`))
        .map((name) => name.slice(-14, -4))
        .sort()
    : []

  test('agree where the sum over the text says so, and break where it does not', {
    timeout: 60_000,
  }, async () => {
    const days = await Promise.all(dates.map(readDay))
    const active = days.filter(({ transactions, totalMinor }) => transactions.length > 0 || totalMinor)
    const equal = active.filter(({ sumMinor, totalMinor }) => sumMinor === totalMinor).map(({ date }) => date)
    const unequal = active
      .filter(({ sumMinor, totalMinor }) => sumMinor !== totalMinor)
      .map(({ date }) => date)
    const items = days.flatMap(({ transactions }) => transactions)
    expect(items.length).toBeGreaterThan(4_000)
    expect(equal.length).toBeGreaterThan(40)
    expect(reconcile(days, items)).toEqual({ agree: equal, broken: unequal })

    // Every other day loses a transaction, or one of its amounts is a cent off: those days break, and no others.
    const spoiled = new Set(equal.filter((_date, at) => at % 2 === 0))
    const changed = days.flatMap(({ date, transactions }, at) => {
      if (!spoiled.has(date)) return transactions
      if (at % 4 === 0) return transactions.slice(1)
      const [first, ...rest] = transactions as [MatchItem, ...MatchItem[]]
      return [{ ...first, amountMinor: first.amountMinor + 1n }, ...rest]
    })
    expect(reconcile(days, changed)).toEqual({
      agree: equal.filter((date) => !spoiled.has(date)),
      broken: [...unequal, ...spoiled].sort(),
    })
  })
})
