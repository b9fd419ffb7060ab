/** Rules of cards: whether one may be used, and what was spent and reserved with it. */
import type { Posting, TransactionCommand } from '../transactions/command.ts'
import type { ReasonCode } from '../transactions/outcomes.ts'
import type { BatchEffects, CardState, LedgerState } from './state.ts'

const DAY_MS = 86_400_000

/** Minor units that leave the card's account. */
export const cardAmount = (card: CardState, postings: readonly Posting[]): bigint => {
  let sum = 0n
  for (const posting of postings) {
    if (posting.debit === card.accountId) sum += posting.amount
    if (posting.credit === card.accountId) sum -= posting.amount
  }
  return sum
}

const amountOfToday = (card: CardState, nowMs: number): bigint =>
  card.day === Math.floor(nowMs / DAY_MS) ? card.dayAmount : 0n

/** Why the card may not be used for this, or null. */
export const refusalOfCard = (state: LedgerState, command: TransactionCommand): ReasonCode | null => {
  if (command.card === null) return null
  const card = state.cards.get(command.card)
  if (card === undefined) return 'card_unknown'
  if (!command.postings.some((p) => p.debit === card.accountId || p.credit === card.accountId)) {
    return 'card_account_mismatch'
  }
  if (card.status !== 'active') return 'card_blocked'
  if (card.expiresAt !== null && card.expiresAt <= state.time.nowMs) return 'card_expired'
  const amount = cardAmount(card, command.postings)
  if (card.transactionLimit !== null && amount > card.transactionLimit) return 'card_limit_exceeded'
  if (card.dailyLimit !== null && amountOfToday(card, state.time.nowMs) + amount > card.dailyLimit) {
    return 'card_limit_exceeded'
  }
  return null
}

/** Sums of cards end here, as balances do. */
const SUM_MAX = 2n ** 62n
const INT8_MAX = 2n ** 63n - 1n

const magnitude = (value: bigint): bigint => (value < 0n ? -value : value)

/** Whether the card's sums have no room left for this. */
export const overflowsCard = (card: CardState, postings: readonly Posting[]): boolean => {
  const before = magnitude(card.spent + card.reserved)
  const after = magnitude(card.spent + card.reserved + cardAmount(card, postings))
  return after > SUM_MAX && after > before
}

/** What the database can hold: a sum beyond it would stop the ledger. */
const storable = (sum: bigint): bigint => (sum > INT8_MAX ? INT8_MAX : sum < -INT8_MAX ? -INT8_MAX : sum)

export interface CardMovement {
  /** Minor units added to what was spent. */
  readonly spent?: bigint
  /** Minor units added to what is reserved. */
  readonly reserved?: bigint
  /** Minor units that count for today's limit. */
  readonly today?: bigint
}

/** Keeps the card's sums; null card: nothing. */
export const moveCard = (
  state: LedgerState,
  effects: BatchEffects,
  card: CardState | undefined,
  movement: CardMovement,
): void => {
  if (card === undefined) return
  card.spent = storable(card.spent + (movement.spent ?? 0n))
  card.reserved = storable(card.reserved + (movement.reserved ?? 0n))
  if (movement.today !== undefined) {
    // Far above every limit long before it ends.
    card.dayAmount = storable(amountOfToday(card, state.time.nowMs) + movement.today)
    card.day = Math.floor(state.time.nowMs / DAY_MS)
  }
  effects.cards.add(card)
}
