/** Turns a decided batch into its output messages, encoded once: the batch record's payload is what will be published. */
import {
  type EncodeAt,
  FRAME_TOPICS,
  type FrameTopic,
  type FrameWriter,
} from '#domain/ledger/batch-record.ts'
import type {
  AccountState,
  Alert,
  BatchEffects,
  CommandEffect,
  LedgerState,
  TransactionDecision,
} from '#domain/ledger/state.ts'

/** Encoders of the output topics, in registry wire format. */
export type OutputEncoders = { readonly [topic in FrameTopic]: EncodeAt<unknown> }

const code = (topic: FrameTopic): number => FRAME_TOPICS.indexOf(topic)
const PROCESSED = code('transactions.processed')
const BALANCES = code('balances')
const ACCOUNTS = code('accounts.current')
const RULES = code('rules.current')
const ALERTS = code('fraud.alerts')
const NOTIFICATIONS = code('notifications')
const DEAD_LETTERS = code('transactions.dlq')

/** Writes all outputs of a batch into the writer. */
export const writeOutputs = (
  writer: FrameWriter,
  encoders: OutputEncoders,
  state: LedgerState,
  effects: BatchEffects,
): void => {
  writer.clear()
  for (const decision of effects.decisions) {
    writer.add(
      PROCESSED,
      decision.command.id,
      processedOf(state.sequence, decision),
      encoders['transactions.processed'],
    )
  }
  const recordedAt = BigInt(state.time.nowMs)
  for (const account of effects.accounts) {
    writer.add(BALANCES, account.id, balanceOf(account, recordedAt), encoders.balances)
    if (!account.referenceChanged) continue
    writer.add(ACCOUNTS, account.id, accountCurrentOf(account, recordedAt), encoders['accounts.current'])
  }
  for (const rule of effects.rules) {
    const { occurredAt: _occurredAt, windowMs, fromMs, definition = null, author = null, ...rest } = rule
    const horizonFrom = fromMs == null ? null : BigInt(fromMs)
    const value = { ...rest, windowMs: BigInt(windowMs), horizonFrom, definition, author }
    writer.add(RULES, rule.ruleId, value, encoders['rules.current'])
  }
  for (const alert of effects.alerts) {
    writer.add(ALERTS, alert.decision.command.id, alertOf(state.sequence, alert), encoders['fraud.alerts'])
  }
  for (const { position, recordedAt: at, ...notification } of effects.notifications) {
    const value = {
      ...notification,
      ...position3(position),
      sequence: state.sequence,
      recordedAt: BigInt(at),
      command: null,
    }
    writer.add(NOTIFICATIONS, notification.subject, value, encoders.notifications)
  }
  for (const effect of effects.commands) {
    const value = commandNotificationOf(state.sequence, effect)
    writer.add(NOTIFICATIONS, effect.command.subject, value, encoders.notifications)
  }
  for (const { index, letter, position, recordedAt: at } of effects.deadLetters) {
    const value = {
      ...letter,
      firstOffset: letter.firstOffset ?? null,
      valueBytes: BigInt(letter.valueBytes),
      ...position3(position),
      index,
      sequence: state.sequence,
      recordedAt: BigInt(at),
    }
    const key = `${position.topic}-${position.partition}-${position.offset}`
    writer.add(DEAD_LETTERS, key, value, encoders['transactions.dlq'])
  }
}

const position3 = (position: {
  topic: string
  partition: number
  offset: bigint
}): { topic: string; partition: number; offset: bigint } => ({
  topic: position.topic,
  partition: position.partition,
  offset: position.offset,
})

const processedOf = (sequence: bigint, decision: TransactionDecision): unknown => {
  const { command } = decision
  return {
    sequence,
    index: decision.index,
    id: command.id,
    source: command.source,
    kind: command.kind,
    cause: decision.cause,
    status: decision.status,
    reason: decision.reason,
    topic: decision.position.topic,
    partition: decision.position.partition,
    offset: decision.position.offset,
    recordedAt: BigInt(decision.recordedAt),
    occurredAt: BigInt(command.occurredAt),
    valueTime: BigInt(command.valueTime ?? command.occurredAt),
    parentId: command.parentId,
    postings: decision.postings.map((posting) => ({
      debit: posting.debit.id,
      credit: posting.credit.id,
      amount: posting.amount,
      currency: posting.currency,
      debitPosted: posting.debitPosted,
      creditPosted: posting.creditPosted,
    })),
    requested: decision.postings.length === 0 ? command.postings : [],
    reserved: decision.reserved,
    card: command.card,
    merchant: command.merchant,
    terminal: command.terminal,
    device: command.device,
    country: command.country,
    endToEndId: command.endToEndId,
    uetr: command.uetr,
    metadata: command.metadata,
    actor: decision.actor,
    rules: decision.rules,
  }
}

const balanceOf = (account: AccountState, recordedAt: bigint): unknown => ({
  account: account.id,
  currency: account.currency,
  normalSide: account.normalSide,
  posted: account.posted,
  reserved: account.reserved,
  limited: account.limited,
  overdraftLimit: account.overdraftLimit,
  sequence: account.version,
  recordedAt,
})

const accountCurrentOf = (account: AccountState, recordedAt: bigint): unknown => ({
  account: account.id,
  currency: account.currency,
  accountClass: account.accountClass,
  normalSide: account.normalSide,
  status: account.status,
  limited: account.limited,
  overdraftLimit: account.overdraftLimit,
  reversalMayOverdraw: account.reversalMayOverdraw,
  sequence: account.version,
  recordedAt,
})

const alertOf = (sequence: bigint, alert: Alert): unknown => ({
  sequence,
  index: alert.index,
  transactionId: alert.decision.command.id,
  source: alert.decision.command.source,
  kind: alert.kind,
  action: alert.action,
  account: alert.account,
  recordedAt: BigInt(alert.decision.recordedAt),
  rules: alert.decision.rules,
})

const commandNotificationOf = (sequence: bigint, effect: CommandEffect): unknown => {
  const { subject, occurredAt, ...command } = effect.command
  return {
    sequence,
    index: effect.index,
    kind: `command_${effect.outcome}`,
    subject,
    reason: effect.refusal ?? '',
    ...position3(effect.position),
    recordedAt: BigInt(effect.recordedAt),
    command: {
      ...command,
      occurredAt: BigInt(occurredAt),
      content: effect.content,
      claims: effect.claims,
    },
  }
}
