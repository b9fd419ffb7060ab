/** Commands as the values that the ingest topics' Avro schemas describe: every long is a bigint there. */
import type {
  AccountChange,
  CardChange,
  Label,
  RuleChange,
  TransactionCommand,
} from '#domain/transactions/command.ts'

const maybeLong = (value: number | null): bigint | null => (value === null ? null : BigInt(value))

/** schemas/avro/transaction.avsc */
export const transactionValue = (command: TransactionCommand): Record<string, unknown> => ({
  id: command.id,
  source: command.source,
  kind: command.kind,
  postings: command.postings,
  parentId: command.parentId,
  parentSource: command.parentSource,
  card: command.card,
  merchant: command.merchant,
  terminal: command.terminal,
  device: command.device,
  country: command.country,
  endToEndId: command.endToEndId,
  uetr: command.uetr,
  valueTime: maybeLong(command.valueTime),
  occurredAt: BigInt(command.occurredAt),
  expiresAt: maybeLong(command.expiresAt),
  actor: command.actor,
  metadata: command.metadata,
  after: command.after,
})

/** schemas/avro/account.avsc */
export const accountValue = (change: AccountChange): Record<string, unknown> => ({
  ...change,
  occurredAt: BigInt(change.occurredAt),
})

/** schemas/avro/card.avsc */
export const cardValue = (change: CardChange): Record<string, unknown> => ({
  ...change,
  expiresAt: maybeLong(change.expiresAt),
  occurredAt: BigInt(change.occurredAt),
})

/** schemas/avro/rule.avsc */
export const ruleValue = (change: RuleChange): Record<string, unknown> => ({
  ...change,
  windowMs: BigInt(change.windowMs),
  definition: change.definition ?? null,
  approves: change.approves ?? null,
  occurredAt: BigInt(change.occurredAt),
})

/** schemas/avro/label.avsc */
export const labelValue = (label: Label): Record<string, unknown> => ({
  ...label,
  occurredAt: BigInt(label.occurredAt),
})
