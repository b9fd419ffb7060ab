/** A whole ledger in memory, for tests of pure decisions: what the tables would hold between batches. */
import type { PartyState } from '../../fraud/parties.ts'
import type { Rule } from '../../fraud/rules.ts'
import { restoreTicks } from '../../time/pending-ticks.ts'
import { contentHash, transactionKey } from '../../transactions/canonical.ts'
import {
  type AccountChange,
  type AdministrativeCommand,
  blankCommand,
  type Posting,
  type RuleChange,
  type TransactionCommand,
} from '../../transactions/command.ts'
import { decideBatch } from '../decide.ts'
import { type Horizons, NO_HORIZONS } from '../horizons.ts'
import type {
  AccountInput,
  CommandInput,
  LabelInput,
  LedgerInput,
  ReviewInput,
  RuleInput,
  TickInput,
  TransactionInput,
} from '../inputs.ts'
import { collectNeeds } from '../needs.ts'
import {
  type AccountState,
  type BatchEffects,
  type CardState,
  type ClaimedId,
  type ClaimedTransactionId,
  DECISION_BOUNDS,
  type CommandEffect,
  type DeadLetterStatus,
  type DecisionBounds,
  type HoldState,
  type LabelTarget,
  type LedgerState,
  type PostedParent,
  type TransactionDecision,
} from '../state.ts'

export const START_MS = 1_700_000_000_000

export class MemoryLedger {
  readonly accounts = new Map<string, AccountState>()
  readonly cards = new Map<string, CardState>()
  readonly parties = new Map<string, PartyState>()
  readonly claimed = new Map<string, ClaimedTransactionId>()
  readonly labelTargets = new Map<string, LabelTarget>()
  readonly holds = new Map<string, HoldState>()
  readonly parents = new Map<string, PostedParent>()
  readonly parentsTakenAt = new Map<string, number>()
  readonly commands = new Map<string, ClaimedId>()
  readonly deadLetters = new Map<string, DeadLetterStatus>()
  readonly commandEffects: CommandEffect[] = []
  readonly positions = new Map<string, bigint>()
  readonly decisions: TransactionDecision[] = []
  readonly refusals: string[] = []
  readonly bounds: DecisionBounds
  rules: readonly Rule[] = []
  horizons: Horizons = NO_HORIZONS
  time: LedgerState['time'] = restoreTicks(START_MS)
  sequence = 0n
  private expiring = false
  private counts = { accounts: 0, cards: 0, rules: 0n }

  constructor(bounds: Partial<DecisionBounds> = {}) {
    this.bounds = { ...DECISION_BOUNDS, ...bounds }
  }

  /** Decides inputs in batches of the given sizes (the last one repeats), as the processor would cut them. */
  apply(inputs: readonly LedgerInput[], cuts: readonly number[] = [inputs.length]): void {
    let left = inputs
    for (let cut = 0; left.length > 0 || this.expiring; cut += 1) {
      const size = Math.max(1, cuts[Math.min(cut, cuts.length - 1)] ?? left.length)
      const effects = this.decide(left.slice(0, size))
      left = left.slice(effects.consumed)
    }
  }

  /** Decides one batch and keeps what it changed. @param look sees what was decided before that */
  decide(
    inputs: readonly LedgerInput[],
    look: (state: LedgerState, effects: BatchEffects) => void = () => undefined,
  ): BatchEffects {
    const state = this.stateFor(inputs)
    const effects = decideBatch(state, inputs)
    look(state, effects)
    this.sequence = state.sequence
    this.rules = state.rules
    this.horizons = state.horizons
    for (const key of effects.forgotten) this.holds.delete(key)
    this.time = state.time
    this.expiring = state.expiring
    this.counts = { accounts: state.accountsCount, cards: state.cardsCount, rules: state.rulesVersion }
    for (const hold of effects.holds) this.holds.set(hold.key, hold)
    for (const account of this.accounts.values()) account.referenceChanged = false
    this.decisions.push(...effects.decisions)
    this.commandEffects.push(...effects.commands)
    this.refusals.push(...effects.notifications.map((n) => n.reason))
    return effects
  }

  private stateFor(inputs: readonly LedgerInput[]): LedgerState {
    const due = [...this.holds.values()]
      .filter((hold) => hold.status === 'active')
      .sort((a, b) => a.expiresAt - b.expiresAt || (a.key < b.key ? -1 : 1))
    return {
      sequence: this.sequence + 1n,
      accounts: this.accounts,
      cards: this.cards,
      parties: this.parties,
      claimed: this.claimed,
      labelTargets: this.labelTargets,
      labelKeys: new Set(this.everyKey(inputs)),
      holds: new Map(this.holds),
      parents: this.parents,
      parentsTakenAt: this.parentsTakenAt,
      commands: this.commands,
      deadLetters: this.deadLetters,
      // Everything is kept, as the tables do.
      parentKeys: new Set([...collectNeeds(inputs).parentKeys, ...this.everyKey(inputs)]),
      dueHolds: due.slice(0, this.bounds.expiriesMax),
      nextDueAt: due[this.bounds.expiriesMax]?.expiresAt ?? null,
      rules: this.rules,
      horizons: this.horizons,
      rulesVersion: this.counts.rules,
      accountsCount: this.counts.accounts,
      cardsCount: this.counts.cards,
      positions: this.positions,
      time: this.time,
      expiring: this.expiring,
      bounds: this.bounds,
    }
  }

