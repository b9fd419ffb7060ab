/**
 * Cases that must be refused, held, recognized or dead-lettered. Each is made so that its outcome is the same for every
 * interleaving of partitions: see generator.ts for the reasons.
 */
import type { TransactionCommand } from '#domain/transactions/command.ts'
import type { ReasonCode } from '#domain/transactions/outcomes.ts'
import { cardNumber } from './distributions.ts'
import {
  type Case,
  childOf,
  emitAccepted,
  emitAuthorization,
  emitReversible,
  purchaseOf,
  transferOf,
} from './good-cases.ts'
import {
  BURST_CURRENCY,
  BURST_MINOR_PER_DOLLAR,
  BURST_THRESHOLD,
  burstAccount,
  burstPayee,
  type CardOwner,
  limitedCardLimit,
  type Market,
  RULE_DOLLARS,
} from './population.ts'
import { MALFORMATIONS } from './records.ts'
import type { Workshop } from './workshop.ts'

const DAY_MS = 86_400_000
const MINUTE_MS = 60_000
/** Ten years: a ledger that stood still for long may catch up with the clock before the run is applied. */
const FUTURE_MS = 3_650 * DAY_MS
/** Payments of a burst beyond the rule's threshold: each is held. */
const BURST_EXTRA = 2

/** Gives out a record that is refused for one reason. */
const refused = (
  workshop: Workshop,
  name: string,
  command: TransactionCommand,
  reason: ReasonCode,
  key?: string,
): void => {
  workshop.emit(name, command, { intended: `rejected:${reason}`, ...(key === undefined ? {} : { key }) })
}

/** A transfer with some of its fields spoilt. */
const spoilt =
  (reason: ReasonCode, spoil: (workshop: Workshop, good: TransactionCommand) => TransactionCommand): Case =>
  (workshop, name) => {
    const good = transferOf(workshop)
    refused(workshop, name, spoil(workshop, good), reason, good.postings[0]!.debit)
  }

/** A transfer between other accounts than ordinary ones. */
const between =
  (
    reason: ReasonCode,
    accounts: (workshop: Workshop, market: Market, ordinary: string) => { debit: string; credit: string },
  ): Case =>
  (workshop, name) => {
    const market = workshop.market()
    const { debit, credit } = accounts(workshop, market, workshop.payer(market).account)
    const postings = [workshop.posting(market, debit, credit, workshop.amount(market))]
    refused(workshop, name, workshop.command({ postings }), reason)
  }

const either = (workshop: Workshop, special: string, ordinary: string) =>
  workshop.random.chance(0.5) ? { debit: special, credit: ordinary } : { debit: ordinary, credit: special }

/** A purchase with a card of a given kind. */
const withCard =
  (reason: ReasonCode, ownerOf: (market: Market) => CardOwner, amountOf?: (market: Market) => bigint): Case =>
  (workshop, name) => {
    const market = workshop.market()
    const owner = ownerOf(market)
    const amount = amountOf?.(market) ?? workshop.amount(market)
    const postings = [workshop.posting(market, owner.account, market.merchants[0]!.account, amount)]
    refused(workshop, name, workshop.command({ postings, card: owner.card }), reason)
  }

/** The same record again: later, perhaps written in another form. */
const duplicate: Case = (workshop, name) => {
  const first = emitAccepted(
    workshop,
    name,
    workshop.random.chance(0.5) ? transferOf(workshop) : purchaseOf(workshop),
  )
  workshop.later(() => {
    const form = workshop.random.chance(0.3) ? 'json' : first.form
    workshop.emit(name, first.command, { intended: 'duplicate', key: first.key, form })
  })
}

/** The same id with another amount. */
const conflictingDuplicate: Case = (workshop, name) => {
  const first = emitAccepted(workshop, name, transferOf(workshop))
  workshop.later(() => {
    const [posting] = first.command.postings
    const command = { ...first.command, postings: [{ ...posting!, amount: posting!.amount + 1n }] }
    refused(workshop, name, command, 'id_conflict', first.key)
  })
}

const malformed: Case = (workshop, name) => {
  const malformation = workshop.random.pick(MALFORMATIONS)
  const command = transferOf(workshop)
  workshop.emit(name, command, { intended: `dead:${malformation}`, malformation, form: 'avro' })
}

