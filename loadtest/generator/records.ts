/** What a run is made of: records with what should become of them. */
import type { TransactionCommand } from '#domain/transactions/command.ts'
import type { DeadLetterReason, ReasonCode } from '#domain/transactions/outcomes.ts'

/** Who acts in everything that is generated. */
export const ACTOR = 'generator'

/** What should become of a record: a status, `rejected:` with its reason, or `dead:` with its reason. */
export type Outcome =
  | 'applied'
  | 'authorized'
  | 'voided'
  | 'held'
  | 'duplicate'
  | `rejected:${ReasonCode}`
  | `dead:${DeadLetterReason}`

/** How a record is written: Avro, JSON with postings in minor units, JSON in the flat form in major units. */
export type WireForm = 'avro' | 'json' | 'flat'

/** Ways to be unreadable, each with the reason that the dead letter should give. */
export const MALFORMATIONS = [
  'empty_record',
  'json_invalid',
  'json_too_deep',
  'schema_mismatch',
  'avro_invalid',
  'schema_unknown',
  'content_type_unknown',
  'encoding_invalid',
] as const satisfies readonly DeadLetterReason[]
export type Malformation = (typeof MALFORMATIONS)[number]

export interface GeneratedRecord {
  /** Which case of the mix it belongs to. */
  readonly caseName: string
  /** Kafka key: records that depend on each other share it, so they share a partition and keep their order. */
  readonly key: string
  readonly command: TransactionCommand
  readonly form: WireForm
  /** The command is written so that it can't be read. */
  readonly malformation: Malformation | null
  /** What the generator means to get; the model decides for itself, and a test compares them. */
  readonly intended: Outcome
  /** Whether later records name it as their parent. */
  readonly isParent: boolean
}
