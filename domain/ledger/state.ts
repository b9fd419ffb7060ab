/**
 * The part of a ledger that one batch touches, loaded under the head row, and what deciding changes in it.
 * The decide functions own these objects and change them in place; the shell writes what is marked as changed.
 */
import type { PartyState } from '../fraud/parties.ts'
import type { AccountProfile } from '../fraud/profile.ts'
import type { Rule, RuleHit } from '../fraud/rules.ts'
import type { TickState } from '../time/pending-ticks.ts'
import type {
  AccountClass,
  AdministrativeCommand,
  Side,
  TransactionCommand,
} from '../transactions/command.ts'
import type {
  Cause,
  ReasonCode,
  Refusal,
  TransactionKind,
  TransactionStatus,
} from '../transactions/outcomes.ts'
import type { Horizons } from './horizons.ts'
import type { DeadLetterInput, InputPosition } from './inputs.ts'

export interface AccountState {
  /** Row number, given at opening in ledger order. */
  readonly no: number
  readonly id: string
  readonly currency: string
  readonly accountClass: AccountClass
  readonly normalSide: Side
  readonly reversalMayOverdraw: boolean
  readonly openedSequence: bigint
  status: 'open' | 'frozen' | 'closed'
  limited: boolean
  overdraftLimit: bigint
  /** Credits less debits, minor units. */
  posted: bigint
  /** Minor units reserved by authorizations and held transactions. */
  reserved: bigint
  /** Sequence of the batch that last changed it. */
  version: bigint
  /** Opened, or reference data changed, in the batch being decided. */
  referenceChanged: boolean
  profile: AccountProfile | null
  profileChanged: boolean
}

export interface CardState {
  readonly no: number
  readonly card: string
  readonly accountId: string
  readonly accountNo: number
  readonly isNew: boolean
  status: 'active' | 'blocked' | 'cancelled'
  expiresAt: number | null
  transactionLimit: bigint | null
  dailyLimit: bigint | null
  spent: bigint
  reserved: bigint
  day: number
  dayAmount: bigint
  version: bigint
}

export interface HeldPosting {
  readonly debit: string
  readonly credit: string
  readonly amount: bigint
  readonly currency: string
  /** Minor units still reserved. */
  remaining: bigint
}

export type HoldStatus = 'active' | 'captured' | 'voided' | 'released' | 'declined' | 'expired' | 'rejected'

/** Reserved money: an authorization, or a transaction held for review. */
export interface HoldState {
  readonly key: string
  readonly kind: 'authorization' | 'review'
  readonly id: string
  readonly source: string
  readonly sequence: bigint
  readonly index: number
  readonly expiresAt: number
  readonly postings: HeldPosting[]
  readonly command: TransactionCommand
  /** In which order held transactions are looked at (domain/fraud/priority.ts); 0 for authorizations. */
  readonly priority: number
  /** How many people must release it. */
  readonly reviewers: number
  /** Who has, while another one is still needed. */
  releasedBy: string | null
  status: HoldStatus
  /** Sequence and place of the last decision about it. */
  version: bigint
  versionIndex: number
}

export interface ReversiblePosting {
  /** Place in the parent's postings. */
  readonly posting: number
  readonly debit: string
  readonly credit: string
  readonly amount: bigint
  readonly currency: string
  /** Minor units already given back. */
  reversed: bigint
  changed: boolean
}

/** A posted transaction that others in the batch refer to. */
export interface PostedParent {
  readonly key: string
  readonly kind: TransactionKind
  readonly card: string | null
  readonly postings: ReversiblePosting[]
}

/** An id that is already taken. */
export interface ClaimedId {
  readonly content: string
}

/** An id that a transaction took. */
export interface ClaimedTransactionId extends ClaimedId {
  /** Decision time, ms since 1970. */
  readonly recordedAt: number
}

/** What became of a dead letter. */
export type DeadLetterStatus = 'open' | 'retried' | 'discarded'

