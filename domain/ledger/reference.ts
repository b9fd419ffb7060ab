/** Reference data: accounts, cards and rules change only by records of their topics, in the serial history. */
import { newProfile } from '../fraud/profile.ts'
import { type Rule, withRule } from '../fraud/rules.ts'
import { maskCardNumbers } from '../transactions/card-numbers.ts'
import type { AccountChange, CardChange } from '../transactions/command.ts'
import type { Refusal } from '../transactions/outcomes.ts'
import { validateAccountChange, validateCardChange, validateRuleChange } from '../transactions/validate.ts'
import type { AccountInput, CardInput, InputPosition, RuleInput } from './inputs.ts'
import { horizonRuleOf, horizonsFit, isHorizonRule, withHorizon } from './horizons.ts'
import { approvedRule, refusalOfRulebook } from './rulebooks.ts'
import type { AccountState, BatchEffects, CardState, LedgerState, NotificationEffect } from './state.ts'

const SUBJECT_LENGTH_MAX = 128

const refuse = (
  state: LedgerState,
  effects: BatchEffects,
  position: InputPosition,
  what: Pick<NotificationEffect, 'kind' | 'subject' | 'reason'>,
): void => {
  effects.notifications.push({
    ...what,
    // Clients' words: no card number may come in this way.
    subject: maskCardNumbers(what.subject).slice(0, SUBJECT_LENGTH_MAX),
    index: effects.nextIndex++,
    position,
    recordedAt: state.time.nowMs,
  })
}

/** Decides one record of the `accounts` topic. */
export const decideAccount = (state: LedgerState, effects: BatchEffects, input: AccountInput): void => {
  const { change } = input
  const reason = validateAccountChange(change) ?? applyAccountChange(state, effects, change)
  if (reason === null) return
  refuse(state, effects, input, { kind: 'account_refused', subject: change.accountId, reason })
}

const applyAccountChange = (
  state: LedgerState,
  effects: BatchEffects,
  change: AccountChange,
): Refusal | null => {
  const existing = state.accounts.get(change.accountId)
  if (change.action === 'open') {
    if (existing !== undefined) return sameOpening(existing, change) ? null : 'exists_with_other_content'
    openAccount(state, effects, change)
    return null
  }
  if (existing === undefined) return 'unknown_account'
  if (existing.status === 'closed') return 'account_closed'
  switch (change.action) {
    case 'freeze':
      existing.status = 'frozen'
      break
    case 'unfreeze':
      if (existing.status !== 'frozen') return 'not_frozen'
      existing.status = 'open'
      break
    case 'close':
      if (existing.posted !== 0n || existing.reserved !== 0n) return 'balance_not_zero'
      existing.status = 'closed'
      break
    case 'set_limit':
      existing.limited = change.limited
      existing.overdraftLimit = change.limited ? change.overdraftLimit : 0n
      break
    default:
      return 'action_unknown'
  }
  existing.referenceChanged = true
  effects.accounts.add(existing)
  return null
}

const sameOpening = (existing: AccountState, change: AccountChange): boolean =>
  existing.currency === change.currency &&
  existing.accountClass === change.accountClass &&
  existing.normalSide === change.normalSide &&
  existing.reversalMayOverdraw === change.reversalMayOverdraw

const openAccount = (state: LedgerState, effects: BatchEffects, change: AccountChange): void => {
  const opened: AccountState = {
    no: ++state.accountsCount,
    id: change.accountId,
    currency: change.currency!,
    accountClass: change.accountClass,
    normalSide: change.normalSide,
    reversalMayOverdraw: change.reversalMayOverdraw,
    openedSequence: state.sequence,
    status: 'open',
    limited: change.limited,
    overdraftLimit: change.limited ? change.overdraftLimit : 0n,
    posted: 0n,
    reserved: 0n,
    version: state.sequence,
    referenceChanged: true,
    profile: newProfile(),
    profileChanged: false,
  }
  state.accounts.set(opened.id, opened)
  effects.accounts.add(opened)
}

/** Decides one record of the `cards` topic. */
export const decideCard = (state: LedgerState, effects: BatchEffects, input: CardInput): void => {
  const { change } = input
  const reason = validateCardChange(change) ?? applyCardChange(state, effects, change)
  if (reason === null) return
  refuse(state, effects, input, { kind: 'card_refused', subject: change.card, reason })
}

const applyCardChange = (state: LedgerState, effects: BatchEffects, change: CardChange): Refusal | null => {
  const existing = state.cards.get(change.card)
  if (change.action === 'issue') {
    if (existing !== undefined) {
      return existing.accountId === change.accountId ? null : 'exists_with_other_content'
    }
    return issueCard(state, effects, change)
  }
  if (existing === undefined) return 'card_unknown'
  if (existing.status === 'cancelled') return 'card_cancelled'
  switch (change.action) {
    case 'block':
      existing.status = 'blocked'
      break
    case 'unblock':
      existing.status = 'active'
      break
    case 'cancel':
      existing.status = 'cancelled'
      break
    case 'set_limits':
      existing.transactionLimit = change.transactionLimit
      existing.dailyLimit = change.dailyLimit
      break
    default:
      return 'action_unknown'
  }
  effects.cards.add(existing)
  return null
}

const issueCard = (state: LedgerState, effects: BatchEffects, change: CardChange): Refusal | null => {
  const account = change.accountId === null ? undefined : state.accounts.get(change.accountId)
  if (account === undefined) return 'unknown_account'
  const issued: CardState = {
    no: ++state.cardsCount,
    card: change.card,
    accountId: account.id,
    accountNo: account.no,
    isNew: true,
    status: 'active',
    expiresAt: change.expiresAt,
    transactionLimit: change.transactionLimit,
    dailyLimit: change.dailyLimit,
    spent: 0n,
    reserved: 0n,
    day: 0,
    dayAmount: 0n,
    version: state.sequence,
  }
  state.cards.set(issued.card, issued)
  effects.cards.add(issued)
  return null
}

/** Decides one record of the `rules` topic: a new version of a fraud rule, of a horizon, of a rulebook or a proposal of one, in force from the next record on. */
export const decideRule = (state: LedgerState, effects: BatchEffects, input: RuleInput): void => {
  const isHorizon = isHorizonRule(input.change)
  const misfit = isHorizon && !horizonsFit(state.horizons, input.change) ? 'rule_invalid' : null
  const reason = validateRuleChange(input.change) ?? misfit ?? refusalOfRulebook(state, input.change)
  if (reason !== null) {
    refuse(state, effects, input, { kind: 'rule_refused', subject: input.change.ruleId, reason })
    return
  }
  let rule: Rule = { ...input.change, version: state.sequence }
  if (isHorizon) {
    rule = horizonRuleOf(state.horizons, rule, state.time.nowMs)
    state.horizons = withHorizon(state.horizons, rule)
  } else {
    rule = approvedRule(state, rule)
    state.rules = withRule(state.rules, rule)
  }
  state.rulesVersion = state.sequence
  effects.rules.push(rule)
}
