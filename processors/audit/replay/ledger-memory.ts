/** A whole ledger in memory, as compact as a million transactions need: what the tables hold between batches, by replay alone. */
import { DAY_MS } from '#domain/fraud/features/feedback.ts'
import { encodeParty, partyKey, type PartyState } from '#domain/fraud/parties.ts'
import type { Rule } from '#domain/fraud/rules.ts'
import { type Horizons, NO_HORIZONS } from '#domain/ledger/horizons.ts'
import { isBeyondLabels } from '#domain/ledger/labels.ts'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { type BatchNeeds, collectNeeds } from '#domain/ledger/needs.ts'
import {
  type AccountState,
  type BatchEffects,
  type CardState,
  type ClaimedId,
  type ClaimedTransactionId,
  DECISION_BOUNDS,
  type DeadLetterStatus,
  type HoldState,
  type LabelledPayment,
  type LabelTarget,
  type LedgerState,
  type PostedParent,
  type TransactionDecision,
} from '#domain/ledger/state.ts'
import { restoreTicks, type TickState } from '#domain/time/pending-ticks.ts'
import type { TransactionCommand } from '#domain/transactions/command.ts'
import { type Names, TransactionMemory } from './transaction-memory.ts'

/** 'topic:partition' → next offset. */
export type Positions = Map<string, bigint>

const byExpiry = (a: HoldState, b: HoldState): number =>
  a.expiresAt - b.expiresAt || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)

export class LedgerMemory implements Names {
  readonly accounts = new Map<string, AccountState>()
  /** By number; numbers begin with 1. */
  readonly accountsByNo: AccountState[] = []
  readonly cards = new Map<string, CardState>()
  readonly cardsByNo: CardState[] = []
  /** By domain/fraud/parties.ts keys. */
  readonly parties = new Map<string, PartyState>()
  /** Active ones only: of those that are over `transactions` keeps what is needed. */
  readonly holds = new Map<string, HoldState>()
  readonly transactions = new TransactionMemory()
  /** By key, as far back as labels count: payments that a rule looked at labels of, and what is known of any. */
  readonly payments = new Map<string, LabelledPayment>()
  readonly labels = new Map<string, boolean>()
  readonly commands = new Map<string, ClaimedId>()
  readonly deadLetters = new Map<string, DeadLetterStatus>()
  /** By cluster: positions are its own. */
  readonly positions = new Map<string, Positions>()
  sequence = 0n
  rules: readonly Rule[] = []
  horizons: Horizons = NO_HORIZONS
  rulesVersion = 0n
  time: TickState
  expiring = false
  /** Day on which it was last looked for what labels don't reach any more. */
  private swept = -1
  /** No active hold is over before this, ms since 1970. */
  private earliestExpiry = Number.POSITIVE_INFINITY

  /** @param tickMs decision time at the beginning */
  constructor(tickMs: number) {
    this.time = restoreTicks(tickMs)
  }

  account(no: number): AccountState {
    return this.accountsByNo[no]!
  }

  card(no: number): string {
    return this.cardsByNo[no]!.card
  }

  /** By number. */
  *accountsInOrder(): Generator<AccountState> {
    for (let no = 1; no < this.accountsByNo.length; no += 1) yield this.account(no)
  }

  /** The state in which the inputs of the next batch are decided, as loading it from the tables would give it. */
  stateFor(inputs: readonly LedgerInput[], cluster: string): LedgerState {
    const needs = collectNeeds(inputs)
    const holds = this.holdsOf(needs)
    const due = this.dueHolds(this.latestTime(needs))
    for (const hold of due) holds.set(hold.key, hold)
    return {
      sequence: this.sequence + 1n,
      accounts: this.accounts,
      cards: this.cards,
      parties: this.parties,
      claimed: this.claimedOf(needs),
      labelTargets: this.labelTargetsOf(needs),
      labelKeys: needs.labelKeys,
      holds,
      parents: this.parentsOf(needs),
      parentsTakenAt: this.parentsTakenAt(needs),
      commands: this.commands,
      deadLetters: this.deadLetters,
      parentKeys: needs.parentKeys,
      dueHolds: due.slice(0, DECISION_BOUNDS.expiriesMax),
      nextDueAt: due[DECISION_BOUNDS.expiriesMax]?.expiresAt ?? null,
      rules: this.rules,
      horizons: this.horizons,
      rulesVersion: this.rulesVersion,
      accountsCount: this.accounts.size,
      cardsCount: this.cards.size,
      positions: this.positionsOf(cluster),
      time: this.time,
      expiring: this.expiring,
      bounds: DECISION_BOUNDS,
    }
  }