/** What became of a command. */
export type CommandOutcome = 'applied' | 'rejected' | 'duplicate'

/** What a label needs of a payment that was looked at. */
export interface LabelledPayment {
  /** Account id and number of who paid. */
  readonly payer: string
  readonly payerNo: number
  /** Key of the terminal or merchant (domain/fraud/parties.ts); null where none was told or looked at. */
  readonly acceptor: string | null
  /** Event time, ms since 1970. */
  readonly at: number
  /** Whether the amount was unusual for the payer. */
  readonly wasUnusual: boolean
}

/** A transaction that labels of the batch are about. */
export interface LabelTarget {
  /** Decision time, ms since 1970. */
  readonly takenAt: number
  /** null where no rule looked at labels when it was decided. */
  readonly payment: LabelledPayment | null
  /** What is known of it so far; null = nothing. */
  isFraud: boolean | null
}

export interface LedgerState {
  /** Sequence of the batch being decided. */
  readonly sequence: bigint
  readonly accounts: Map<string, AccountState>
  readonly cards: Map<string, CardState>
  /** Parties that the rulebook in force looks at, by domain/fraud/parties.ts keys; absent = never seen. */
  readonly parties: Map<string, PartyState>
  readonly claimed: Map<string, ClaimedTransactionId>
  /** Transactions that labels are about, by their keys; absent = there is none. */
  readonly labelTargets: Map<string, LabelTarget>
  /** Keys that labels of the batch name. */
  readonly labelKeys: ReadonlySet<string>
  readonly holds: Map<string, HoldState>
  readonly parents: Map<string, PostedParent>
  /** When the ids were taken that records of the batch name as their parents, ms since 1970; absent = not taken. */
  readonly parentsTakenAt: Map<string, number>
  /** Ids of commands that are taken. */
  readonly commands: Map<string, ClaimedId>
  /** Dead letters that commands of the batch are about, by domain/ledger/dead-letters.ts names. */
  readonly deadLetters: Map<string, DeadLetterStatus>
  /** Keys that a record of the batch names as its parent: what is decided about them is kept for it. */
  readonly parentKeys: ReadonlySet<string>
  /** Active holds that a tick of this batch may expire, by (expiresAt, key). */
  readonly dueHolds: readonly HoldState[]
  /** When the first one that wasn't loaded any more is over, ms since 1970; null where all were. */
  readonly nextDueAt: number | null
  rules: readonly Rule[]
  /** How far back records may reach; a part of the rules. */
  horizons: Horizons
  rulesVersion: bigint
  accountsCount: number
  cardsCount: number
  /** Next offset of every ingest partition ('topic:partition'), moved on with each input. */
  readonly positions: Map<string, bigint>
  time: TickState
  /** A tick whose expiries did not fit into the last batch. */
  expiring: boolean
  readonly bounds: DecisionBounds
}

/** Bounds of decisions. They belong to the logic version: changing one needs a new version. */
export interface DecisionBounds {
  /** How far beyond the decision time an event time may lie, ms. */
  readonly futureToleranceMs: number
  /** Effects of one tick in one batch. */
  readonly expiriesMax: number
}

export const LOGIC_VERSION = 1

/**
 * Bounds of logic version 1. With 2,000 expiries, holds of a hundred postings that ended together took the head's holder longer than
 * Postgres lets a transaction idle: the batch was rolled back and tried again for ever. So many take 0.9 s on two busy cores.
 */
export const DECISION_BOUNDS: DecisionBounds = {
  futureToleranceMs: 300_000,
  expiriesMax: 200,
}

/** How long an authorization lasts where its record doesn't say, and a held transaction without a review, ms. */
export const AUTHORIZATION_LIFETIME_MS = 7 * 86_400_000

export interface PostedPosting {
  readonly debit: AccountState
  readonly credit: AccountState
  readonly amount: bigint
  readonly currency: string
  readonly debitPosted: bigint
  readonly creditPosted: bigint
}

