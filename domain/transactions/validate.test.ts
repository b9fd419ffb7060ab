/** Validation: every reason by the smallest change that causes it, the order of precedence, and the limits on both sides. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AccountChange, CardChange, Posting, Review, RuleChange, TransactionCommand } from './command.ts'
import { REASONS, type ReasonCode } from './outcomes.ts'
import {
  accountChange,
  cardChange,
  FIXTURE_TIME_MS,
  review,
  ruleChange,
  transactionCommand,
} from './testing/fixtures.ts'
import {
  validateAccountChange,
  validateCardChange,
  validateReview,
  validateRuleChange,
  validateTransaction,
} from './validate.ts'

const DAY_MS = 86_400_000
const time = {
  nowMs: FIXTURE_TIME_MS,
  futureToleranceMs: 300_000,
  occurredFromMs: FIXTURE_TIME_MS - 30 * DAY_MS,
}
const CARD_NUMBER = '4111 1111 1111 1111'
const posting = (changes: Partial<Posting> = {}): Posting => ({
  ...transactionCommand().postings[0]!,
  ...changes,
})
const judge = (changes: Partial<TransactionCommand>): ReasonCode | null =>
  validateTransaction(transactionCommand(changes), time)

const UETR = '97ed4827-7b6f-4491-a06f-b548d5a7512d'

test('a full valid transaction of each kind passes', () => {
  const full: Partial<TransactionCommand> = {
    id: 'i'.repeat(64),
    source: 's'.repeat(64),
    card: 'tok_1',
    merchant: 'm',
    terminal: 't',
    device: 'd',
    country: 'DE',
    endToEndId: 'e'.repeat(35),
    uetr: UETR.toUpperCase(),
    valueTime: FIXTURE_TIME_MS + 300_000,
    occurredAt: FIXTURE_TIME_MS - 30 * DAY_MS,
    expiresAt: FIXTURE_TIME_MS + 400 * DAY_MS,
    actor: 'a'.repeat(128),
    metadata: Object.fromEntries(
      Array.from({ length: 32 }, (_, n) => [`${n}`.padEnd(64, 'k'), 'v'.repeat(512)]),
    ),
    postings: [posting({ amount: 10n ** 15n, debit: 'd'.repeat(128) })],
  }
  for (const kind of ['post', 'authorize', 'exchange'] as const) expect(judge({ ...full, kind })).toBeNull()
  for (const kind of ['capture', 'reverse'] as const) {
    expect(judge({ ...full, kind, parentId: 'p', parentSource: 'x' })).toBeNull()
    expect(judge({ kind, parentId: 'p', postings: [] })).toBeNull()
  }
  expect(judge({ ...full, kind: 'void', parentId: 'p', postings: [] })).toBeNull()
})

/** The smallest changes that cause a reason; together they cause all of them at once. */
const CAUSES: [ReasonCode, Partial<TransactionCommand>][] = [
  ['id_invalid', { id: '' }],
  ['card_number_refused', { merchant: CARD_NUMBER }],
  ['kind_unknown', { kind: 'unknown' }],
  ['field_too_long', { actor: 'a'.repeat(129) }],
  ['postings_count', { postings: [] }],
  ['amount_not_positive', { postings: [posting({ amount: 0n })] }],
  ['amount_too_large', { postings: [posting({ amount: 10n ** 15n + 1n })] }],
  ['currency_unknown', { postings: [posting({ currency: 'EURO' })] }],
  ['same_account', { postings: [posting({ credit: 'alice' })] }],
  ['parent_required', { kind: 'capture' }],
  ['parent_not_allowed', { parentId: 'p' }],
  ['country_invalid', { country: 'de' }],
  ['uetr_invalid', { uetr: UETR.replace('-4', '-1') }],
  ['time_in_future', { valueTime: FIXTURE_TIME_MS + 300_001 }],
  ['too_old', { occurredAt: FIXTURE_TIME_MS - 30 * DAY_MS - 1 }],
]

test.each(CAUSES)('%s', (reason, changes) => {
  expect(judge(changes)).toBe(reason)
})

test('the causes cover every reason up to too_old, in the order of precedence', () => {
  expect(CAUSES.map(([reason]) => reason)).toEqual(REASONS.slice(0, REASONS.indexOf('too_old') + 1))
})

