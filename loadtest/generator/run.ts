/** What a run is planned from, and what the plan holds. */
import type {
  AccountChange,
  CardChange,
  RuleChange,
  TransactionCommand,
} from '#domain/transactions/command.ts'
import type { Expectation } from './expectation.ts'
import type { MixOptions } from './generator.ts'
import type { GeneratedRecord } from './records.ts'

/** `default`: every kind and every bad case. The others: transfers with one posting, by how accounts are drawn (plain.ts). */
export const MIXES = ['default', 'plain', 'hot', 'zipf'] as const
export type Mix = (typeof MIXES)[number]

export interface RunOptions extends MixOptions {
  readonly mix: Mix
}

export interface RunPlan {
  readonly run: string
  readonly source: string
  readonly transactions: number
  /** To be published and applied in this order, before the transactions: accounts, then cards and funding, then rules. */
  readonly accounts: readonly AccountChange[]
  readonly cards: readonly CardChange[]
  readonly funding: readonly TransactionCommand[]
  readonly rules: readonly RuleChange[]
  /** The transactions from the first one; each call starts anew. */
  readonly records: () => Iterable<GeneratedRecord>
  readonly expectation: Expectation
}