  /** Keeps what a batch changed; to be called once its outputs are encoded. */
  keep(state: LedgerState, effects: BatchEffects): void {
    this.sequence = state.sequence
    this.rules = state.rules
    this.horizons = state.horizons
    this.rulesVersion = state.rulesVersion
    this.expiring = state.expiring
    for (const account of effects.accounts) {
      account.referenceChanged = false
      account.profileChanged = false
      this.accountsByNo[account.no] = account
    }
    for (const card of effects.cards) this.cardsByNo[card.no] = card
    // At rest they are a tenth as large.
    for (const party of effects.parties) encodeParty(party)
    for (const key of effects.forgotten) {
      this.transactions.forget(key)
      this.holds.delete(key)
      this.payments.delete(key)
      this.labels.delete(key)
    }
    for (const { key, isFraud } of effects.labels.values()) this.labels.set(key, isFraud)
    this.dropUnlabelled()
    for (const decision of effects.decisions) this.keepDecision(decision)
    for (const parent of effects.parents) this.keepReversed(parent)
    for (const hold of effects.holds) this.keepHold(this.asStored(hold))
  }

  /** A hold as its row has it: one that was released and goes on as an authorization keeps the place where it was first made. */
  asStored(hold: HoldState): HoldState {
    const before = this.holds.get(hold.key)
    if (before === undefined || before === hold) return hold
    return { ...hold, sequence: before.sequence, index: before.index }
  }

  positionsOf(cluster: string): Positions {
    let positions = this.positions.get(cluster)
    if (positions === undefined) {
      positions = new Map()
      this.positions.set(cluster, positions)
    }
    return positions
  }

  restoreAccount(account: AccountState): void {
    this.accounts.set(account.id, account)
    this.accountsByNo[account.no] = account
  }

  restoreCard(card: CardState): void {
    this.cards.set(card.card, card)
    this.cardsByNo[card.no] = card
  }

  restoreParty(party: PartyState): void {
    this.parties.set(partyKey(party.kind, party.name), party)
  }

  /** Takes a hold in that a checkpoint kept. */
  restoreHold(hold: HoldState): void {
    this.holds.set(hold.key, hold)
    this.earliestExpiry = Math.min(this.earliestExpiry, hold.expiresAt)
  }

  private keepDecision(decision: TransactionDecision): void {
    const { key, command } = decision
    if (decision.claims) {
      this.transactions.claim(key, { content: decision.content, takenAtMs: decision.recordedAt })
    }
    if (decision.claims && decision.payment !== null) this.payments.set(key, decision.payment)
    if (decision.status !== 'applied') return
    const postings = decision.postings.map((posting) => ({
      debitNo: posting.debit.no,
      creditNo: posting.credit.no,
      amount: posting.amount,
    }))
    this.transactions.post(key, command.kind === 'unknown' ? 'post' : command.kind, decision.cardNo, postings)
  }

  private keepReversed(parent: PostedParent): void {
    for (const { posting, reversed, changed } of parent.postings) {
      if (changed) this.transactions.setReversed(parent.key, posting, reversed)
    }
  }

  private keepHold(hold: HoldState): void {
    if (hold.status === 'active') {
      this.restoreHold(hold)
      return
    }
    this.holds.delete(hold.key)
    const card = hold.command.card === null ? undefined : this.cards.get(hold.command.card)
    this.transactions.closeHold(hold.key, hold.kind, card?.no ?? null)
  }