export interface ReservedAfter {
  readonly account: string
  readonly reserved: bigint
}

/** What was decided about one transaction, once. */
export interface TransactionDecision {
  readonly index: number
  readonly position: InputPosition
  readonly key: string
  readonly content: string
  /** Whether the id is taken by this decision. */
  readonly claims: boolean
  readonly command: TransactionCommand
  readonly cause: Cause
  readonly status: TransactionStatus
  readonly reason: ReasonCode | null
  readonly parentKey: string | null
  readonly cardNo: number | null
  readonly recordedAt: number
  readonly postings: readonly PostedPosting[]
  readonly reserved: readonly ReservedAfter[]
  readonly rules: readonly RuleHit[]
  /** For labels that may come; null where no rule looks at them. */
  readonly payment: LabelledPayment | null
  readonly actor: string
}

export interface Alert {
  readonly index: number
  readonly decision: TransactionDecision
  readonly kind: 'rules' | 'id_conflict'
  readonly action: 'alert' | 'hold' | 'reject'
  readonly account: string | null
}

export interface NotificationEffect {
  readonly index: number
  readonly kind: 'account_refused' | 'card_refused' | 'rule_refused' | 'review_refused' | 'label_refused'
  readonly subject: string
  readonly reason: Refusal
  readonly position: InputPosition
  readonly recordedAt: number
}

/** A partition that is read on from elsewhere, by a command. */
export interface PositionMove {
  readonly topic: string
  readonly partition: number
  readonly from: bigint
  readonly to: bigint
}

/** What was decided about one record of the `commands` topic. */
export interface CommandEffect {
  readonly index: number
  /** As it came; cut and without parameters and reason where it was refused for what it holds. */
  readonly command: AdministrativeCommand
  /** Hex (32 digits), see domain/ledger/commands.ts. */
  readonly content: string
  /** Whether the id is taken by this decision. */
  readonly claims: boolean
  readonly outcome: CommandOutcome
  readonly refusal: Refusal | null
  readonly position: InputPosition
  readonly recordedAt: number
}

export interface DeadLetterEffect {
  readonly index: number
  readonly letter: DeadLetterInput
  readonly position: InputPosition
  readonly recordedAt: number
}

/** What is known of a payment from now on. */
export interface LabelEffect {
  readonly key: string
  readonly isFraud: boolean
  readonly actor: string
  readonly reason: string
  readonly occurredAt: number
  readonly recordedAt: number
  readonly position: InputPosition
}

/** Everything that a batch does, in memory; nothing of it has happened until the shell commits it. */
export interface BatchEffects {
  /** Inputs decided: fewer than given where a tick's expiries fill the batch. */
  consumed: number
  readonly decisions: TransactionDecision[]
  readonly accounts: Set<AccountState>
  readonly cards: Set<CardState>
  readonly parties: Set<PartyState>
  readonly holds: Set<HoldState>
  readonly parents: Set<PostedParent>
  readonly rules: Rule[]
  readonly alerts: Alert[]
  readonly notifications: NotificationEffect[]
  readonly deadLetters: DeadLetterEffect[]
  readonly commands: CommandEffect[]
  /** By key: the last one of the batch. */
  readonly labels: Map<string, LabelEffect>
  readonly moves: PositionMove[]
  /** Keys of ids that were taken so long ago that they count as free: with all that hangs on them they go before anything is written. */
  readonly forgotten: Set<string>
  nextIndex: number
}

export const emptyEffects = (): BatchEffects => ({
  consumed: 0,
  decisions: [],
  accounts: new Set(),
  cards: new Set(),
  parties: new Set(),
  holds: new Set(),
  parents: new Set(),
  rules: [],
  alerts: [],
  notifications: [],
  deadLetters: [],
  commands: [],
  labels: new Map(),
  moves: [],
  forgotten: new Set(),
  nextIndex: 0,
})
