/**
 * Deciding a batch: state in, effects out, nothing else. What is decided depends on the order of the inputs alone,
 * never on where batches are cut.
 */
import { addTick, advance, applyDue, putBack } from '../time/pending-ticks.ts'
import { decideCommand } from './commands.ts'
import { addDeadLetter } from './dead-letters.ts'
import { expireDue } from './expiry.ts'
import type { InputPosition, LedgerInput, TickInput } from './inputs.ts'
import { decideLabel } from './labels.ts'
import { decideAccount, decideCard, decideRule } from './reference.ts'
import { decideReview } from './reviews.ts'
import { type BatchEffects, emptyEffects, type LedgerState } from './state.ts'
import { decideTransaction } from './transactions.ts'

/**
 * Decides the inputs in order. `effects.consumed` says how many were decided: all, unless a tick's expiries filled the
 * batch (then `state.expiring` is set and the next batch goes on with them before anything else), or a command moved a position.
 */
export const decideBatch = (state: LedgerState, inputs: readonly LedgerInput[]): BatchEffects => {
  const effects = emptyEffects()
  if (state.expiring && !goOnExpiring(state, effects)) return finished(state, effects)
  for (const input of inputs) {
    decideInput(state, effects, input)
    effects.consumed += 1
    // Whoever reads a partition that was moved has to take it anew.
    if (!passTime(state, effects, input) || effects.moves.length > 0) break
  }
  return finished(state, effects)
}

const decideInput = (state: LedgerState, effects: BatchEffects, input: LedgerInput): void => {
  switch (input.type) {
    case 'transaction':
      decideTransaction(state, effects, input)
      break
    case 'account':
      decideAccount(state, effects, input)
      break
    case 'card':
      decideCard(state, effects, input)
      break
    case 'review':
      decideReview(state, effects, input)
      break
    case 'label':
      decideLabel(state, effects, input)
      break
    case 'rule':
      decideRule(state, effects, input)
      break
    case 'command':
      decideCommand(state, effects, input)
      break
    case 'dead':
      addDeadLetter(state, effects, { index: effects.nextIndex++, letter: input.letter, position: input })
      break
    case 'tick':
    case 'advance':
      break
    default:
      throw new Error(`unknown input ${String(input satisfies never)}`)
  }
}

/** Moves the reading position and with it perhaps time. @returns false where the batch must end. */
const passTime = (state: LedgerState, effects: BatchEffects, input: LedgerInput): boolean => {
  const partition = `${input.topic}:${input.partition}`
  const next = input.offset + 1n
  state.positions.set(partition, next)
  const times = input.type === 'tick' ? takeTick(state, input) : advance(state.time, partition, next)
  return applyTimes(state, effects, times, input)
}

/** What an earlier batch had no room for, at the time that it had come to; then the times that had to wait for that. */
const goOnExpiring = (state: LedgerState, effects: BatchEffects): boolean => {
  const position = { topic: 'ticks', partition: 0, offset: -1n }
  state.expiring = !expireDue(state, effects, position)
  return !state.expiring && applyTimes(state, effects, applyDue(state.time), position)
}

/** Lets times come one after the other. @returns false where the batch must end: the later ones wait for the next one */
const applyTimes = (
  state: LedgerState,
  effects: BatchEffects,
  times: readonly number[],
  position: InputPosition,
): boolean => {
  for (const [place, time] of times.entries()) {
    state.time.nowMs = time
    state.expiring = !expireDue(state, effects, position)
    if (state.expiring) {
      // What is left expires at this time, wherever batches are cut.
      putBack(state.time, times.slice(place + 1))
      return false
    }
  }
  return true
}

const takeTick = (state: LedgerState, input: TickInput): number[] =>
  addTick(state.time, input.tick, state.positions)

const finished = (state: LedgerState, effects: BatchEffects): BatchEffects => {
  for (const account of effects.accounts) account.version = state.sequence
  for (const card of effects.cards) card.version = state.sequence
  for (const party of effects.parties) party.version = state.sequence
  return effects
}
