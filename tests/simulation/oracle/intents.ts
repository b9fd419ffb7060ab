/** What the simulated producers mean by their records: the oracle decides these, not the bytes that the engine reads. */

export interface IntendedPosting {
  readonly debit: string
  readonly credit: string
  readonly amount: bigint
  readonly currency: string
}

export interface IntendedTransaction {
  readonly type: 'transaction'
  readonly kind: 'post' | 'authorize' | 'capture' | 'void' | 'reverse'
  readonly id: string
  readonly source: string
  readonly postings: readonly IntendedPosting[]
  readonly parentId: string | null
  readonly expiresAt: number | null
  readonly occurredAt: number
  readonly terminal: string | null
}

export interface IntendedAccount {
  readonly type: 'account'
  readonly action: 'open' | 'set_limit' | 'freeze' | 'unfreeze'
  readonly id: string
  readonly currency: string
  readonly isCustomer: boolean
  readonly limited: boolean
  readonly overdraftLimit: bigint
}

export interface IntendedRule {
  readonly type: 'rule'
  readonly ruleId: string
  readonly currency: string
  readonly threshold: bigint
  readonly action: 'reject' | 'hold' | 'alert'
  readonly enabled: boolean
}

/**
 * The rulebook that holds payments which are a terminal's HELD_FROM-th to HELD_TO-th by a rule, and the HELD_BY_MODEL-th by its
 * model's score; it looks at labels too, without acting.
 */
export interface IntendedRulebook {
  readonly type: 'rulebook'
  /** Version of the proposal that is approved; null = this one proposes. */
  readonly approves: bigint | null
  readonly actor: string
}
export const HELD_FROM = 4
export const HELD_TO = 9
export const HELD_BY_MODEL = 2

export interface IntendedLabel {
  readonly type: 'label'
  readonly id: string
  readonly source: string
  readonly isFraud: boolean
}

export interface IntendedReview {
  readonly type: 'review'
  readonly id: string
  readonly source: string
  readonly release: boolean
}

export interface IntendedTick {
  readonly type: 'tick'
  readonly time: number
  readonly ends: readonly { readonly topic: string; readonly partition: number; readonly end: bigint }[]
}

/** Bytes that nobody can read. */
export interface IntendedGarbage {
  readonly type: 'garbage'
}

export type Intent =
  | IntendedTransaction
  | IntendedAccount
  | IntendedRule
  | IntendedRulebook
  | IntendedLabel
  | IntendedReview
  | IntendedTick
  | IntendedGarbage