/** A payment above a rule's threshold. */
const overLimit =
  (rule: 'hold' | 'reject'): Case =>
  (workshop, name) => {
    const market = workshop.market()
    const good = transferOf(workshop, market)
    const times = 1.01 + workshop.random.unit()
    const postings = [{ ...good.postings[0]!, amount: workshop.dollars(market, RULE_DOLLARS[rule] * times) }]
    const command = { ...good, postings }
    if (rule === 'reject') refused(workshop, name, command, 'fraud_rejected')
    else emitAccepted(workshop, name, command, { intended: 'held' })
  }

/** Many payments of one account within minutes, from an account that does nothing else. */
const velocityBurst: Case = (workshop, name) => {
  const { random, options } = workshop
  const account = burstAccount(options.run, workshop.bursts)
  workshop.bursts += 1
  const start = Math.min(workshop.now(), options.endTimeMs - MINUTE_MS)
  for (let index = 0; index < BURST_THRESHOLD + BURST_EXTRA; index += 1) {
    const amount = BigInt(random.integer(5, 90) * BURST_MINOR_PER_DOLLAR)
    const posting = { debit: account, credit: burstPayee(options.run), amount, currency: BURST_CURRENCY }
    const command = workshop.command({ postings: [posting], occurredAt: start + index * 7_000 })
    emitAccepted(workshop, name, command, { intended: index < BURST_THRESHOLD ? 'applied' : 'held' })
  }
}

const captureOver: Case = (workshop, name) => {
  const parent = emitAuthorization(workshop, name)
  const over = parent.command.postings[0]!.amount + 1n
  workshop.later(() => {
    const command = childOf(workshop, parent, 'capture', over)
    refused(workshop, name, command, 'capture_exceeds_authorization', parent.key)
  })
}

const captureAfterVoid: Case = (workshop, name) => {
  const parent = emitAuthorization(workshop, name)
  workshop.later(() => {
    const options = { intended: 'voided', key: parent.key } as const
    workshop.emit(name, childOf(workshop, parent, 'void'), options)
    workshop.later(() =>
      refused(workshop, name, childOf(workshop, parent, 'capture'), 'parent_closed', parent.key),
    )
  })
}

/** More than was posted, at once or after all was given back. */
const reverseOver: Case = (workshop, name) => {
  const parent = emitReversible(workshop, name)
  const { amount } = parent.command.postings[0]!
  const over = () => {
    const command = childOf(workshop, parent, 'reverse', amount + 1n)
    refused(workshop, name, command, 'reversal_exceeds_posted', parent.key)
  }
  if (workshop.random.chance(0.5)) workshop.later(over)
  else {
    workshop.later(() => {
      const options = { intended: 'applied', key: parent.key } as const
      workshop.emit(name, childOf(workshop, parent, 'reverse'), options)
      workshop.later(over)
    })
  }
}

/** A child whose parent is of the wrong kind. */
const wrongParent =
  (kind: 'capture' | 'reverse', reason: ReasonCode): Case =>
  (workshop, name) => {
    const parent = kind === 'capture' ? emitReversible(workshop, name) : emitAuthorization(workshop, name)
    workshop.later(() => refused(workshop, name, childOf(workshop, parent, kind), reason, parent.key))
  }

const postingNotInParent: Case = (workshop, name) => {
  const parent = emitAuthorization(workshop, name)
  workshop.later(() => {
    const command = childOf(workshop, parent, 'capture', 1n)
    const postings = [{ ...command.postings[0]!, credit: 'nobody' }]
    refused(workshop, name, { ...command, postings }, 'posting_not_in_parent', parent.key)
  })
}

const parentUnknown: Case = (workshop, name) => {
  const kind = workshop.random.pick(['capture', 'void', 'reverse'] as const)
  const parentId = `${workshop.options.run}-missing-${workshop.step}`
  refused(workshop, name, workshop.command({ kind, parentId }), 'parent_unknown')
}

/** Both sides in one currency: no exchange. */
const exchangeInvalid: Case = (workshop, name) => {
  const market = workshop.market()
  const amount = workshop.amount(market)
  const postings = [workshop.posting(market, workshop.payer(market).account, market.position, amount)]
  refused(workshop, name, workshop.command({ kind: 'exchange', postings }), 'exchange_invalid')
}