  private everyKey(inputs: readonly LedgerInput[]): string[] {
    const keys = inputs.flatMap((input) => (input.type === 'transaction' ? [input.key] : []))
    return [...keys, ...this.holds.keys()]
  }
}

let nextOffset = 0n
const at = (topic: string, partition = 0) => ({ topic, partition, offset: nextOffset++ })

/** A command; defaults are a plain post that nothing speaks against. */
export const command = (changes: Partial<TransactionCommand> = {}): TransactionCommand =>
  blankCommand({
    id: 't1',
    source: 'test',
    postings: [posting()],
    occurredAt: START_MS,
    actor: 'tester',
    ...changes,
  })

export const posting = (changes: Partial<Posting> = {}): Posting => ({
  debit: 'alice',
  credit: 'bob',
  amount: 100n,
  currency: 'EUR',
  ...changes,
})

export const transaction = (
  changes: Partial<TransactionCommand> = {},
  appendedAtMs = START_MS,
): TransactionInput => {
  const made = command(changes)
  return {
    type: 'transaction',
    ...at('transactions'),
    command: made,
    appendedAtMs,
    key: transactionKey(made.source, made.id),
    content: contentHash(made),
  }
}

export const label = (transactionId: string, verdict: 'fraud' | 'genuine'): LabelInput => ({
  type: 'label',
  ...at('fraud.labels'),
  key: transactionKey('test', transactionId),
  label: { transactionId, source: 'test', verdict, reason: '', actor: 'fraud desk', occurredAt: START_MS },
})

export const account = (accountId: string, changes: Partial<AccountChange> = {}): AccountInput => ({
  type: 'account',
  ...at('accounts'),
  change: {
    action: 'open',
    accountId,
    currency: 'EUR',
    accountClass: 'customer',
    normalSide: 'credit',
    limited: true,
    overdraftLimit: 0n,
    reversalMayOverdraw: false,
    actor: 'tester',
    occurredAt: START_MS,
    ...changes,
  },
})

export const tick = (timeMs: number): TickInput => ({
  type: 'tick',
  ...at('ticks'),
  tick: { time: timeMs, ends: [], actor: 'test' },
})

export const review = (transactionId: string, decision: 'release' | 'decline'): ReviewInput => ({
  type: 'review',
  ...at('reviews'),
  key: transactionKey('test', transactionId),
  review: { transactionId, source: 'test', decision, reason: '', actor: 'reviewer', occurredAt: START_MS },
})

/** An account outside the bank: no limit. */
export const external = (id: string, currency = 'EUR'): AccountInput =>
  account(id, { currency, accountClass: 'external', limited: false })

/** A horizon, in days. */
/** A record of the topic `rules`. */
export const ruled = (change: RuleChange): RuleInput => ({ type: 'rule', ...at('rules'), change })

export const horizon = (
  type: 'history_horizon' | 'id_horizon',
  days: number,
  changes: Partial<RuleChange> = {},
): RuleInput => ({
  type: 'rule',
  ...at('rules'),
  change: {
    ruleId: type,
    type,
    currency: null,
    threshold: 0n,
    windowMs: days * 86_400_000,
    action: 'reject',
    enabled: true,
    actor: 'tester',
    occurredAt: START_MS,
    ...changes,
  },
})

/** An administrative command; defaults are one that nothing is about. */
export const administrative = (changes: Partial<AdministrativeCommand> = {}): CommandInput => ({
  type: 'command',
  ...at('commands'),
  command: {
    id: 'c1',
    kind: 'dead_letter.discard',
    subject: 'transactions:0:0',
    parameters: {},
    actor: 'operator',
    reason: null,
    occurredAt: START_MS,
    ...changes,
  },
})

/** Brings a rulebook into force, proposed by one and approved by another. @param book as JSON */
export const putRulebook = (ledger: MemoryLedger, book: unknown): void => {
  ledger.apply([rulebook('rulebook_proposal', { definition: JSON.stringify(book) })])
  ledger.apply([rulebook('rulebook', { approves: ledger.sequence, actor: 'ben' })])
  if (ledger.refusals.length > 0) throw new Error(`the rulebook was refused: ${ledger.refusals.join(' ')}`)
}

/** A record about the rulebook; defaults are a proposal without a text. */
export const rulebook = (
  type: 'rulebook_proposal' | 'rulebook',
  changes: Partial<RuleChange> = {},
): RuleInput => ({
  type: 'rule',
  ...at('rules'),
  change: {
    ruleId: type,
    type,
    currency: null,
    threshold: 0n,
    windowMs: 0,
    action: 'alert',
    enabled: true,
    actor: 'ann',
    occurredAt: START_MS,
    ...changes,
  },
})
