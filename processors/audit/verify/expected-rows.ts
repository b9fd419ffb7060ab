/** The rows that a decided batch puts into the tables, as platform/postgres/ledger-store writes them and audit-rows reads them. */
import { encodeParty, PARTY_KINDS, type PartyState } from '#domain/fraud/parties.ts'
import { encodeProfile } from '#domain/fraud/profile.ts'
import type {
  AccountState,
  BatchEffects,
  CardState,
  HoldState,
  LabelEffect,
  LedgerState,
  TransactionDecision,
} from '#domain/ledger/state.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { CAUSES, KINDS, REASONS, STATUSES } from '#domain/transactions/outcomes.ts'
import { type APPENDED, type AuditRow, auditText } from '#platform/postgres/queries/audit-rows.ts'

/** Ms to microseconds since 1970. */
const time = (ms: number): string => String(BigInt(ms) * 1_000n)
const row = (...values: readonly unknown[]): AuditRow => values.map(auditText)
const hex = (bytes: Buffer | null): string | null => (bytes === null ? null : bytes.toString('hex'))
const currencyNumeric = (code: string): number => currencyByCode(code)!.numeric

export type AppendedRows = { readonly [table in keyof typeof APPENDED]: AuditRow[] }

/** Rows that the batch adds. */
export const appendedRows = (state: LedgerState, effects: BatchEffects): AppendedRows => ({
  transactions: effects.decisions.map((decision) => transactionRow(state.sequence, decision)),
  postings: effects.decisions.flatMap((decision) => postingRows(state.sequence, decision)),
  rules: effects.rules.map((rule, place) => row(rule.version, place, rule.ruleId, rule)),
  dead_letters: effects.deadLetters.map(({ index, letter, position, recordedAt }) =>
    row(
      state.sequence,
      index,
      position.topic,
      position.partition,
      position.offset,
      letter.firstOffset,
      letter.reason,
      letter.detail,
      hex(letter.key),
      hex(letter.value),
      letter.valueBytes,
      hex(letter.valueSha256),
      letter.contentType,
      time(recordedAt),
    ),
  ),
  commands: effects.commands.map(
    ({ index, command, content, claims, outcome, refusal, position, recordedAt }) =>
      row(
        state.sequence,
        index,
        command.id,
        content,
        claims,
        command.kind,
        command.subject,
        command.parameters,
        command.actor,
        command.reason,
        outcome,
        refusal,
        position.topic,
        position.partition,
        position.offset,
        time(command.occurredAt),
        time(recordedAt),
      ),
  ),
})

const transactionRow = (sequence: bigint, decision: TransactionDecision): AuditRow => {
  const { command, position } = decision
  return row(
    sequence,
    decision.index,
    time(decision.recordedAt),
    decision.key,
    command.id,
    command.source,
    // -1 for a kind that isn't known.
    KINDS.indexOf(command.kind as (typeof KINDS)[number]),
    CAUSES.indexOf(decision.cause),
    STATUSES.indexOf(decision.status),
    decision.reason === null ? null : REASONS.indexOf(decision.reason),
    decision.parentKey,
    decision.cardNo,
    command.endToEndId,
    command.uetr,
    time(command.occurredAt),
    time(command.valueTime ?? command.occurredAt),
    position.topic,
    position.partition,
    position.offset,
    decision.actor,
    decision.payment?.payerNo ?? null,
    decision.payment?.acceptor ?? null,
    decision.payment?.wasUnusual ?? null,
  )
}

const postingRows = (sequence: bigint, decision: TransactionDecision): AuditRow[] => {
  if (decision.status !== 'applied') return []
  const valueMs = decision.command.valueTime ?? decision.command.occurredAt
  return decision.postings.map((posting, place) =>
    row(
      sequence,
      decision.index,
      place,
      time(decision.recordedAt),
      posting.debit.no,
      posting.credit.no,
      posting.amount,
      currencyNumeric(posting.currency),
      posting.debitPosted,
      posting.creditPosted,
      time(valueMs),
    ),
  )
}

/** Of a decision that takes its id. */
export const idRow = (sequence: bigint, decision: TransactionDecision): AuditRow =>
  row(decision.key, decision.content, sequence, decision.index, time(decision.recordedAt))

export const holdRow = (hold: HoldState): AuditRow =>
  row(
    hold.key,
    hold.kind,
    hold.status,
    hold.id,
    hold.source,
    hold.sequence,
    hold.index,
    hold.expiresAt,
    hold.postings,
    hold.command.card,
    hold.command,
    hold.version,
    hold.versionIndex,
    hold.reviewers,
    hold.releasedBy,
  )

export const reversalRow = (key: string, posting: number, reversed: bigint, version: bigint): AuditRow =>
  row(key, posting, reversed, version)

export const accountRow = (account: AccountState): AuditRow =>
  row(
    account.no,
    account.id,
    currencyNumeric(account.currency),
    account.accountClass,
    account.normalSide,
    account.status,
    account.limited,
    account.overdraftLimit,
    account.reversalMayOverdraw,
    account.posted,
    account.reserved,
    account.version,
    account.openedSequence,
    account.profile === null ? null : hex(encodeProfile(account.profile)),
  )

export const cardRow = (card: CardState): AuditRow =>
  row(
    card.no,
    card.card,
    card.accountNo,
    card.status,
    card.expiresAt,
    card.transactionLimit,
    card.dailyLimit,
    card.spent,
    card.reserved,
    card.day,
    card.dayAmount,
    card.version,
  )

export const labelRow = (label: LabelEffect, version: bigint): AuditRow =>
  row(
    label.key,
    label.isFraud,
    label.actor,
    label.reason,
    time(label.occurredAt),
    time(label.recordedAt),
    label.position.topic,
    label.position.partition,
    label.position.offset,
    version,
  )

export const partyRow = (party: PartyState): AuditRow =>
  row(PARTY_KINDS.indexOf(party.kind), party.name, party.usedDay, party.version, hex(encodeParty(party)))
