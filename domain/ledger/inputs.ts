/** What the serial history is made of: one input per ingest record, decoded, in the order in which it is decided. */
import type {
  AccountChange,
  AdministrativeCommand,
  CardChange,
  Label,
  Review,
  RuleChange,
  Tick,
  TransactionCommand,
} from '../transactions/command.ts'
import type { DeadLetterReason } from '../transactions/outcomes.ts'

/** Where a record stands: topic name without the ledger's prefix. */
export interface InputPosition {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** The record's `traceparent` header, as it came: for logs alone, nothing is decided by it. */
  readonly trace?: string | undefined
}

/** A record that could not be read; its bytes masked (no card numbers) and cut. */
export interface DeadLetterInput {
  readonly reason: DeadLetterReason
  readonly detail: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** Length of the whole value, bytes. */
  readonly valueBytes: number
  /** SHA-256 of the whole value, 32 bytes. */
  readonly valueSha256: Buffer
  readonly contentType: string | null
  /** Where the letter stands for a stretch of the log: its first offset; its last one is the input's own. */
  readonly firstOffset?: bigint
}

export interface TransactionInput extends InputPosition {
  readonly type: 'transaction'
  readonly command: TransactionCommand
  /** When the broker took the record, ms since 1970: event times are judged by it where the ledger's own time lags behind. */
  readonly appendedAtMs: number
  /** Hex (32 digits) of the first 16 bytes of SHA-256 over (source, id). */
  readonly key: string
  /** Hex (32 digits) of the first 16 bytes of SHA-256 over the canonical content. */
  readonly content: string
}
export interface AccountInput extends InputPosition {
  readonly type: 'account'
  readonly change: AccountChange
}
export interface CardInput extends InputPosition {
  readonly type: 'card'
  readonly change: CardChange
}
export interface ReviewInput extends InputPosition {
  readonly type: 'review'
  readonly review: Review
  /** Key of the held transaction, as in TransactionInput. */
  readonly key: string
}
export interface LabelInput extends InputPosition {
  readonly type: 'label'
  readonly label: Label
  /** Key of the payment, as in TransactionInput. */
  readonly key: string
}
export interface RuleInput extends InputPosition {
  readonly type: 'rule'
  readonly change: RuleChange
}
export interface CommandInput extends InputPosition {
  readonly type: 'command'
  readonly command: AdministrativeCommand
}
export interface TickInput extends InputPosition {
  readonly type: 'tick'
  readonly tick: Tick
}
export interface UnreadableInput extends InputPosition {
  readonly type: 'dead'
  readonly letter: DeadLetterInput
}
/** No record: the reading position moved past offsets without data (control records, aborted or compacted ones). `offset` is the last one passed. */
export interface AdvanceInput extends InputPosition {
  readonly type: 'advance'
}

export type LedgerInput =
  | TransactionInput
  | AccountInput
  | CardInput
  | ReviewInput
  | LabelInput
  | RuleInput
  | CommandInput
  | TickInput
  | UnreadableInput
  | AdvanceInput
