/** Moving and reserving money on account states: all or nothing, with the limits checked on the result. */
import type { Posting } from '../transactions/command.ts'
import type { ReasonCode } from '../transactions/outcomes.ts'
import type { AccountState, BatchEffects, LedgerState, PostedPosting, ReservedAfter } from './state.ts'

/** Balances stay within this, so that a sum of two never leaves a 64-bit integer. */
const BALANCE_MAX = 2n ** 62n

/** The account's balance from its own side, minor units: positive = what its normal side shows. */
export const normalBalance = (account: AccountState): bigint =>
  account.normalSide === 'credit' ? account.posted : -account.posted

const withinLimit = (account: AccountState): boolean =>
  !account.limited || normalBalance(account) - account.reserved + account.overdraftLimit >= 0n

const account = (state: LedgerState, id: string): AccountState => {
  const found = state.accounts.get(id)
  if (found === undefined) throw new Error(`account ${id} was checked but isn't loaded`)
  return found
}

export interface MovementOptions {
  /** Reversals may pass the limit where the account says so. */
  readonly isReversal: boolean
  /** Money that was reserved before, freed as it moves: the limit was checked when it was reserved. */
  readonly fromReserved: boolean
}

/**
 * Posts all movements or none. Limits are checked on the result of the whole transaction, for accounts that end lower.
 * @returns the postings with the balances after each, or why nothing was posted.
 */
export const postAll = (
  state: LedgerState,
  effects: BatchEffects,
  postings: readonly Posting[],
  options: MovementOptions,
): PostedPosting[] | ReasonCode => {
  const posted: PostedPosting[] = []
  for (const posting of postings) {
    const debit = account(state, posting.debit)
    const credit = account(state, posting.credit)
    debit.posted -= posting.amount
    credit.posted += posting.amount
    posted.push({
      debit,
      credit,
      amount: posting.amount,
      currency: posting.currency,
      debitPosted: debit.posted,
      creditPosted: credit.posted,
    })
  }
  const reason = options.fromReserved
    ? overflowOf(posted)
    : posted.length === 1
      ? refusalOfOne(posted[0]!, options)
      : refusalOfMany(posted, options)
  if (reason !== null) {
    for (const { debit, credit, amount } of posted) {
      debit.posted += amount
      credit.posted -= amount
    }
    return reason
  }
  for (const { debit, credit } of posted) {
    effects.accounts.add(debit)
    effects.accounts.add(credit)
  }
  return posted
}

const overflows = (value: bigint): boolean => value > BALANCE_MAX || value < -BALANCE_MAX

const overflowOf = (posted: readonly PostedPosting[]): ReasonCode | null =>
  posted.some((p) => overflows(p.debit.posted) || overflows(p.credit.posted)) ? 'balance_overflow' : null

const exceeds = (reduced: AccountState, options: MovementOptions): boolean =>
  !withinLimit(reduced) && !(options.isReversal && reduced.reversalMayOverdraw)

const refusalOfOne = (posted: PostedPosting, options: MovementOptions): ReasonCode | null => {
  const { debit, credit } = posted
  if (debit.normalSide === 'credit' && exceeds(debit, options)) return 'insufficient_funds'
  if (credit.normalSide === 'debit' && exceeds(credit, options)) return 'insufficient_funds'
  return overflows(debit.posted) || overflows(credit.posted) ? 'balance_overflow' : null
}

const refusalOfMany = (posted: readonly PostedPosting[], options: MovementOptions): ReasonCode | null => {
  const net = new Map<AccountState, bigint>()
  for (const { debit, credit, amount } of posted) {
    net.set(debit, (net.get(debit) ?? 0n) - amount)
    net.set(credit, (net.get(credit) ?? 0n) + amount)
  }
  for (const [changed, change] of net) {
    const lowers = changed.normalSide === 'credit' ? change < 0n : change > 0n
    if (lowers && exceeds(changed, options)) return 'insufficient_funds'
  }
  return overflowOf(posted)
}

/** The accounts that a movement lowers: those whose money is reserved. */
const loweredBy = (state: LedgerState, posting: Posting): AccountState[] => {
  const debit = account(state, posting.debit)
  const credit = account(state, posting.credit)
  const lowered: AccountState[] = []
  if (debit.normalSide === 'credit') lowered.push(debit)
  if (credit.normalSide === 'debit') lowered.push(credit)
  return lowered
}

/**
 * Reserves the money of all movements or of none.
 * @returns the accounts with their reserved amounts after it, or why nothing was reserved.
 */
export const reserveAll = (
  state: LedgerState,
  effects: BatchEffects,
  postings: readonly Posting[],
): ReservedAfter[] | ReasonCode => {
  const touched = new Map<AccountState, bigint>()
  for (const posting of postings) {
    for (const lowered of loweredBy(state, posting)) {
      lowered.reserved += posting.amount
      touched.set(lowered, (touched.get(lowered) ?? 0n) + posting.amount)
    }
  }
  for (const lowered of touched.keys()) {
    if (withinLimit(lowered) && !overflows(lowered.reserved)) continue
    for (const [undone, amount] of touched) undone.reserved -= amount
    return 'insufficient_funds'
  }
  return reservedAfter(effects, touched.keys())
}

/** Frees what was reserved for the movements. */
export const freeAll = (
  state: LedgerState,
  effects: BatchEffects,
  postings: readonly Posting[],
): ReservedAfter[] => {
  const touched = new Set<AccountState>()
  for (const posting of postings) {
    if (posting.amount === 0n) continue
    for (const lowered of loweredBy(state, posting)) {
      lowered.reserved -= posting.amount
      if (lowered.reserved < 0n) throw new Error(`reserved amount of ${lowered.id} fell below zero`)
      touched.add(lowered)
    }
  }
  return reservedAfter(effects, touched)
}

const reservedAfter = (effects: BatchEffects, touched: Iterable<AccountState>): ReservedAfter[] => {
  const after: ReservedAfter[] = []
  for (const changed of touched) {
    effects.accounts.add(changed)
    after.push({ account: changed.id, reserved: changed.reserved })
  }
  return after
}
