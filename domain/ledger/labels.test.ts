/** Labels in the ledger: from the seventh day on, once for each payment, wherever batches are cut. */
import { expect, test } from 'vitest'
import { encodeParty } from '../fraud/parties.ts'
import { encodeProfile } from '../fraud/profile.ts'
import type { LedgerInput } from './inputs.ts'
import {
  account,
  external,
  label,
  MemoryLedger,
  posting,
  putRulebook,
  START_MS,
  tick,
  transaction,
} from './testing/memory-ledger.ts'

const DAY_MS = 86_400_000
/** Midnight before START_MS. */
const MIDNIGHT = Math.floor(START_MS / DAY_MS) * DAY_MS
const rule = (feature: string) => ({
  id: feature,
  version: 1,
  title: feature,
  words: '{value}',
  fires: { feature, above: 0 },
  weight: 1,
  action: 'alert',
  mode: 'live',
  onError: 'open',
  author: 'ann',
  approvedBy: 'ben',
})
const LOOKS = ['terminal_frauds_28d', 'terminal_labelled_28d', 'account_frauds_28d']

const opened = (features = LOOKS): MemoryLedger => {
  const ledger = new MemoryLedger()
  ledger.apply([external('shop'), account('alice', { limited: false }), account('bob', { limited: false })])
  putRulebook(ledger, { format: 1, name: 'book', version: 1, rules: features.map(rule) })
  return ledger
}
const pay = (id: string, at: number, debit = 'alice') =>
  transaction(
    { id, terminal: 'x', occurredAt: at, postings: [posting({ debit, credit: 'shop', amount: 1n })] },
    at,
  )
const seen = (ledger: MemoryLedger, at: number): string => {
  ledger.apply([tick(at), pay(`at ${at}`, at, 'bob')])
  return ledger.decisions
    .at(-1)!
    .rules.map(({ ruleId, value }) => `${ruleId}=${value}`)
    .join(' ')
}

test('a label is used from 00:00 UTC of the seventh day after its payment, whenever it came', () => {
  const ledger = opened()
  ledger.apply([pay('p', START_MS), tick(START_MS + DAY_MS), label('p', 'fraud')])
  expect(seen(ledger, MIDNIGHT + 7 * DAY_MS - 1)).toBe('')
  expect(seen(ledger, MIDNIGHT + 7 * DAY_MS)).toBe('terminal_frauds_28d=1 terminal_labelled_28d=1')
})

test('the last label of a payment counts, once', () => {
  const ledger = opened()
  ledger.apply([pay('p', START_MS), label('p', 'genuine'), label('p', 'fraud')])
  ledger.apply([label('p', 'fraud'), label('p', 'fraud')])
  expect(seen(ledger, MIDNIGHT + 8 * DAY_MS)).toBe('terminal_frauds_28d=1 terminal_labelled_28d=1')
  ledger.apply([label('p', 'genuine')])
  expect(seen(ledger, MIDNIGHT + 9 * DAY_MS)).toBe('terminal_labelled_28d=1')
  expect(ledger.refusals).toEqual([])
})

test('the payer is told apart from the terminal', () => {
  const ledger = opened()
  ledger.apply([pay('p', START_MS, 'bob'), label('p', 'fraud')])
  expect(seen(ledger, MIDNIGHT + 7 * DAY_MS)).toBe(
    'account_frauds_28d=1 terminal_frauds_28d=1 terminal_labelled_28d=1',
  )
})

test('labels of nothing, of another source, without a verdict or of long ago are refused', () => {
  const ledger = opened()
  ledger.apply([pay('p', START_MS)])
  const of = label('p', 'fraud')
  ledger.apply([
    label('q', 'fraud'),
    { ...of, label: { ...of.label, verdict: 'unknown' } },
    { ...of, label: { ...of.label, actor: '' } },
    { ...of, label: { ...of.label, reason: 'card 4111111111111111' } },
    tick(START_MS + 60 * DAY_MS),
    label('p', 'fraud'),
    tick(START_MS + 60 * DAY_MS + 1),
    label('p', 'genuine'),
  ])
  expect(ledger.refusals).toEqual([
    'unknown_transaction',
    'verdict_unknown',
    'id_invalid',
    'card_number_refused',
    'label_too_late',
  ])
})

test('where no rule looks at labels they are kept for training, and no payment keeps anything for them', () => {
  const ledger = opened(['terminal_count_1d'])
  const effects = ledger.decide([pay('p', START_MS), label('p', 'fraud')])
  expect(effects.decisions[0]!.payment).toBeNull()
  expect([...effects.labels.values()].map(({ isFraud, actor }) => [isFraud, actor])).toEqual([
    [true, 'fraud desk'],
  ])
  expect([...effects.accounts].map(({ id }) => id).sort()).toEqual(['alice', 'shop'])
})

test('wherever batches are cut, the same is known', () => {
  const inputs = (): LedgerInput[] =>
    Array.from({ length: 40 }, (_, n): LedgerInput[] => [
      pay(`p${n}`, START_MS + n * 7_200_000, n % 3 === 0 ? 'bob' : 'alice'),
      ...(n % 4 === 0 ? [label(`p${n}`, 'fraud')] : []),
      ...(n % 5 === 0 ? [label(`p${n - 2}`, n % 2 === 0 ? 'genuine' : 'fraud')] : []),
      ...(n % 10 === 0 ? [tick(START_MS + n * 7_200_000)] : []),
    ]).flat()
  const known = (cuts: number[]) => {
    const ledger = opened()
    ledger.apply(inputs(), cuts)
    const profiles = [...ledger.accounts.values()].map(({ profile }) => encodeProfile(profile!))
    return [profiles, [...ledger.parties.values()].map(encodeParty), ledger.refusals]
  }
  const whole = known([1_000])
  expect(known([1])).toEqual(whole)
  expect(known([3, 8, 2])).toEqual(whole)
})
