/** Amounts and records at the edge of what is accepted: each gets an outcome, and none can stop the ledger. */
import { expect, it } from 'vitest'
import { POSTINGS_MAX } from '../transactions/limits.ts'
import { cardChange } from '../transactions/testing/fixtures.ts'
import type { CardInput, LedgerInput } from './inputs.ts'
import { DECISION_BOUNDS } from './state.ts'
import { account, external, MemoryLedger, posting, transaction } from './testing/memory-ledger.ts'

const LARGEST = 1_000_000_000_000_000n
const INT8_MAX = 2n ** 63n - 1n

const move = (debit: string, credit: string, amount = LARGEST) => posting({ debit, credit, amount })
const issue: CardInput = {
  type: 'card',
  topic: 'cards',
  partition: 0,
  offset: 0n,
  change: cardChange({ action: 'issue', card: 'token', accountId: 'world' }),
}

const opened = (...inputs: LedgerInput[]): MemoryLedger => {
  const ledger = new MemoryLedger()
  ledger.apply([account('alice'), account('bob'), external('world'), external('sink'), ...inputs])
  return ledger
}
const outcomeOf = (ledger: MemoryLedger, input: LedgerInput): string => {
  ledger.apply([input])
  const { status, reason } = ledger.decisions.at(-1)!
  return reason ?? status
}

it('a capture that would overflow the payee is rejected, and its money stays reserved', () => {
  const ledger = opened(
    transaction({ id: 'fund', postings: [move('world', 'alice', 10n)] }),
    transaction({ id: 'auth', kind: 'authorize', postings: [move('alice', 'sink', 10n)] }),
  )
  ledger.accounts.get('sink')!.posted = 2n ** 62n
  const capture = transaction({ id: 'capture', kind: 'capture', parentId: 'auth', postings: [] })
  expect(outcomeOf(ledger, capture)).toBe('balance_overflow')
  expect(ledger.accounts.get('alice')).toMatchObject({ posted: 10n, reserved: 10n })
  expect(outcomeOf(ledger, transaction({ id: 'void', kind: 'void', parentId: 'auth', postings: [] }))).toBe(
    'voided',
  )
})

it("a card's sums stay within 64 bits however often it is used", () => {
  const ledger = opened(issue)
  const use = (id: string, ...postings: ReturnType<typeof move>[]) =>
    transaction({ id, card: 'token', postings })
  const card = ledger.cards.get('token')!
  card.spent = INT8_MAX - 1n
  card.dayAmount = INT8_MAX - 1n
  card.day = Math.floor(ledger.time.nowMs / 86_400_000)
  expect(outcomeOf(ledger, use('spend', move('world', 'alice')))).toBe('balance_overflow')
  expect(outcomeOf(ledger, use('give back', move('alice', 'world')))).toBe('insufficient_funds')
  card.spent = 0n
  expect(outcomeOf(ledger, use('spend today', move('world', 'alice')))).toBe('applied')
  for (const sum of [card.spent, card.reserved, card.dayAmount]) expect(sum).toBeLessThanOrEqual(INT8_MAX)
})

it('what one batch may expire is bounded whatever the holds are: the head is held for that long', () => {
  expect(DECISION_BOUNDS.expiriesMax * POSTINGS_MAX).toBeLessThanOrEqual(20_000)
})

it('a record in conflict leaves a letter of bounded size, however large it is', () => {
  const ledger = opened(transaction({ id: 'same', postings: [move('world', 'alice', 1n)] }))
  const postings = Array.from({ length: 100_000 }, () => posting({ debit: '', credit: '', amount: 0n }))
  const effects = ledger.decide([transaction({ id: 'same', postings })])
  const { letter } = effects.deadLetters[0]!
  expect(effects.decisions[0]).toMatchObject({ reason: 'id_conflict' })
  expect(letter.value!.length).toBeLessThanOrEqual(128 * 1024)
  expect(letter.valueBytes).toBeGreaterThan(4_000_000)
})

it("what a capture moved counts for the authorization's card, also when it is reversed", () => {
  const ledger = opened(
    issue,
    transaction({ id: 'auth', kind: 'authorize', card: 'token', postings: [move('world', 'alice', 70n)] }),
    transaction({ id: 'capture', kind: 'capture', parentId: 'auth', postings: [] }),
  )
  const card = ledger.cards.get('token')!
  expect(ledger.decisions.at(-1)).toMatchObject({ status: 'applied', cardNo: card.no })
  expect(card).toMatchObject({ spent: 70n, reserved: 0n })
  const reverse = transaction({ id: 'reverse', kind: 'reverse', parentId: 'capture', postings: [] })
  expect(outcomeOf(ledger, reverse)).toBe('applied')
  expect(ledger.decisions.at(-1)).toMatchObject({ cardNo: card.no })
  expect(card).toMatchObject({ spent: 0n, reserved: 0n })
})