test('of two causes the one that stands first in REASONS is given', () => {
  // Causes that change different fields can be put together; parent_required and parent_not_allowed exclude each other.
  const pairs = CAUSES.flatMap((first, place) =>
    CAUSES.slice(place + 1).map((second) => [first, second] as const),
  )
  let tried = 0
  for (const [[reason, first], [other, second]] of pairs) {
    if (Object.keys(first).some((field) => field in second)) continue
    if (reason === 'postings_count' && other === 'parent_required') continue
    if (reason === 'parent_required' && other === 'parent_not_allowed') continue
    expect([reason, other, judge({ ...first, ...second })]).toEqual([reason, other, reason])
    tried += 1
  }
  expect(tried).toBeGreaterThan(80)
})

test('of two postings the stronger reason is given, wherever it stands', () => {
  const bad = [
    posting({ amount: -1n }),
    posting({ amount: 10n ** 15n + 1n }),
    posting({ currency: 'X' }),
    posting({ credit: 'alice' }),
  ]
  const reasons: ReasonCode[] = [
    'amount_not_positive',
    'amount_too_large',
    'currency_unknown',
    'same_account',
  ]
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 6 }), (places) => {
      const postings = [posting(), ...places.map((place) => bad[place]!)]
      expect(judge({ postings })).toBe(reasons[Math.min(...places)])
    }),
  )
})

test('a card number is refused in every field that holds free text', () => {
  const fields: Partial<TransactionCommand>[] = [
    ...(
      ['id', 'source', 'card', 'merchant', 'terminal', 'device', 'endToEndId', 'actor', 'country'] as const
    ).map((field) => ({ [field]: CARD_NUMBER })),
    { kind: 'void', postings: [], parentId: CARD_NUMBER },
    { kind: 'void', postings: [], parentId: 'p', parentSource: CARD_NUMBER },
    { postings: [posting({ debit: `card:${CARD_NUMBER}` })] },
    { postings: [posting(), posting({ credit: CARD_NUMBER })] },
    { postings: [posting({ currency: CARD_NUMBER })] },
    { metadata: { note: CARD_NUMBER } },
    { metadata: { [CARD_NUMBER]: '' } },
  ]
  for (const field of fields) expect([field, judge(field)]).toEqual([field, 'card_number_refused'])
})

test.each(['', 'a'.repeat(65), 'a\nb', 'a\0', '\u007f', '\u0085', '\ud800', 'x\udc00'])(
  'id %j is invalid',
  (id) => {
    expect(judge({ id })).toBe('id_invalid')
  },
)

test.each(['a', ' ', 'Überweisung № 7', '😀'.repeat(32), '-'])('id %j is valid', (id) => {
  expect(judge({ id })).toBeNull()
})

test('fields at their limits plus one are too long', () => {
  const tooLong: Partial<TransactionCommand>[] = [
    { source: 's'.repeat(65) },
    { card: 'c'.repeat(65) },
    { merchant: 'm'.repeat(129) },
    { terminal: 'm'.repeat(129) },
    { device: 'm'.repeat(129) },
    { endToEndId: 'e'.repeat(36) },
    { kind: 'reverse', parentId: 'p'.repeat(65) },
    { kind: 'reverse', parentId: 'p', parentSource: 'p'.repeat(65) },
    { postings: [posting({ debit: 'd'.repeat(129) })] },
    { postings: [posting({ credit: 'd'.repeat(129) })] },
    { metadata: Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`${n}`, ''])) },
    { metadata: { ['k'.repeat(65)]: '' } },
    { metadata: { k: 'v'.repeat(513) } },
  ]
  for (const changes of tooLong) expect([changes, judge(changes)]).toEqual([changes, 'field_too_long'])
})

test('postings: at most 100, none for void, at least one for post, authorize and exchange', () => {
  const many = (count: number): Posting[] => Array.from({ length: count }, () => posting())
  expect(judge({ postings: many(100) })).toBeNull()
  for (const kind of ['post', 'authorize', 'exchange'] as const)
    expect(judge({ kind, postings: [] })).toBe('postings_count')
  for (const kind of ['capture', 'reverse', 'post'] as const)
    expect(judge({ kind, parentId: 'p', postings: many(101) })).toBe('postings_count')
  expect(judge({ kind: 'void', parentId: 'p', postings: many(1) })).toBe('postings_count')
})

