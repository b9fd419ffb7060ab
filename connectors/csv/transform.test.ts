/** Lines to transactions: the three ways to name accounts, ids, and every reason to refuse a line. */
import { expect, test } from 'vitest'
import { parseMapping } from './mapping.ts'
import { bindMapping, type MappedLine, openingsOf } from './transform.ts'

const HEADER = ['id', 'payer', 'payee', 'amount', 'debit', 'credit', 'ccy', 'day', 'clock', 'note']
type Row = Partial<Record<(typeof HEADER)[number], string>>

const PAIR = { from: 'card:{payer}', to: 'terminal:{payee}' }
const SIGNED = { account: 'iban:{payer}', counter: 'external:{ccy}' }
const base = {
  source: 'test',
  id: 'tx:{id}',
  accounts: PAIR,
  amount: { value: '{amount}', unit: 'major' },
  currency: '{ccy}',
  occurredAt: { value: '{day} {clock}', format: 'dd.mm.yyyy' },
}
const good: Row = {
  id: '7',
  payer: '1',
  payee: '2',
  amount: '12.50',
  ccy: 'EUR',
  day: '01.04.2018',
  clock: '07:05',
}

const map = (changes: Record<string, unknown>, row: Row, line = 2) => {
  const mapping = parseMapping(JSON.stringify({ ...base, ...changes }))
  const fields = HEADER.map((name) => ({ ...good, ...row })[name] ?? '')
  return bindMapping(mapping, HEADER, 'tester')({ line, text: fields.join(','), fields })
}
const mapped = (changes: Record<string, unknown>, row: Row, line?: number): MappedLine => {
  const result = map(changes, row, line)
  if (typeof result === 'string') throw new Error(result)
  return result
}
const postingOf = (changes: Record<string, unknown>, row: Row) => mapped(changes, row).command.postings[0]!

test('a pair of accounts', () => {
  const { command, firstAccount, secondAccount } = mapped({ fields: { merchant: 'm-{payee}' } }, {})
  expect(command).toMatchObject({
    id: 'tx:7',
    source: 'test',
    kind: 'post',
    postings: [{ debit: 'card:1', credit: 'terminal:2', amount: 1250n, currency: 'EUR' }],
    merchant: 'm-2',
    card: null,
    occurredAt: Date.parse('2018-04-01T07:05:00Z'),
    valueTime: null,
    actor: 'tester',
    metadata: {},
  })
  expect([firstAccount, secondAccount]).toEqual(['card:1', 'terminal:2'])
})

test('a signed amount against a fixed counter-account, either way round', () => {
  expect(postingOf({ accounts: SIGNED }, {})).toMatchObject({ debit: 'external:EUR', credit: 'iban:1' })
  expect(postingOf({ accounts: SIGNED }, { amount: '-3' })).toEqual({
    debit: 'iban:1',
    credit: 'external:EUR',
    amount: 300n,
    currency: 'EUR',
  })
  const accounts = { ...SIGNED, positive: 'debit' }
  expect(postingOf({ accounts }, {})).toMatchObject({ debit: 'iban:1', credit: 'external:EUR' })
})

test('debit and credit columns say the side, whatever the sign', () => {
  const changes = { accounts: SIGNED, amount: { debit: '{debit}', credit: '{credit}', unit: 'major' } }
  expect(postingOf(changes, { debit: '5' })).toMatchObject({ debit: 'iban:1', amount: 500n })
  expect(postingOf(changes, { debit: '-5' })).toMatchObject({ debit: 'iban:1', amount: 500n })
  expect(postingOf(changes, { credit: '5', debit: '0.00' })).toMatchObject({ credit: 'iban:1', amount: 500n })
  expect(map(changes, { credit: '5', debit: '5' })).toBe('amount_in_both_columns')
  expect(map(changes, {})).toBe('amount_missing')
})

test('the accounts to open follow the mapping, not the side of the line', () => {
  const changes = {
    accounts: SIGNED,
    open: { account: { overdraftLimit: 500 }, counter: { accountClass: 'external', limited: false } },
  }
  const mapping = parseMapping(JSON.stringify({ ...base, ...changes }))
  for (const amount of ['5', '-5']) {
    const openings = openingsOf(mapping, mapped(changes, { amount }))
    expect(openings).toMatchObject([
      { action: 'open', accountId: 'iban:1', currency: 'EUR', overdraftLimit: 500n, limited: true },
      { action: 'open', accountId: 'external:EUR', accountClass: 'external', limited: false },
    ])
  }
})

test.each<[Row, string]>([
  [{ id: '' }, 'id_invalid'],
  [{ id: 'x'.repeat(70) }, 'id_invalid'],
  [{ ccy: 'XXQ' }, 'currency_unknown'],
  [{ ccy: '' }, 'currency_unknown'],
  [{ payer: '' }, 'account_invalid'],
  [{ payee: 'p'.repeat(130) }, 'account_invalid'],
  [{ amount: '' }, 'amount_missing'],
  [{ amount: 'abc' }, 'amount_invalid'],
  [{ amount: '1.234' }, 'amount_too_precise'],
  [{ amount: '0.00' }, 'amount_not_positive'],
  [{ amount: '-5' }, 'amount_not_positive'],
  [{ amount: '99999999999999999999' }, 'amount_too_large'],
  [{ day: '31.02.2018' }, 'time_invalid'],
  [{ day: '' }, 'time_invalid'],
  [{ payer: '4111111111111111' }, 'card_number_refused'],
])('%j is refused', (row, reason) => {
  expect(map({}, row)).toBe(reason)
})

test('the same account on both sides, a wrong value time and a card number in metadata are refused', () => {
  expect(map({ accounts: { from: 'a', to: 'a' } }, {})).toBe('same_account')
  const valueTime = { value: '{note}', format: 'iso' }
  expect(map({ valueTime }, { note: 'soon' })).toBe('value_time_invalid')
  expect(mapped({ valueTime }, { note: '' }).command.valueTime).toBeNull()
  const metadata = { text: '{note}' }
  expect(map({ metadata }, { note: 'card 4111 1111 1111 1111 thanks' })).toBe('card_number_refused')
  expect(map({ metadata }, { note: 'card 4111.1111.1111.1111 thanks' })).toBe('card_number_refused')
  expect(mapped({ metadata }, { note: 'hello' }).command.metadata).toEqual({ text: 'hello' })
})

test('made ids: the same line gives the same, another place or text another', () => {
  const idOf = (row: Row, line: number) => mapped({ id: undefined }, row, line).command.id
  expect(idOf({}, 2)).toMatch(/^[0-9a-f]{32}$/)
  expect(idOf({}, 2)).toBe(idOf({}, 2))
  expect(idOf({}, 2)).not.toBe(idOf({}, 3))
  expect(idOf({}, 2)).not.toBe(idOf({ note: 'x' }, 2))
})

test('exponents of the currency count: yen have none, dinars three', () => {
  expect(postingOf({}, { ccy: 'JPY', amount: '1250' }).amount).toBe(1250n)
  expect(map({}, { ccy: 'JPY', amount: '12.50' })).toBe('amount_too_precise')
  expect(postingOf({}, { ccy: 'KWD', amount: '1.250' }).amount).toBe(1250n)
})

test('a column that the file lacks is a configuration error that lists those it has', () => {
  expect(() => map({ id: '{nope}' }, {})).toThrow(
    /mapping id: expected a column of the file \(id, payer,.*found \{nope\}/,
  )
})
