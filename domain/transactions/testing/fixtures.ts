/** One constructor a record for tests of this folder and of what uses it: defaults live here only. */
import {
  type AccountChange,
  blankCommand,
  type CardChange,
  type Label,
  type Review,
  type RuleChange,
  type TransactionCommand,
} from '../command.ts'

/** 2026-01-01T00:00:00Z, milliseconds. */
export const FIXTURE_TIME_MS = 1_767_225_600_000

/** A valid payment of 1.00 EUR; pass what the test is about. */
export const transactionCommand = (changes: Partial<TransactionCommand> = {}): TransactionCommand =>
  blankCommand({
    id: 'txn-1',
    source: 'bank',
    postings: [{ debit: 'alice', credit: 'bob', amount: 100n, currency: 'EUR' }],
    occurredAt: FIXTURE_TIME_MS,
    actor: 'tester',
    ...changes,
  })

/** Opens a customer's account in EUR. */
export const accountChange = (changes: Partial<AccountChange> = {}): AccountChange => ({
  action: 'open',
  accountId: 'alice',
  currency: 'EUR',
  accountClass: 'customer',
  normalSide: 'credit',
  limited: true,
  overdraftLimit: 0n,
  reversalMayOverdraw: false,
  actor: 'tester',
  occurredAt: FIXTURE_TIME_MS,
  ...changes,
})

/** Issues a card on the account. */
export const cardChange = (changes: Partial<CardChange> = {}): CardChange => ({
  action: 'issue',
  card: 'tok_1',
  accountId: 'alice',
  expiresAt: null,
  transactionLimit: null,
  dailyLimit: null,
  actor: 'tester',
  occurredAt: FIXTURE_TIME_MS,
  ...changes,
})

/** Alerts above 100.00 EUR. */
export const ruleChange = (changes: Partial<RuleChange> = {}): RuleChange => ({
  ruleId: 'large-eur',
  type: 'amount_limit',
  currency: 'EUR',
  threshold: 10_000n,
  windowMs: 0,
  action: 'alert',
  enabled: true,
  actor: 'tester',
  occurredAt: FIXTURE_TIME_MS,
  ...changes,
})

/** Releases a held transaction. */
export const review = (changes: Partial<Review> = {}): Review => ({
  transactionId: 'txn-1',
  source: 'bank',
  decision: 'release',
  reason: 'known customer',
  actor: 'reviewer',
  occurredAt: FIXTURE_TIME_MS,
  ...changes,
})

/** Says that a payment was a fraud. */
export const label = (changes: Partial<Label> = {}): Label => ({
  transactionId: 'txn-1',
  source: 'bank',
  verdict: 'fraud',
  reason: 'chargeback',
  actor: 'fraud desk',
  occurredAt: FIXTURE_TIME_MS,
  ...changes,
})