test('times: the tolerance applies to event and value time, 400 days to the end of an authorization', () => {
  expect(judge({ occurredAt: FIXTURE_TIME_MS + 300_000 })).toBeNull()
  expect(judge({ occurredAt: FIXTURE_TIME_MS + 300_001 })).toBe('time_in_future')
  expect(judge({ expiresAt: FIXTURE_TIME_MS + 400 * DAY_MS + 1 })).toBe('time_in_future')
  expect(
    validateTransaction(transactionCommand({ occurredAt: 0 }), { ...time, occurredFromMs: null }),
  ).toBeNull()
})

test.each([
  [{}, null],
  [{ action: 'freeze', currency: null }, null],
  [{ limited: false, overdraftLimit: -1n }, null],
  [{ action: 'unknown', accountId: '' }, 'action_unknown'],
  [{ accountId: '' }, 'id_invalid'],
  [{ accountId: 'a'.repeat(129) }, 'id_invalid'],
  [{ accountId: `card:${CARD_NUMBER}` }, 'card_number_refused'],
  [{ actor: CARD_NUMBER }, 'card_number_refused'],
  [{ actor: 'a'.repeat(129) }, 'field_too_long'],
  [{ currency: null }, 'currency_unknown'],
  [{ currency: 'eur' }, 'currency_unknown'],
  [{ overdraftLimit: -1n }, 'limit_invalid'],
  [{ action: 'set_limit', overdraftLimit: 10n ** 15n + 1n }, 'limit_invalid'],
] as [Partial<AccountChange>, string | null][])('account change %o → %s', (changes, refusal) => {
  expect(validateAccountChange(accountChange(changes))).toBe(refusal)
})

test.each([
  [{ transactionLimit: 0n, dailyLimit: 10n ** 15n }, null],
  [{ action: 'block', accountId: null }, null],
  [{ action: 'unknown' }, 'action_unknown'],
  [{ card: '' }, 'id_invalid'],
  [{ card: 'c'.repeat(65) }, 'id_invalid'],
  [{ accountId: null }, 'id_invalid'],
  [{ card: CARD_NUMBER }, 'card_number_refused'],
  [{ actor: 'a'.repeat(129) }, 'field_too_long'],
  [{ transactionLimit: -1n }, 'limit_invalid'],
  [{ dailyLimit: 10n ** 15n + 1n }, 'limit_invalid'],
] as [Partial<CardChange>, string | null][])('card change %o → %s', (changes, refusal) => {
  expect(validateCardChange(cardChange(changes))).toBe(refusal)
})

test.each([
  [{}, null],
  [{ type: 'velocity_count', currency: null, windowMs: 3_600_000 }, null],
  [{ type: 'velocity_sum', windowMs: 86_400_000, threshold: 0n }, null],
  [{ ruleId: '' }, 'id_invalid'],
  [{ ruleId: CARD_NUMBER }, 'card_number_refused'],
  [{ actor: 'a'.repeat(129) }, 'field_too_long'],
  [{ currency: 'EURO' }, 'currency_unknown'],
  [{ type: 'unknown' }, 'rule_invalid'],
  [{ action: 'unknown' }, 'rule_invalid'],
  [{ currency: null }, 'rule_invalid'],
  [{ type: 'velocity_sum', currency: null, windowMs: 3_600_000 }, 'rule_invalid'],
  [{ type: 'velocity_count', windowMs: 60_000 }, 'rule_invalid'],
  [{ threshold: -1n }, 'rule_invalid'],
] as [Partial<RuleChange>, string | null][])('rule change %o → %s', (changes, refusal) => {
  expect(validateRuleChange(ruleChange(changes))).toBe(refusal)
})

test.each([
  [{}, null],
  [{ source: '', reason: '' }, null],
  [{ transactionId: '' }, 'id_invalid'],
  [{ actor: '' }, 'id_invalid'],
  [{ reason: `paid with ${CARD_NUMBER}` }, 'card_number_refused'],
  [{ reason: 'r'.repeat(513) }, 'field_too_long'],
  [{ source: 's'.repeat(65) }, 'field_too_long'],
  [{ decision: 'unknown' }, 'decision_unknown'],
] as [Partial<Review>, string | null][])('review %o → %s', (changes, refusal) => {
  expect(validateReview(review(changes))).toBe(refusal)
})
