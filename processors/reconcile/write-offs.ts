/**
 * Write-offs through the ledger: their transactions go to the topic `transactions` like everybody else's, and what the ledger decided
 * about them comes back with its batches. Sending one again is harmless: the same id and content is a duplicate.
 */
import type { WriteOff } from '#domain/breaks/break-life.ts'
import type { PendingWriteOff, PostingOutcome } from '#domain/reconciliation/pair-state.ts'
import { WRITE_OFF_SOURCE, writeOffCommand } from '#domain/reconciliation/write-off.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import type { TransactionCommand } from '#domain/transactions/command.ts'
import type { LedgerPosting } from '#platform/postgres/reconciliation/ledger-postings.ts'
import type { WriteOffDecision } from '#platform/postgres/reconciliation/write-off-decisions.ts'
import { itemsOfPosting } from './ledger-items.ts'

export interface WriteOffsOptions {
  /** Resolves once the brokers have them. @throws OperatingError */
  readonly publish: (commands: readonly TransactionCommand[]) => Promise<void>
  /** Postings of some batches on some accounts. */
  readonly readPostings: (
    range: { readonly after: bigint; readonly upTo: bigint },
    accounts: readonly string[],
  ) => Promise<LedgerPosting[]>
  /** What the ledger decided up to a batch, newest last. */
  readonly readDecisions: (keys: readonly string[], upTo: bigint) => Promise<WriteOffDecision[]>
}

/** Decisions after which nothing more comes: `held` waits for a review, and a duplicate is of another record. */
const REFUSED = new Set(['rejected', 'declined', 'expired', 'voided'])

export class WriteOffs {
  readonly #options: WriteOffsOptions

  constructor(options: WriteOffsOptions) {
    this.#options = options
  }

  /** Publishes their transactions. @throws OperatingError: some may have been sent */
  async send(pair: string, writeOffs: readonly PendingWriteOff[]): Promise<void> {
    await this.#options.publish(writeOffs.map((one) => commandOf(pair, one)))
  }

  /**
   * What became of them up to a batch of the ledger.
   * @param accounts of the pair
   */
  async outcomes(
    writeOffs: readonly PendingWriteOff[],
    upTo: bigint,
    accounts: ReadonlySet<string>,
  ): Promise<PostingOutcome[]> {
    const byKey = new Map(
      writeOffs.map((one) => [transactionKey(WRITE_OFF_SOURCE, one.writeOff.transactionId), one]),
    )
    const outcomes: PostingOutcome[] = []
    for (const { key, status, reason, sequence } of await this.#options.readDecisions(
      [...byKey.keys()],
      upTo,
    )) {
      const { writeOff } = byKey.get(key)!
      const { transactionId } = writeOff
      if (REFUSED.has(status)) outcomes.push({ transactionId, outcome: { refused: reason ?? status } })
      if (status !== 'applied') continue
      const entries = await this.#entriesOf(writeOff, sequence, accounts)
      // Nobody else makes such ids by chance; whoever did moved other money.
      const outcome = entries.length === 1 ? { entries } : { refused: 'id_conflict' }
      outcomes.push({ transactionId, outcome })
    }
    return outcomes
  }

  /** The pair's items of a write-off that was applied. */
  async #entriesOf(
    { transactionId, debit, credit, amountMinor, currency }: WriteOff,
    sequence: bigint,
    accounts: ReadonlySet<string>,
  ): Promise<string[]> {
    const range = { after: sequence - 1n, upTo: sequence }
    const postings = await this.#options.readPostings(range, [...new Set([...accounts, debit, credit])])
    return postings
      .filter((posting) => posting.source === WRITE_OFF_SOURCE && posting.transactionId === transactionId)
      .filter((posting) => posting.debit === debit && posting.credit === credit)
      .flatMap((posting) => itemsOfPosting(posting, accounts))
      .filter((item) => item.currency === currency && String(abs(item.amountMinor)) === amountMinor)
      .map(({ id }) => id)
  }
}

const abs = (minor: bigint): bigint => (minor < 0n ? -minor : minor)

const commandOf = (pair: string, { writeOff, maker, checker, reason }: PendingWriteOff) =>
  writeOffCommand(writeOff, { pair, maker, checker, reason })