  private claimedOf(needs: BatchNeeds): Map<string, ClaimedTransactionId> {
    const claimed = new Map<string, ClaimedTransactionId>()
    for (const key of needs.idKeys) {
      const taken = this.transactions.takenId(key)
      if (taken !== null) claimed.set(key, { content: taken.content, recordedAt: taken.takenAtMs })
    }
    return claimed
  }

  /** Of what is so old that no label counts nothing is kept; looked at once a day. */
  private dropUnlabelled(): void {
    const day = Math.floor(this.time.nowMs / DAY_MS)
    if (day === this.swept) return
    this.swept = day
    for (const kept of [this.payments, this.labels]) {
      for (const key of kept.keys()) {
        const taken = this.transactions.takenId(key)
        if (taken === null || isBeyondLabels(this, taken.takenAtMs)) kept.delete(key)
      }
    }
  }

  private labelTargetsOf(needs: BatchNeeds): Map<string, LabelTarget> {
    const targets = new Map<string, LabelTarget>()
    for (const key of needs.labelKeys) {
      const taken = this.transactions.takenId(key)
      if (taken === null) continue
      const payment = this.payments.get(key) ?? null
      targets.set(key, { takenAt: taken.takenAtMs, payment, isFraud: this.labels.get(key) ?? null })
    }
    return targets
  }

  private parentsTakenAt(needs: BatchNeeds): Map<string, number> {
    const takenAt = new Map<string, number>()
    for (const key of needs.parentKeys) {
      const taken = this.transactions.takenId(key)
      if (taken !== null) takenAt.set(key, taken.takenAtMs)
    }
    return takenAt
  }

  private holdsOf(needs: BatchNeeds): Map<string, HoldState> {
    const holds = new Map<string, HoldState>()
    for (const key of needs.parentKeys) {
      const hold = this.holds.get(key) ?? this.closedHold(key)
      if (hold !== null) holds.set(key, hold)
    }
    return holds
  }

  private parentsOf(needs: BatchNeeds): Map<string, PostedParent> {
    const parents = new Map<string, PostedParent>()
    for (const key of needs.parentKeys) {
      const parent = this.transactions.parent(key, this)
      if (parent !== null) parents.set(key, parent)
    }
    return parents
  }

  /** A hold that is over, with the little that decisions still look at: that it is over, its kind and its card. */
  private closedHold(key: string): HoldState | null {
    const closed = this.transactions.closedHold(key)
    if (closed === null) return null
    const card = closed.cardNo === null ? null : this.card(closed.cardNo)
    return {
      key,
      kind: closed.kind,
      id: '',
      source: '',
      sequence: 0n,
      index: 0,
      expiresAt: 0,
      postings: [],
      command: { card } as TransactionCommand,
      status: 'voided',
      version: 0n,
      versionIndex: 0,
      priority: 0,
      reviewers: 1,
      releasedBy: null,
    }
  }

  /** The latest time that may come to apply in the batch; null = none can. */
  private latestTime(needs: BatchNeeds): number | null {
    const times = this.time.pending.map((tick) => tick.time)
    if (needs.latestTick !== null) times.push(needs.latestTick)
    if (this.expiring) times.push(this.time.nowMs)
    return times.length === 0 ? null : Math.max(...times)
  }

  /** Active holds that are over at a time, oldest first; one more than a batch may expire, at most. */
  private dueHolds(timeMs: number | null): HoldState[] {
    if (timeMs === null || this.earliestExpiry > timeMs) return []
    const due: HoldState[] = []
    let earliest = Number.POSITIVE_INFINITY
    for (const hold of this.holds.values()) {
      if (hold.expiresAt <= timeMs) due.push(hold)
      if (hold.expiresAt < earliest) earliest = hold.expiresAt
    }
    this.earliestExpiry = earliest
    return due.sort(byExpiry).slice(0, DECISION_BOUNDS.expiriesMax + 1)
  }
}
