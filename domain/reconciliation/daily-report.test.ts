/** The daily report: sums, ends of the day, and a proof that names what it can't explain. */
import { expect, test } from 'vitest'
import { parseDecimal } from '#domain/statements/decimal.ts'
import { type DayStatement, dailyReport, type ItemSum } from './daily-report.ts'

const sum = (given: Partial<ItemSum> & Pick<ItemSum, 'side' | 'state' | 'amountMinor'>): ItemSum => ({
  account: 'nostro',
  currency: 'EUR',
  isOfDay: true,
  pass: null,
  kind: null,
  ageDays: 0,
  items: 1,
  ...given,
})
const statement = (key: string, opening: string, closing: string): DayStatement => ({
  account: 'nostro',
  currency: 'EUR',
  key,
  opening: parseDecimal(opening, '.'),
  closing: parseDecimal(closing, '.'),
  proof: 'ok',
})
const matched = { state: 'matched', pass: 'amount:date' } as const
const sums = [
  sum({ side: 'ledger', ...matched, amountMinor: 1_000n, isOfDay: false }),
  sum({ side: 'bank', ...matched, amountMinor: 1_000n, isOfDay: false }),
  sum({ side: 'ledger', ...matched, amountMinor: 500n }),
  sum({ side: 'bank', ...matched, amountMinor: 490n }),
  sum({ side: 'ledger', state: 'transit', pass: 'group:key', amountMinor: 70n }),
  sum({ side: 'ledger', state: 'open', kind: 'timing', ageDays: 3, amountMinor: 25n, isOfDay: false }),
  sum({ side: 'bank', state: 'open', kind: 'fee', amountMinor: -5n }),
  sum({ side: 'bank', state: 'settled', amountMinor: 100n }),
]
const accepted = [{ account: 'nostro', currency: 'EUR', differenceMinor: 10n }]
const given = { pair: 'p', date: '2026-03-02', sums, accepted }

test('opening, moved, closing, matched and open, and the difference explained', () => {
  const [account] = dailyReport({ ...given, statements: [statement('s', '10.00', '15.85')] }).accounts
  expect(account).toEqual({
    account: 'nostro',
    currency: 'EUR',
    ledger: { opening: '10.25', moved: '5.70', items: 2, closing: '15.95' },
    bank: { opening: '10.00', moved: '5.85', items: 3, closing: '15.85' },
    statement: { opening: '10.00', closing: '15.85' },
    matched: [
      { pass: 'amount:date', items: 2, amount: '9.90' },
      { pass: 'group:key', items: 1, amount: '0.70' },
    ],
    open: [
      { side: 'bank', kind: 'fee', age: '0-1', items: 1, amount: '-0.05' },
      { side: 'ledger', kind: 'timing', age: '2-5', items: 1, amount: '0.25' },
    ],
    proof: {
      difference: '0.10',
      open: '0.30',
      transit: '0.70',
      settled: '-1.00',
      accepted: '0.10',
      unexplained: '0.00',
      isExplained: true,
      statement: 'ok',
    },
  })
})

test('what the parts do not add up to is unexplained', () => {
  const [account] = dailyReport({ ...given, accepted: [], statements: [] }).accounts
  expect(account!.proof).toMatchObject({ unexplained: '0.10', isExplained: false, statement: 'n/a' })
})

test.each([
  ['lines that do not carry the opening to the closing', [statement('s', '10.00', '15.80')], 'mismatch'],
  [
    'a statement wrong in itself',
    [{ ...statement('s', '10.00', '15.85'), proof: 'mismatch' as const }],
    'mismatch',
  ],
  [
    'several of a day, in any order',
    [statement('b', '12.00', '15.85'), statement('a', '10.00', '12.00')],
    'ok',
  ],
])('statement proof: %s', (_name, statements, proof) => {
  expect(dailyReport({ ...given, statements }).accounts[0]!.proof.statement).toBe(proof)
})

test('accounts and currencies apart, in order', () => {
  const more = [
    ...sums,
    sum({ side: 'bank', state: 'open', kind: 'timing', amountMinor: 7n, currency: 'JPY' }),
  ]
  const { accounts } = dailyReport({ ...given, sums: more, statements: [] })
  expect(accounts.map(({ currency, bank }) => [currency, bank.closing])).toEqual([
    ['EUR', '15.85'],
    ['JPY', '7'],
  ])
})
