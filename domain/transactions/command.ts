/** The records of the ingest topics as the engine sees them: decoded, not yet judged. Amounts in minor units, times in ms since 1970 UTC. */
import type { TransactionKind } from './outcomes.ts'

/** One movement: `debit` is debited and `credit` credited by `amount` minor units. */
export interface Posting {
  readonly debit: string
  readonly credit: string
  readonly amount: bigint
  readonly currency: string
}

export interface Position {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

export interface TransactionCommand {
  readonly id: string
  readonly source: string
  readonly kind: TransactionKind | 'unknown'
  readonly postings: readonly Posting[]
  readonly parentId: string | null
  /** Source of the parent; null = the command's own. */
  readonly parentSource: string | null
  readonly card: string | null
  readonly merchant: string | null
  readonly terminal: string | null
  readonly device: string | null
  readonly country: string | null
  readonly endToEndId: string | null
  readonly uetr: string | null
  readonly valueTime: number | null
  readonly occurredAt: number
  readonly expiresAt: number | null
  readonly actor: string
  readonly metadata: Readonly<Record<string, string>>
  readonly after: Position | null
}

/** What every transaction has to say; `blankCommand` fills in the rest. */
type StatedFields = Pick<TransactionCommand, 'id' | 'source' | 'postings' | 'occurredAt' | 'actor'>

/** A transaction of kind `post` that says nothing but the given fields. Its fields are in the order of the interface. */
export const blankCommand = (fields: StatedFields & Partial<TransactionCommand>): TransactionCommand => {
  const given: Partial<TransactionCommand> = fields
  return {
    id: fields.id,
    source: fields.source,
    kind: 'post',
    postings: fields.postings,
    parentId: null,
    parentSource: null,
    card: null,
    merchant: null,
    terminal: null,
    device: null,
    country: null,
    endToEndId: null,
    uetr: null,
    valueTime: null,
    occurredAt: fields.occurredAt,
    expiresAt: null,
    actor: fields.actor,
    metadata: {},
    after: null,
    ...given,
  }
}

export const ACCOUNT_CLASSES = [
  'customer',
  'external',
  'suspense',
  'fee',
  'position',
  'nostro',
  'clearing',
  'internal',
] as const
/** What an account is for. */
export type AccountClass = (typeof ACCOUNT_CLASSES)[number]
export type Side = 'debit' | 'credit'

export interface AccountChange {
  readonly action: 'open' | 'freeze' | 'unfreeze' | 'close' | 'set_limit' | 'unknown'
  readonly accountId: string
  readonly currency: string | null
  readonly accountClass: AccountClass
  readonly normalSide: Side
  readonly limited: boolean
  readonly overdraftLimit: bigint
  readonly reversalMayOverdraw: boolean
  readonly actor: string
  readonly occurredAt: number
}

export interface CardChange {
  readonly action: 'issue' | 'block' | 'unblock' | 'cancel' | 'set_limits' | 'unknown'
  readonly card: string
  readonly accountId: string | null
  readonly expiresAt: number | null
  readonly transactionLimit: bigint | null
  readonly dailyLimit: bigint | null
  readonly actor: string
  readonly occurredAt: number
}

export interface Review {
  readonly transactionId: string
  readonly source: string
  readonly decision: 'release' | 'decline' | 'unknown'
  readonly reason: string
  readonly actor: string
  readonly occurredAt: number
}

/** What turned out about a payment. */
export interface Label {
  readonly transactionId: string
  readonly source: string
  readonly verdict: 'fraud' | 'genuine' | 'unknown'
  readonly reason: string
  readonly actor: string
  readonly occurredAt: number
}

export interface RuleChange {
  readonly ruleId: string
  readonly type:
    | 'amount_limit'
    | 'velocity_count'
    | 'velocity_sum'
    | 'history_horizon'
    | 'id_horizon'
    | 'rulebook_proposal'
    | 'rulebook'
    | 'second_reviewer'
    | 'unknown'
  readonly currency: string | null
  readonly threshold: bigint
  readonly windowMs: number
  readonly action: 'alert' | 'hold' | 'reject' | 'unknown'
  readonly enabled: boolean
  /** rulebook_proposal: the rulebook as JSON text. second_reviewer: the fraud rule that it is about. */
  readonly definition?: string | null
  /** rulebook: version of the proposal that it brings into force. */
  readonly approves?: bigint | null
  readonly actor: string
  readonly occurredAt: number
}

/** What an operator decided about something that is no transaction; kinds: domain/ledger/commands.ts. */
export interface AdministrativeCommand {
  readonly id: string
  readonly kind: string
  readonly subject: string
  readonly parameters: Readonly<Record<string, string>>
  readonly actor: string
  readonly reason: string | null
  readonly occurredAt: number
}

export interface Tick {
  readonly time: number
  readonly ends: readonly { readonly topic: string; readonly partition: number; readonly end: bigint }[]
  readonly actor: string
}