const withPosting = (good: TransactionCommand, change: Partial<TransactionCommand['postings'][number]>) => ({
  ...good,
  postings: [{ ...good.postings[0]!, ...change }],
})

/** Every bad case. Each comes twice in a deck of a thousand, which makes at least 0.1 % of the records. */
export const BAD_CASES: Readonly<Record<string, Case>> = {
  unknown_account: between('unknown_account', (workshop, _market, ordinary) =>
    either(workshop, `missing:${workshop.options.run}-${workshop.step}`, ordinary),
  ),
  overdraft: between('insufficient_funds', (workshop, market, ordinary) => ({
    debit: workshop.random.pick(market.empty),
    credit: ordinary,
  })),
  frozen_account: between('account_frozen', (workshop, market, ordinary) =>
    either(workshop, workshop.random.pick(market.frozen), ordinary),
  ),
  closed_account: between('account_closed', (workshop, market, ordinary) =>
    either(workshop, workshop.random.pick(market.closed), ordinary),
  ),
  same_account: between('same_account', (_workshop, _market, ordinary) => ({
    debit: ordinary,
    credit: ordinary,
  })),
  duplicate,
  conflicting_duplicate: conflictingDuplicate,
  malformed,
  future_event: spoilt('time_in_future', (workshop, good) => ({
    ...good,
    occurredAt: workshop.options.endTimeMs + FUTURE_MS + workshop.random.integer(2, 300) * DAY_MS,
  })),
  card_number: spoilt('card_number_refused', (workshop, good) =>
    workshop.random.chance(0.5)
      ? { ...good, merchant: cardNumber(workshop.random) }
      : { ...good, metadata: { note: `paid with ${cardNumber(workshop.random)} by phone` } },
  ),
  blocked_card: withCard('card_blocked', (market) => market.blockedCard),
  expired_card: withCard('card_expired', (market) => market.expiredCard),
  card_over_limit: withCard(
    'card_limit_exceeded',
    (market) => market.limitedCard,
    (market) => limitedCardLimit(market) + 1n,
  ),
  unknown_card: withCard('card_unknown', (market) => ({ ...market.limitedCard, card: 'tok_nowhere' })),
  card_of_another: withCard('card_account_mismatch', (market) => ({
    card: market.limitedCard.card,
    account: market.customers[3]!.account,
  })),
  fraud_amount_hold: overLimit('hold'),
  fraud_amount_reject: overLimit('reject'),
  fraud_velocity_burst: velocityBurst,
  capture_over: captureOver,
  capture_after_void: captureAfterVoid,
  capture_of_posted: wrongParent('capture', 'parent_not_authorized'),
  reverse_over: reverseOver,
  reverse_of_authorized: wrongParent('reverse', 'parent_not_posted'),
  posting_not_in_parent: postingNotInParent,
  parent_unknown: parentUnknown,
  parent_missing: spoilt('parent_required', (_workshop, good) => ({ ...good, kind: 'capture' })),
  parent_needless: spoilt('parent_not_allowed', (_workshop, good) => ({ ...good, parentId: good.id })),
  exchange_invalid: exchangeInvalid,
  currency_unknown: spoilt('currency_unknown', (_workshop, good) => withPosting(good, { currency: 'XQX' })),
  currency_mismatch: spoilt('currency_mismatch', (_workshop, good) => withPosting(good, { currency: 'SEK' })),
  amount_zero: spoilt('amount_not_positive', (_workshop, good) => withPosting(good, { amount: 0n })),
  amount_huge: spoilt('amount_too_large', (_workshop, good) => withPosting(good, { amount: 10n ** 18n })),
  no_postings: spoilt('postings_count', (_workshop, good) => ({ ...good, postings: [] })),
  kind_unknown: spoilt('kind_unknown', (_workshop, good) => ({ ...good, kind: 'unknown' })),
  id_too_long: spoilt('id_invalid', (_workshop, good) => ({ ...good, id: good.id.padEnd(80, 'x') })),
  field_too_long: spoilt('field_too_long', (_workshop, good) => ({ ...good, merchant: 'm'.repeat(300) })),
  country_invalid: spoilt('country_invalid', (_workshop, good) => ({ ...good, country: 'Germany' })),
  uetr_invalid: spoilt('uetr_invalid', (_workshop, good) => ({ ...good, uetr: 'not-a-uetr' })),
}
