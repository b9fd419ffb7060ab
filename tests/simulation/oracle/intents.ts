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
  | IntendedReview
  | IntendedTick
  | IntendedGarbage
